//! Walks along a chain from the genesis of a lineage, and checks every link. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use muster_model::{Position, SystemId, Term};
use muster_proto::v1::cause::Kind;

use crate::chain::{self, Hash, NO_HASH, Opened};
use crate::genesis;

/// What a backup holds of one log: a whole lineage, from its genesis to some message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogExtent {
    /// Position of its first message.
    pub first: Position,
    /// Position of its last message.
    pub last: Position,
    /// BLAKE3 of the last message.
    pub last_hash: [u8; 32],
    /// Highest term in it.
    pub term: Term,
    /// The system that it belongs to.
    pub system: SystemId,
    /// How far it has followed other streams.
    pub followed: BTreeMap<String, Position>,
}

impl LogExtent {
    /// How many messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.last.sequence.0 - self.first.sequence.0 + 1
    }
}

/// A chain up to where it was walked.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) extent: Option<LogExtent>,
}

impl Walk {
    /// The sequence of the next message; none before the first.
    pub(crate) fn next(&self) -> Option<u64> {
        self.extent.as_ref().map(|extent| extent.last.sequence.0 + 1)
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// Says which link is broken.
    pub(crate) fn take(&mut self, log: &str, payload: &Bytes) -> Result<Opened, String> {
        let opened = chain::open(payload)?;
        match &mut self.extent {
            None => self.extent = Some(begin(log, payload, &opened)?),
            Some(extent) => go_on(extent, &opened)?,
        }
        Ok(opened)
    }
}

fn begin(log: &str, payload: &Bytes, opened: &Opened) -> Result<LogExtent, String> {
    let at = opened.place.position;
    let genesis = genesis::genesis_of(payload).ok_or_else(|| format!("message {at} does not begin a lineage"))?;
    if genesis.log != log {
        return Err(format!("it is of {}", genesis.log));
    }
    if opened.place.previous != NO_HASH {
        return Err(format!("message {at} begins a lineage, and names a predecessor"));
    }
    let system = genesis.system.as_ref().try_into().map_err(|_| format!("message {at} names no system"))?;
    let (term, followed) = (opened.place.term, BTreeMap::new());
    Ok(LogExtent { first: at, last: at, last_hash: opened.hash, term, system: SystemId(system), followed })
}

fn go_on(extent: &mut LogExtent, opened: &Opened) -> Result<(), String> {
    let at = opened.place.position;
    let expected = Position::new(extent.last.lineage.0, extent.last.sequence.0 + 1);
    if at != expected {
        return Err(format!("message {expected} is missing: {at} follows {}", extent.last));
    }
    let last: Hash = extent.last_hash;
    if opened.place.previous != last {
        return Err(format!("message {at} names another predecessor than message {}", extent.last));
    }
    for cause in opened.entries.iter().filter_map(|entry| entry.cause.as_ref()?.kind.as_ref()) {
        let (stream, position) = match cause {
            Kind::Followed(followed) => (&followed.stream, followed.position),
            Kind::Rejected(rejected) => (&rejected.stream, rejected.position),
            Kind::Genesis(_) | Kind::LeaderStarted(_) | Kind::Command(_) | Kind::Own(_) => continue,
        };
        let position = Position::from(position.unwrap_or_default());
        let followed = extent.followed.entry(stream.clone()).or_default();
        *followed = (*followed).max(position);
    }
    extent.last = at;
    extent.last_hash = opened.hash;
    extent.term = extent.term.max(opened.place.term);
    Ok(())
}
