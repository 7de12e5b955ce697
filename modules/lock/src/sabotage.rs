//! What a server does wrong on purpose, once: a detector that was never seen to fire is not trusted.

use muster_pattern::{Class, decode_header, spoil};
use muster_sdk::Session;

use crate::core::{ClientId, Grant, Granted, Table, target};
use crate::settings::Injection;

/// Grants before it is done: late enough that there is something before it.
const AFTER_GRANTS: u64 = 16;

/// A fault that waits for its moment.
pub(crate) struct Sabotage<'s> {
    session: &'s Session,
    injection: Option<Injection>,
    seed: u64,
    /// To takers of other processes as well: before that, there is nobody to be wrong to.
    met: bool,
    grants: u64,
    /// Two hold a lock: the first one's reading waits for the second one's writing, so that the first is sure to see it.
    parked: Option<Parked>,
}

/// A reading that waits.
#[derive(Debug, Clone, Copy)]
struct Parked {
    reader: ClientId,
    writer: ClientId,
    /// It has asked already.
    load: Option<u32>,
}

impl<'s> Sabotage<'s> {
    pub(crate) fn new(session: &'s Session, injection: Option<Injection>, seed: u64) -> Self {
        Self { session, injection, seed, met: false, grants: 0, parked: None }
    }

    /// A taker of another process is there.
    pub(crate) fn meet(&mut self) {
        self.met = true;
    }

    /// What is to be done, once its moment has come; it is done once.
    fn next(&self) -> Option<Injection> {
        self.injection.filter(|_| self.met && self.grants >= AFTER_GRANTS)
    }

    fn due(&self, wanted: Injection) -> bool {
        self.next() == Some(wanted)
    }

    fn done(&mut self, class: &str, into: &str, lock: u32) {
        self.injection = None;
        self.session.event("injected", &format!("{class} into {into} of {}", target(lock)));
    }

    /// A grant is about to be said; nothing where it is not.
    pub(crate) fn on_grant(&mut self, mut grant: Grant) -> Option<Grant> {
        self.grants += u64::from(self.met);
        if self.due(Injection::DropGrant) {
            self.done("DROPPED", "a grant", grant.lock);
            return None;
        }
        if let Some(before) = grant.before.filter(|before| before.token > 1 && self.due(Injection::TokenBack)) {
            grant.token = before.token - 1;
            self.done("STALE", "a grant", grant.lock);
        }
        Some(grant)
    }

    /// Requests wait for a lock.
    pub(crate) fn on_queue(&mut self, table: &mut Table, lock: u32) {
        if self.due(Injection::Overtake) && table.disorder(lock) {
            self.done("REORDERED", "the grants", lock);
        }
    }

    /// A release came; true where it is to be passed over.
    pub(crate) fn on_release(&mut self, lock: u32) -> bool {
        let due = self.due(Injection::DropRelease);
        if due {
            self.done("DROPPED", "a release", lock);
        }
        due
    }

    /// A holder has written its record. Who gets the lock as well, and whose reading does not wait any longer.
    pub(crate) fn on_store(
        &mut self,
        table: &mut Table,
        client: ClientId,
        lock: u32,
        record: &mut [u8],
    ) -> Option<Granted> {
        table.exclusive_token(client)?;
        if let Some(Injection::Record { class, passing: false }) = self.next() {
            self.spoil(class, record);
            self.done(class.as_str(), "the record", lock);
        }
        for (injection, class) in [(Injection::Beside, "FOREIGN"), (Injection::Twice, "DUPLICATED")] {
            if self.due(injection)
                && let Some(granted) = table.grant_beside(lock, injection == Injection::Twice)
            {
                if injection == Injection::Beside {
                    self.parked = Some(Parked { reader: client, writer: granted.client, load: None });
                }
                self.done(class, "a grant", lock);
                return Some(granted);
            }
        }
        None
    }

    /// A client reads a record; true where that waits.
    pub(crate) fn on_load(&mut self, table: &Table, client: ClientId, lock: u32, record: &mut [u8]) -> bool {
        if let Some(Injection::Record { class, passing: true }) = self.next()
            && table.exclusive_token(client).is_some_and(|token| written_under(record) == Some(token))
        {
            self.spoil(class, record);
            self.done(class.as_str(), "a reading", lock);
        }
        match &mut self.parked {
            Some(parked) if parked.reader == client => {
                parked.load = Some(lock);
                true
            }
            Some(_) | None => false,
        }
    }

    /// A client has written: the reading that waited for it.
    pub(crate) fn on_stored(&mut self, client: ClientId) -> Option<(ClientId, u32)> {
        self.unpark(|parked| parked.writer == client)
    }

    /// A client is gone: the reading that waited for it.
    pub(crate) fn on_gone(&mut self, client: ClientId) -> Option<(ClientId, u32)> {
        self.unpark(|parked| [parked.writer, parked.reader].contains(&client))
    }

    fn unpark(&mut self, over: impl Fn(&Parked) -> bool) -> Option<(ClientId, u32)> {
        let Parked { reader, load, .. } = self.parked.take_if(|parked| over(parked))?;
        load.map(|lock| (reader, lock))
    }

    fn spoil(&self, class: Class, record: &mut [u8]) {
        if let Some((_, header)) = record.first_chunk().and_then(decode_header) {
            spoil(record, class, &header.stamp.expectation, self.seed);
        }
    }
}

/// The token under which a record was written.
fn written_under(record: &[u8]) -> Option<u64> {
    let (_, header) = record.first_chunk().and_then(decode_header)?;
    Some(header.stamp.expectation.sequence)
}
