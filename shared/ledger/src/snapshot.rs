//! Snapshots: the state at a position, immutable, in an object store. They make starts quick and let the stream be purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muster_bus::{Bucket, BusError};
use muster_model::{CommandId, Lineage, PoolTime, Position, SystemId, Term};
use muster_proto::v1::{Envelope, Followed, LedgerSnapshot, RememberedReply};
use prost::Message;
use tokio::io::AsyncReadExt;

use crate::archive::ArchivedHead;
use crate::fold::{Fold, Head};
use crate::load::LoadError;
use crate::log::{Ends, Log};
use crate::memory::{Memory, Remembered};
use crate::{Core, LedgerError, archive, chain};

/// The stream is purged of messages older than this, if they are archived and below two snapshots.
const PURGE_AGE_MIN: Duration = Duration::from_secs(24 * 3600);

/// Snapshots of a log that are kept at most.
const KEPT_MAX: usize = 24;
/// Writing a snapshot and shortening the log may take so long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// When the next snapshot is due.
#[derive(Debug)]
pub(crate) struct Snapshots {
    every: u64,
    last: u64,
    is_writing: Arc<AtomicBool>,
}

impl Snapshots {
    /// Counts from `position`, after so many messages each.
    pub(crate) fn new(position: Position, every: u64) -> Self {
        Self { every: every.max(1), last: position.sequence.0, is_writing: Arc::default() }
    }

    /// Takes a snapshot when one is due; it is written beside the loop.
    pub(crate) fn consider<C: Core>(&mut self, log: &Log, fold: &Fold<C>) {
        let sequence = fold.head.position.sequence.0;
        if sequence < self.last + self.every || self.is_writing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.last = sequence;
        let (name, bytes) = (name(log, fold.head.position), encode(log, fold));
        let (log, is_writing) = (log.clone(), self.is_writing.clone());
        let (position, now) = (fold.head.position, fold.head.time);
        tokio::spawn(async move {
            let writing = async {
                write(&log, &name, &bytes).await?;
                tracing::info!(log = log.name, %position, size_bytes = bytes.len(), "snapshot written");
                purge(&log, position.lineage, now).await?;
                thin(&log, position.lineage).await
            };
            match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(log = log.name, %error, "a snapshot was not finished"),
                Err(_) => tracing::warn!(log = log.name, "a snapshot took too long"),
            }
            is_writing.store(false, Ordering::Release);
        });
    }
}

/// The newest snapshot of a lineage that can be used; none if there is none.
///
/// # Errors
/// When a snapshot is newer than the log, or not of the log's chain.
pub(crate) async fn newest<C: Core>(log: &Log, ends: Ends, lineage: Lineage) -> Result<Option<Fold<C>>, LoadError> {
    let mut positions = list(log).await?;
    if let Some(newer) = positions.iter().find(|at| **at > Position::new(lineage.0, ends.last)) {
        let reason =
            format!("it ends at {lineage}/{}, and there is a snapshot of {newer}", ends.last, lineage = lineage.0);
        return Err(LedgerError::damaged(log.name, reason).into());
    }
    positions.retain(|position| position.lineage == lineage);
    while let Some(position) = positions.pop() {
        match read(log, position).await?.and_then(|snapshot| decode(log, snapshot)) {
            Ok(fold) if is_in_chain(log, ends, &fold).await? => return Ok(Some(fold)),
            Ok(_) => {}
            Err(reason) => tracing::warn!(log = log.name, %position, reason, "a snapshot can not be used"),
        }
    }
    Ok(None)
}

fn name(log: &Log, position: Position) -> String {
    format!("{}-{}-{}", log.name, position.lineage.0, position.sequence.0)
}

/// Positions of all snapshots of a log, sorted.
async fn list(log: &Log) -> Result<Vec<Position>, BusError> {
    let parse = |name: String| {
        let (lineage, sequence) = name.strip_prefix(log.name)?.strip_prefix('-')?.split_once('-')?;
        Some(Position::new(lineage.parse().ok()?, sequence.parse().ok()?))
    };
    let mut positions: Vec<_> = log.bus.list_objects(Bucket::Snapshots).await?.into_iter().filter_map(parse).collect();
    positions.sort();
    Ok(positions)
}

async fn read(log: &Log, position: Position) -> Result<Result<LedgerSnapshot, String>, BusError> {
    let Some(mut object) = log.bus.get_object(Bucket::Snapshots, &name(log, position)).await? else {
        return Ok(Err("it is gone".into()));
    };
    let mut bytes = Vec::new();
    if let Err(error) = object.read_to_end(&mut bytes).await {
        return Ok(Err(error.to_string()));
    }
    Ok(LedgerSnapshot::decode(Bytes::from(bytes)).map_err(|error| error.to_string()))
}

/// Whether the log goes on from the snapshot. False when the log begins later, so that nothing can be said.
async fn is_in_chain<C: Core>(log: &Log, ends: Ends, fold: &Fold<C>) -> Result<bool, LoadError> {
    let sequence = fold.head.position.sequence.0;
    if sequence < ends.first {
        return Ok(sequence + 1 == ends.first);
    }
    let found = log.message(sequence).await?.map(|payload| chain::hash(&payload));
    if found == Some(fold.head.hash) {
        return Ok(true);
    }
    let reason = format!("message {sequence} is not the one that the snapshot of {} was taken at", fold.head.position);
    Err(LedgerError::damaged(log.name, reason).into())
}

async fn write(log: &Log, name: &str, bytes: &Bytes) -> Result<(), BusError> {
    log.bus.put_object(Bucket::Snapshots, name, &mut bytes.as_ref()).await
}

/// Purges what is archived, older than a day and below two snapshots; and the snapshots below those.
async fn purge(log: &Log, lineage: Lineage, now: PoolTime) -> Result<(), BusError> {
    let positions = list(log).await?;
    let ours: Vec<_> = positions.iter().copied().filter(|position| position.lineage == lineage).collect();
    let Some((_, below)) = ours.split_last() else { return Ok(()) };
    let Ok(Some(archived)) = archive::head(log).await else { return Ok(()) };
    if archived.position.lineage == lineage && !is_archived(log, &archived).await? {
        tracing::error!(
            log = log.name,
            position = %archived.position,
            "the archive's newest message is not in the log, which is not shortened: look which of them is damaged"
        );
        return Ok(());
    }
    let mut base = None;
    for position in below.iter().rev().filter(|position| **position <= archived.position) {
        let Some(payload) = log.message(position.sequence.0).await? else { continue };
        let Ok(envelope) = Envelope::decode(payload) else { continue };
        if now.since(PoolTime(envelope.time_ns)) >= PURGE_AGE_MIN {
            base = Some(*position);
            break;
        }
    }
    let Some(base) = base else { return Ok(()) };
    let stream = log.bus.jetstream().get_stream_no_info(log.name).await;
    let stream = stream.map_err(|error| failed("open the stream", &error))?;
    // The message at the snapshot stays: the chain is checked from it.
    stream.purge().sequence(base.sequence.0).await.map_err(|error| failed("purge the stream", &error))?;
    for position in positions.iter().filter(|position| **position < base) {
        log.bus.delete_object(Bucket::Snapshots, &name(log, *position)).await?;
    }
    tracing::info!(log = log.name, position = %base, "log shortened");
    Ok(())
}

/// Whether the archive's newest message is the log's.
async fn is_archived(log: &Log, archived: &ArchivedHead) -> Result<bool, BusError> {
    let found = log.message(archived.position.sequence.0).await?;
    Ok(found.is_some_and(|payload| chain::hash(&payload) == archived.hash))
}

/// Deletes snapshots between the oldest, to which the log can be shortened one day, and the newest two.
async fn thin(log: &Log, lineage: Lineage) -> Result<(), BusError> {
    let mut positions = list(log).await?;
    positions.retain(|position| position.lineage == lineage);
    while let Some(index) = superfluous(&positions) {
        log.bus.delete_object(Bucket::Snapshots, &name(log, positions.remove(index))).await?;
    }
    Ok(())
}

/// The snapshot that is missed least when there are too many: its neighbours are the closest.
fn superfluous(positions: &[Position]) -> Option<usize> {
    if positions.len() <= KEPT_MAX {
        return None;
    }
    let gap = |index: &usize| positions[index + 1].sequence.0 - positions[index - 1].sequence.0;
    (1..positions.len() - 2).min_by_key(gap)
}

fn failed(what: &str, reason: &dyn std::fmt::Display) -> BusError {
    BusError::Failed { what: what.into(), reason: reason.to_string() }
}

/// Encodes a fold.
fn encode<C: Core>(log: &Log, fold: &Fold<C>) -> Bytes {
    let state = C::encode_state(&fold.state);
    let state_hash = chain::hash(&state);
    let followed = fold.followed.iter();
    let replies = fold.memory.iter().map(|(id, remembered)| RememberedReply {
        cmd_id: Bytes::copy_from_slice(&id.0),
        reply: remembered.reply.clone(),
        time_ns: remembered.time.0,
        position: Some(remembered.position.into()),
    });
    let snapshot = LedgerSnapshot {
        log: log.name.into(),
        position: Some(fold.head.position.into()),
        hash: Bytes::copy_from_slice(&fold.head.hash),
        term: fold.head.term.0,
        time_ns: fold.head.time.0,
        system: Bytes::copy_from_slice(&fold.system.0),
        followed: followed
            .map(|(stream, at)| Followed { stream: stream.clone(), position: Some((*at).into()) })
            .collect(),
        replies: replies.collect(),
        reach_ms: fold.memory.reach_ms(),
        state,
        state_hash: Bytes::copy_from_slice(&state_hash),
    };
    snapshot.encode_to_vec().into()
}

fn decode<C: Core>(log: &Log, snapshot: LedgerSnapshot) -> Result<Fold<C>, String> {
    if snapshot.log != log.name {
        return Err(format!("it is of {}", snapshot.log));
    }
    if chain::hash(&snapshot.state) != snapshot.state_hash.as_ref() {
        return Err("its state is damaged".into());
    }
    let hash = snapshot.hash.as_ref().try_into().map_err(|_| "its hash is not 32 bytes")?;
    let system = snapshot.system.as_ref().try_into().map_err(|_| "its system is not 16 bytes")?;
    let position = snapshot.position.map(Position::from).ok_or("it names no position")?;
    let mut memory = Memory::default();
    memory.set_reach_ms(snapshot.reach_ms);
    for reply in snapshot.replies {
        let id = reply.cmd_id.as_ref().try_into().map_err(|_| "a command's id is not 16 bytes")?;
        let position = reply.position.map_or(position, Position::from);
        let reply_bytes = Bytes::copy_from_slice(&reply.reply);
        memory.remember(CommandId(id), Remembered { reply: reply_bytes, time: PoolTime(reply.time_ns), position });
    }
    let followed = snapshot.followed.into_iter().filter_map(|one| Some((one.stream, Position::from(one.position?))));
    Ok(Fold {
        state: C::decode_state(&snapshot.state)?,
        head: Head { position, hash, term: Term(snapshot.term), time: PoolTime(snapshot.time_ns) },
        system: SystemId(system),
        followed: followed.collect(),
        memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_newest_two_are_kept_and_the_others_thin_out_evenly() {
        let mut positions: Vec<_> = Vec::new();
        for sequence in 1..=1_000 {
            positions.push(Position::new(1, sequence));
            while let Some(index) = superfluous(&positions) {
                positions.remove(index);
            }
        }
        let kept: Vec<u64> = positions.iter().map(|position| position.sequence.0).collect();
        assert_eq!(kept.len(), KEPT_MAX);
        assert_eq!((kept[0], &kept[KEPT_MAX - 2..]), (1, &[999, 1_000][..]));
        let widest = kept.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(widest < Some(200), "{kept:?}");
    }
}
