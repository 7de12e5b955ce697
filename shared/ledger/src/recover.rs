//! Rebuilding a lost log from the archive or from a backup, as a new lineage.

mod origin;
mod positions;
mod prepare;

use std::collections::BTreeMap;

use muster_bus::Bus;
use muster_bus::subjects::Service;
use muster_model::{Position, SystemId, Term};
use muster_proto::v1::{
    ArchivedMessage, Cause, Entry, Genesis, LeaderStarted, RepeatedLineage, TurnBlock, cause::Kind,
};
use prost::Message as _;

use crate::LedgerError;
use crate::append::{Appended, Message, Until, append};
use crate::archive::{self, ArchivedHead};
use crate::chain::{self, Hash, Place};
use crate::genesis::{self, APPEND_TIMEOUT};
use crate::log::Log;
use crate::{LogBackup, recover::origin::Origin};

/// The terms of a rebuilt log go on so much higher for each lineage: what is repeated may not know the last terms of the lost log.
const TERM_STEP: u64 = 1_000;
/// Who is named as leader by the last message of a rebuilt log.
const INSTANCE: &str = "recover";

/// How to recover.
#[derive(Debug, Clone, Copy)]
pub struct RecoverOptions {
    /// Empty the stream first if it holds anything. What it holds is lost: keep a copy for inspection.
    pub replace: bool,
}

/// How to restore.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions {
    /// Empty the stream first if it holds anything.
    pub replace: bool,
    /// The new lineage is not below this: above all that were used since the backup was taken.
    pub lineage_min: u64,
}

/// What was recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The new lineage.
    pub lineage: u64,
    /// Up to where the archive, or the backup, was repeated.
    pub rebuilt_from: Position,
    /// Messages that were repeated.
    pub messages: u64,
    /// The system.
    pub system: SystemId,
}

/// What is repeated.
struct Plan {
    /// Position of the first and the last message.
    from: Position,
    to: Position,
    hash: Hash,
    system: SystemId,
    lineage: u64,
    /// Every lineage that is repeated with it.
    repeats: Vec<RepeatedLineage>,
}

/// Rebuilds the log of `service` from the archive as a new lineage. `progress` hears (messages repeated, messages in all).
///
/// # Errors
/// [`LedgerError::Refused`] when the archive is away, empty or damaged, and when the log holds something and `replace` was not said.
pub async fn recover(
    bus: &Bus,
    service: Service,
    options: RecoverOptions,
    progress: impl FnMut(u64, u64),
) -> Result<Recovered, LedgerError> {
    rebuild(&Log::of(bus, service)?, Origin::Archive, options, 0, progress).await
}

/// Rebuilds a log from a backup as a new lineage. `progress` hears (messages repeated, messages in all).
///
/// # Errors
/// [`LedgerError::Refused`] when the file changed since it was checked, and when the log holds something and `replace` was not said.
pub async fn restore(
    bus: &Bus,
    backup: &LogBackup,
    options: RestoreOptions,
    progress: impl FnMut(u64, u64),
) -> Result<Recovered, LedgerError> {
    let log = Log::of(bus, backup.service())?;
    let RestoreOptions { replace, lineage_min } = options;
    rebuild(&log, Origin::Backup(backup), RecoverOptions { replace }, lineage_min, progress).await
}

async fn rebuild(
    log: &Log,
    origin: Origin<'_>,
    options: RecoverOptions,
    lineage_min: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<Recovered, LedgerError> {
    let mut plan = plan(log, origin).await?;
    plan.lineage = plan.lineage.max(lineage_min);
    let last = prepare::prepare(log, options).await?;
    let genesis = Genesis {
        system: bytes::Bytes::copy_from_slice(&plan.system.0),
        log: log.name.into(),
        rebuilt_from: Some(plan.to.into()),
        rebuilt_hash: bytes::Bytes::copy_from_slice(&plan.hash),
        repeats: plan.repeats,
    };
    let payload = genesis::begin(log, plan.lineage, last, genesis).await?;
    let mut rebuild = Rebuild {
        log,
        origin,
        place: Place {
            position: Position::new(plan.lineage, last + 1),
            previous: chain::hash(&payload),
            term: Term(0),
        },
        read: Link { sequence: plan.from.sequence.0, hash: None },
        followed: BTreeMap::new(),
    };
    let all = plan.to.sequence.0 - plan.from.sequence.0 + 1;
    let mut next = plan.from;
    while next <= plan.to {
        let rows = origin.rows(log, next).await?;
        let rows: Vec<_> = rows.into_iter().filter(|row| at(row) <= plan.to).collect();
        let Some(newest) = rows.last().map(at) else {
            return Err(origin.bad(log, format!("message {next} is missing")));
        };
        for row in &rows {
            rebuild.row(row).await?;
        }
        next = Position::new(newest.lineage.0, newest.sequence.0 + 1);
        progress(newest.sequence.0 - plan.from.sequence.0 + 1, all);
    }
    rebuild.end(plan.lineage - plan.to.lineage.0).await?;
    positions::raise(&log.bus, &rebuild.followed).await?;
    tracing::info!(log = log.name, lineage = plan.lineage, messages = all, "log rebuilt");
    Ok(Recovered { lineage: plan.lineage, rebuilt_from: plan.to, messages: all, system: plan.system })
}

/// What the archive or the backup holds, and can be repeated. A lineage whose own rebuilding was interrupted is passed over.
async fn plan(log: &Log, origin: Origin<'_>) -> Result<Plan, LedgerError> {
    let head = origin.head(log).await?.ok_or_else(|| origin.bad(log, "it holds nothing of this log".into()))?;
    let mut to = head;
    let mut repeats = Vec::new();
    loop {
        let first = first_row(log, origin, to.position.lineage.0).await?;
        let genesis = genesis::genesis_of(&first.payload);
        let genesis = genesis.ok_or_else(|| origin.bad(log, format!("message {} is not a genesis", at(&first))))?;
        let system =
            SystemId(genesis.system.as_ref().try_into().map_err(|_| origin.bad(log, "it names no system".into()))?);
        if let Some(rebuilt_from) = genesis.rebuilt_from.map(Position::from) {
            let old_first = first_row(log, origin, rebuilt_from.lineage.0).await?;
            let repeated = rebuilt_from.sequence.0 - at(&old_first).sequence.0 + 1;
            if to.position.sequence.0 < at(&first).sequence.0 + repeated {
                // All that it holds repeats the older one.
                repeats.push(repeated_lineage(at(&first), to.position));
                let hash = Hash::try_from(genesis.rebuilt_hash.as_ref()).unwrap_or_default();
                to = ArchivedHead { position: rebuilt_from, hash };
                continue;
            }
        }
        let lineage = head.position.lineage.0 + 1;
        repeats.push(repeated_lineage(at(&first), to.position));
        let kept = to.position.sequence.0 - at(&first).sequence.0;
        let older = genesis.repeats.into_iter();
        repeats.extend(older.map(|older| RepeatedLineage { last: older.last.min(older.first + kept), ..older }));
        return Ok(Plan { from: at(&first), to: to.position, hash: to.hash, system, lineage, repeats });
    }
}

fn repeated_lineage(first: Position, last: Position) -> RepeatedLineage {
    RepeatedLineage { lineage: first.lineage.0, first: first.sequence.0, last: last.sequence.0 }
}

async fn first_row(log: &Log, origin: Origin<'_>, lineage: u64) -> Result<ArchivedMessage, LedgerError> {
    let rows = origin.rows(log, Position::new(lineage, 1)).await?;
    let first = rows.into_iter().next().filter(|row| at(row).lineage.0 == lineage);
    first.ok_or_else(|| origin.bad(log, format!("lineage {lineage} is missing")))
}

/// What was read last.
struct Link {
    sequence: u64,
    hash: Option<Hash>,
}

/// A log that is being rebuilt.
struct Rebuild<'a> {
    log: &'a Log,
    origin: Origin<'a>,
    /// Of the last message that was appended; its `previous` is that message's hash.
    place: Place,
    read: Link,
    /// How far it has followed streams that are no logs.
    followed: BTreeMap<String, u64>,
}

impl Rebuild<'_> {
    /// Repeats one archived message. The old genesis is checked only: the new one stands for it.
    async fn row(&mut self, row: &ArchivedMessage) -> Result<(), LedgerError> {
        let position = at(row);
        let bad = |reason: String| self.origin.bad(self.log, format!("message {position}: {reason}"));
        let opened = chain::open(&row.payload).map_err(bad)?;
        let kept = archive::hash_of(row).map_err(|away| bad(away.to_string()))?;
        if opened.hash != kept {
            return Err(bad("its payload is not the one that was archived".into()));
        }
        if position.sequence.0 != self.read.sequence {
            return Err(bad(format!("message {} is missing before it", self.read.sequence)));
        }
        let is_genesis = self.read.hash.is_none();
        if self.read.hash.is_some_and(|hash| hash != opened.place.previous) {
            return Err(bad("it names another predecessor than the one before it".into()));
        }
        self.read = Link { sequence: position.sequence.0 + 1, hash: Some(kept) };
        if is_genesis {
            return Ok(());
        }
        positions::note(&mut self.followed, &opened.entries);
        let kind = row.subject.rsplit('.').next().unwrap_or("turn").to_owned();
        let term = opened.place.term;
        let block = TurnBlock { entries: opened.entries }.encode_to_vec();
        self.append(&kind, term, &opened.event_type, block).await
    }

    /// Ends the rebuilding: the term rises above everything that the lost log may have reached.
    async fn end(&mut self, lineages: u64) -> Result<(), LedgerError> {
        let term = Term(self.place.term.0 + TERM_STEP * lineages.max(1));
        let started = LeaderStarted { term: term.0, instance: INSTANCE.into() };
        let cause = Some(Cause { kind: Some(Kind::LeaderStarted(started)) });
        let entry = Entry { cause, time_ns: self.log.bus.now().0, ..Entry::default() };
        self.append("leader", term, "", TurnBlock { entries: vec![entry] }.encode_to_vec()).await
    }

    async fn append(&mut self, kind: &str, term: Term, event_type: &str, block: Vec<u8>) -> Result<(), LedgerError> {
        let last = self.place.position;
        let position = Position::new(last.lineage.0, last.sequence.0 + 1);
        let place = Place { position, term, previous: self.place.previous };
        let payload = chain::seal(&chain::blank(&self.log.bus), place, event_type, block);
        let hash = chain::hash(&payload);
        let message = Message { kind, expected: last.sequence.0, payload };
        let deadline = Until::Deadline(tokio::time::Instant::now() + APPEND_TIMEOUT);
        if append(self.log, deadline, &message).await? == Appended::Lost {
            let next = "stop whatever writes to this log, then recover again with --replace";
            return Err(LedgerError::refused(self.log.name, format!("message {position} could not be written"), next));
        }
        self.place = Place { position, term, previous: hash };
        Ok(())
    }
}

fn at(row: &ArchivedMessage) -> Position {
    row.position.unwrap_or_default().into()
}
