//! Rebuilding a lost log from the archive, as a new lineage.

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use muster_bus::subjects::{self, Service};
use muster_bus::{Bus, BusError};
use muster_model::{Position, SystemId, Term};
use muster_proto::v1::{
    ArchivedMessage, Cause, Entry, Genesis, LeaderStarted, RepeatedLineage, TurnBlock, cause::Kind,
};
use prost::Message as _;

use crate::LedgerError;
use crate::append::{Appended, Message, Until, append};
use crate::archive::{self, ArchivedHead, Away};
use crate::chain::{self, Hash, Place};
use crate::genesis::{self, APPEND_TIMEOUT};
use crate::log::Log;

/// The terms of a rebuilt log go on so much higher: the archive may not know the last terms of the lost one.
const TERM_STEP: u64 = 1_000;
/// Who is named as leader by the last message of a rebuilt log.
const INSTANCE: &str = "recover";

/// Last token of the subject of what is sent to learn and to set right how the server counts; none of it stays.
const SETTLING: &str = "settling";

/// How to recover.
#[derive(Debug, Clone, Copy)]
pub struct RecoverOptions {
    /// Empty the stream first if it holds anything. What it holds is lost: keep a copy for inspection.
    pub replace: bool,
}

/// What was recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The new lineage.
    pub lineage: u64,
    /// Up to where the archive was repeated.
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
    mut progress: impl FnMut(u64, u64),
) -> Result<Recovered, LedgerError> {
    let log = Log::of(bus, service)?;
    let plan = plan(&log).await?;
    let last = prepare(&log, options).await?;
    let genesis = Genesis {
        system: bytes::Bytes::copy_from_slice(&plan.system.0),
        log: log.name.into(),
        rebuilt_from: Some(plan.to.into()),
        rebuilt_hash: bytes::Bytes::copy_from_slice(&plan.hash),
        repeats: plan.repeats,
    };
    let payload = genesis::begin(&log, plan.lineage, last, genesis).await?;
    let mut rebuild = Rebuild {
        log: &log,
        place: Place {
            position: Position::new(plan.lineage, last + 1),
            previous: chain::hash(&payload),
            term: Term(0),
        },
        read: Link { sequence: plan.from.sequence.0, hash: None },
    };
    let all = plan.to.sequence.0 - plan.from.sequence.0 + 1;
    let mut next = plan.from;
    while next <= plan.to {
        let rows = archive::rows(&log, next).await.map_err(|away| is_away(&log, &away))?;
        let rows: Vec<_> = rows.into_iter().filter(|row| at(row) <= plan.to).collect();
        let Some(newest) = rows.last().map(at) else {
            return Err(bad_archive(&log, format!("message {next} is missing")));
        };
        for row in &rows {
            rebuild.row(row).await?;
        }
        next = Position::new(newest.lineage.0, newest.sequence.0 + 1);
        progress(newest.sequence.0 - plan.from.sequence.0 + 1, all);
    }
    rebuild.end().await?;
    tracing::info!(log = log.name, lineage = plan.lineage, messages = all, "log rebuilt from the archive");
    Ok(Recovered { lineage: plan.lineage, rebuilt_from: plan.to, messages: all, system: plan.system })
}

/// What the archive holds, and can be repeated. A lineage whose own rebuilding was interrupted is passed over.
async fn plan(log: &Log) -> Result<Plan, LedgerError> {
    let head = archive::head(log).await.map_err(|away| is_away(log, &away))?;
    let head = head.ok_or_else(|| bad_archive(log, "it holds nothing of this log".into()))?;
    let mut to = head;
    let mut repeats = Vec::new();
    loop {
        let first = first_row(log, to.position.lineage.0).await?;
        let genesis = genesis::genesis_of(&first.payload);
        let genesis = genesis.ok_or_else(|| bad_archive(log, format!("message {} is not a genesis", at(&first))))?;
        let system =
            SystemId(genesis.system.as_ref().try_into().map_err(|_| bad_archive(log, "it names no system".into()))?);
        if let Some(rebuilt_from) = genesis.rebuilt_from.map(Position::from) {
            let old_first = first_row(log, rebuilt_from.lineage.0).await?;
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

async fn first_row(log: &Log, lineage: u64) -> Result<ArchivedMessage, LedgerError> {
    let rows = archive::rows(log, Position::new(lineage, 1)).await.map_err(|away| is_away(log, &away))?;
    let first = rows.into_iter().next().filter(|row| at(row).lineage.0 == lineage);
    first.ok_or_else(|| bad_archive(log, format!("lineage {lineage} is missing")))
}

/// Makes sure that the stream is empty. Returns its last sequence.
async fn prepare(log: &Log, options: RecoverOptions) -> Result<u64, LedgerError> {
    let ends = log.ends().await?.ok_or_else(|| {
        LedgerError::refused(
            log.name,
            "there is no such stream",
            "make it with `muster admin init`, then recover again",
        )
    })?;
    if ends.messages == 0 {
        return Ok(ends.last);
    }
    if !options.replace {
        let reason = format!("the log still holds {} messages", ends.messages);
        let next = "keep a copy of the stream (`nats stream backup`), then recover again with --replace";
        return Err(LedgerError::refused(log.name, reason, next));
    }
    empty(log).await?;
    let mut ends = log.ends().await?;
    if ends.map(|ends| ends.last) != last_counted(log).await? {
        settle_count(log).await?;
        empty(log).await?;
        ends = log.ends().await?;
    }
    let next = "move the stream's folder away on the NATS server, restart it, and run `muster admin init`";
    let ends = ends.filter(|ends| ends.messages == 0);
    Ok(ends.ok_or_else(|| LedgerError::refused(log.name, "the stream can not be emptied", next))?.last)
}

/// Last sequence as the server counts when it is asked to store something. A server whose store was damaged goes on counting from what
/// the store once held, and refuses what follows the last message that it says it has.
async fn last_counted(log: &Log) -> Result<Option<u64>, LedgerError> {
    let impossible = PublishMessage::build().expected_last_sequence(i64::MAX.unsigned_abs());
    let subject = subjects::log(log.service, SETTLING);
    let sent = log.bus.jetstream().send_publish(subject, impossible).await;
    let refusal = match sent {
        Ok(acknowledgement) => acknowledgement.await.map(drop),
        Err(error) => Err(error),
    };
    match refusal {
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(counted_in(&error.to_string())),
        Err(error) => Err(not_emptied(log, error)),
        Ok(()) => Err(not_emptied(log, "it takes what follows nothing that it has")),
    }
}

/// The number in "wrong last sequence: 13 (code 400, error code 10071)".
fn counted_in(refusal: &str) -> Option<u64> {
    let (said, _) = refusal.split_once(" (")?;
    said.rsplit(' ').next()?.parse().ok()
}

/// Sets the server's count right, by a message that names no predecessor: it is purged next.
async fn settle_count(log: &Log) -> Result<(), LedgerError> {
    let sent = log.bus.jetstream().publish(subjects::log(log.service, SETTLING), "".into()).await;
    let acknowledged = match sent {
        Ok(acknowledgement) => acknowledgement.await,
        Err(error) => Err(error),
    };
    acknowledged.map(drop).map_err(|error| not_emptied(log, error))
}

async fn empty(log: &Log) -> Result<(), LedgerError> {
    let stream = log.bus.jetstream().get_stream_no_info(log.name).await.map_err(|error| not_emptied(log, error))?;
    stream.purge().await.map_err(|error| not_emptied(log, error))?;
    Ok(())
}

fn not_emptied(log: &Log, reason: impl std::fmt::Display) -> LedgerError {
    BusError::Failed { what: format!("empty the stream {}", log.name), reason: reason.to_string() }.into()
}

/// What was read of the archive last.
struct Link {
    sequence: u64,
    hash: Option<Hash>,
}

/// A log that is being rebuilt.
struct Rebuild<'a> {
    log: &'a Log,
    /// Of the last message that was appended; its `previous` is that message's hash.
    place: Place,
    read: Link,
}

impl Rebuild<'_> {
    /// Repeats one archived message. The old genesis is checked only: the new one stands for it.
    async fn row(&mut self, row: &ArchivedMessage) -> Result<(), LedgerError> {
        let position = at(row);
        let bad = |reason: String| bad_archive(self.log, format!("message {position}: {reason}"));
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
        let kind = row.subject.rsplit('.').next().unwrap_or("turn").to_owned();
        let term = opened.place.term;
        let block = TurnBlock { entries: opened.entries }.encode_to_vec();
        self.append(&kind, term, &opened.event_type, block).await
    }

    /// Ends the rebuilding: the term rises above everything that the lost log may have reached.
    async fn end(&mut self) -> Result<(), LedgerError> {
        let term = Term(self.place.term.0 + TERM_STEP);
        let started = LeaderStarted { term: term.0, instance: INSTANCE.into() };
        let cause = Some(Cause { kind: Some(Kind::LeaderStarted(started)) });
        let entry = Entry { cause, time_ns: self.log.bus.now().0, ..Entry::default() };
        self.append("leader", term, "", TurnBlock { entries: vec![entry] }.encode_to_vec()).await
    }

    async fn append(&mut self, kind: &str, term: Term, event_type: &str, block: Vec<u8>) -> Result<(), LedgerError> {
        let last = self.place.position;
        let position = Position::new(last.lineage.0, last.sequence.0 + 1);
        let place = Place { position, term, previous: self.place.previous };
        let payload = chain::seal(&self.log.bus, place, event_type, block);
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

fn is_away(log: &Log, away: &Away) -> LedgerError {
    LedgerError::refused(log.name, away.to_string(), "bring PostgreSQL and the telemetry-logger up, and try again")
}

fn bad_archive(log: &Log, reason: String) -> LedgerError {
    let reason = format!("the archive can not be used: {reason}");
    LedgerError::refused(log.name, reason, "restore PostgreSQL from its backup, and try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_count_is_read_from_its_refusal() {
        let said = "wrong last sequence: wrong last sequence: 13 (code 400, error code 10071)";
        assert_eq!(counted_in(said), Some(13));
        assert_eq!(counted_in("wrong last sequence (code 400, error code 10164)"), None);
    }
}
