//! Snapshots: the state at a position, immutable, in an object store. They make starts quick and let the log be shortened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muster_bus::{Bucket, BusError};
use muster_model::{CommandId, Lineage, PoolTime, Position, SystemId, Term};
use muster_proto::v1::{Followed, LedgerSnapshot, RememberedReply};
use prost::Message;
use tokio::io::AsyncReadExt;

use crate::fold::{Fold, Head};
use crate::load::LoadError;
use crate::log::{Ends, Log};
use crate::memory::{Memory, Remembered};
use crate::purge::{purge, thin};
use crate::{Core, LedgerError, chain};

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
    if let Some(newer) = positions.last().filter(|at| **at > Position::new(lineage.0, ends.last)) {
        return Err(newer_than_log(log, Position::new(lineage.0, ends.last), *newer).await?);
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

/// Why there is a snapshot beyond the end of the log: a leader went on since the log was looked at, or the log lost its end.
async fn newer_than_log(log: &Log, end: Position, newer: Position) -> Result<LoadError, BusError> {
    if log.ends().await?.is_some_and(|ends| ends.last > end.sequence.0) {
        let what = format!("load the log {}", log.name);
        return Ok(BusError::Failed { what, reason: "it went on meanwhile".into() }.into());
    }
    Ok(LedgerError::damaged(log.name, format!("it ends at {end}, and there is a snapshot of {newer}")).into())
}

/// Name of the snapshot at a position.
pub(crate) fn name(log: &Log, position: Position) -> String {
    format!("{}-{}-{}", log.name, position.lineage.0, position.sequence.0)
}

/// Positions of all snapshots of a log, sorted.
///
/// # Errors
/// When the server does not answer.
pub(crate) async fn list(log: &Log) -> Result<Vec<Position>, BusError> {
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
