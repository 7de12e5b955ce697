//! Reads the copies of a log in the order in which an audit takes them.

use std::collections::VecDeque;

use bytes::Bytes;
use muster_bus::Bus;
use muster_bus::subjects::Service;
use muster_model::{PoolTime, Position};
use muster_proto::v1::ArchivedMessage;

use super::{Audited, Auditor, Message, Seal};
use crate::LedgerError;
use crate::archive;
use crate::chain::Opened;
use crate::log::Log;

/// What is to be audited, and from where on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditOptions {
    /// What is known from elsewhere.
    pub seals: Vec<Seal>,
    /// Count from here on. What only the archive still has is then not read where the log goes back so far.
    pub since: PoolTime,
}

/// Walks both copies of the log of an owning service. `see` is shown each message once, with its sequence and its bytes.
///
/// # Errors
/// When there is no such log, or the server does not answer. Breaks are no errors: they are in what is returned.
pub async fn audit(
    bus: &Bus,
    service: Service,
    options: AuditOptions,
    see: &mut (dyn FnMut(&'static str, u64, &Bytes) + Send),
) -> Result<Audited, LedgerError> {
    let log = Log::of(bus, service)?;
    let ends = log.existing_ends().await?;
    let reads_less = options.seals.is_empty() && options.since > PoolTime::NEVER;
    let mut archive = Pages::of(&log, Position::default());
    let mut auditor = Auditor::new(options.seals, options.since);
    let (mut last, mut archived) = (None, Position::default());
    if ends.messages > 0 {
        let mut reader = bus.read(log.name, "", ends.first);
        while last.is_none_or(|last: Position| last.sequence.0 < ends.last) {
            let message = log.next_of(&mut reader).await?;
            // Where the stream has it says the sequence; the lineage only the message knows.
            let found = Message::of(&message.payload);
            let opened = found.opened.as_ref().ok();
            let lineage = opened.map_or(last.unwrap_or_default().lineage, |opened| opened.place.position.lineage);
            let at = Position::new(lineage.0, message.sequence);
            let begun = opened.and_then(Opened::begun);
            if reads_less && last.is_none() && begun.is_some_and(|begun| begun <= options.since) {
                archive.skip_to(at);
            }
            while let Some(row) = archive.up_to(Some(at)).await {
                archived = take(&mut auditor, &row, log.name, see);
            }
            auditor.logged(at, found);
            if at > archived {
                see(log.name, message.sequence, &message.payload);
            }
            last = Some(at);
        }
    }
    while let Some(row) = archive.up_to(None).await {
        take(&mut auditor, &row, log.name, see);
        last = last.max(grown(&log, row.position.unwrap_or_default().into(), last).await?);
    }
    Ok(auditor.finish(last, archive.away))
}

/// What is appended while the copies are read may be archived already: it is no cut.
async fn grown(log: &Log, archived: Position, last: Option<Position>) -> Result<Option<Position>, LedgerError> {
    let Some(last) = last.filter(|last| last.lineage == archived.lineage && *last < archived) else { return Ok(last) };
    let now = log.ends().await?.map_or(0, |ends| ends.last);
    Ok(Some(Position::new(last.lineage.0, now.max(last.sequence.0))))
}

fn take(
    auditor: &mut Auditor,
    row: &ArchivedMessage,
    log: &'static str,
    see: &mut (dyn FnMut(&'static str, u64, &Bytes) + Send),
) -> Position {
    let at: Position = row.position.unwrap_or_default().into();
    auditor.archived(at, &row.hash, Message::of(&row.payload));
    see(log, at.sequence.0, &row.payload);
    at
}

/// Rows of the archive, a page at a time.
struct Pages<'a> {
    log: &'a Log,
    rows: VecDeque<ArchivedMessage>,
    next: Option<Position>,
    /// Why it can not be asked; empty where it can.
    away: String,
}

impl<'a> Pages<'a> {
    fn of(log: &'a Log, from: Position) -> Self {
        Self { log, rows: VecDeque::new(), next: Some(from), away: String::new() }
    }

    fn skip_to(&mut self, from: Position) {
        self.next = Some(from);
    }

    /// The next row, where it is not beyond `until`.
    async fn up_to(&mut self, until: Option<Position>) -> Option<ArchivedMessage> {
        if self.rows.is_empty() {
            self.fill().await;
        }
        let at: Position = self.rows.front()?.position.unwrap_or_default().into();
        if until.is_some_and(|until| at > until) { None } else { self.rows.pop_front() }
    }

    async fn fill(&mut self) {
        let Some(from) = self.next.take() else { return };
        match archive::rows(self.log, from).await {
            Ok(rows) => {
                self.next = rows.last().and_then(|row| row.position).map(|last| {
                    let last = Position::from(last);
                    Position::new(last.lineage.0, last.sequence.0 + 1)
                });
                self.rows = rows.into();
            }
            Err(away) => self.away = away.to_string(),
        }
    }
}
