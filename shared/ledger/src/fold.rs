//! The fold of a log: state, head of the chain, followed positions and the memory of commands.
//!
//! Responsible for whether a message belongs where it stands. The leader and every follower change it through the same functions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use muster_model::{CommandId, PoolTime, Position, SystemId, Term};
use muster_proto::v1::{self, Entry, cause::Kind};

use crate::chain::{self, Hash, NO_HASH, Opened};
use crate::memory::{Memory, Remembered};
use crate::{At, Core, Now};

/// The end of the chain that was folded.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Position of the last message.
    pub position: Position,
    /// Its hash.
    pub hash: Hash,
    /// Highest term so far.
    pub term: Term,
    /// Pool time of the last entry.
    pub time: PoolTime,
}

/// A folded log.
pub struct Fold<C: Core> {
    /// State of the core.
    pub state: C::State,
    /// End of the chain.
    pub head: Head,
    /// The system that the log belongs to.
    pub(crate) system: SystemId,
    /// Positions in followed streams.
    pub(crate) followed: BTreeMap<String, Position>,
    /// Replies to commands.
    pub(crate) memory: Memory,
}

impl<C: Core> Clone for Fold<C>
where
    C::State: Clone,
{
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            head: self.head,
            system: self.system,
            followed: self.followed.clone(),
            memory: self.memory.clone(),
        }
    }
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Folded.
    Applied,
    /// Folded before.
    Old,
    /// Not the next one, or of a new lineage: the log must be loaded again.
    Gap,
}

impl<C: Core> Fold<C> {
    /// Begins with the first message of a lineage.
    ///
    /// # Errors
    /// When it is not one.
    pub fn begin(sequence: u64, payload: &Bytes) -> Result<Self, String> {
        let opened = chain::open(payload).map_err(|reason| undecodable(sequence, &reason))?;
        let genesis =
            opened.entries.first().and_then(|entry| entry.cause.as_ref()).and_then(|cause| match &cause.kind {
                Some(Kind::Genesis(genesis)) => Some(genesis),
                _ => None,
            });
        let genesis =
            genesis.ok_or_else(|| format!("message {sequence} is the first, and does not begin a lineage"))?;
        if opened.place.previous != NO_HASH {
            return Err(format!("message {sequence} begins a lineage, and names a predecessor"));
        }
        let system = genesis.system.as_ref().try_into().map(SystemId);
        let system = system.map_err(|_| format!("message {sequence} names no system"))?;
        let head = Head { position: Position::default(), hash: NO_HASH, term: Term(0), time: PoolTime(0) };
        let (followed, memory) = (BTreeMap::new(), Memory::default());
        let mut fold = Self { state: C::State::default(), head, system, followed, memory };
        fold.check_place(sequence, &opened)?;
        fold.apply(&opened)?;
        Ok(fold)
    }

    /// Folds the next message.
    ///
    /// # Errors
    /// When the chain is broken there: the log must not be used.
    pub fn take(&mut self, sequence: u64, payload: &Bytes) -> Result<Taken, String> {
        self.take_opened(sequence, chain::open(payload))
    }

    /// Folds the next message, that was opened already.
    ///
    /// # Errors
    /// As [`Fold::take`].
    pub(crate) fn take_opened(&mut self, sequence: u64, opened: Result<Opened, String>) -> Result<Taken, String> {
        let expected = self.head.position.sequence.0 + 1;
        if sequence < expected {
            return Ok(Taken::Old);
        }
        if sequence > expected {
            return Ok(Taken::Gap);
        }
        let opened = opened.map_err(|reason| undecodable(sequence, &reason))?;
        if opened.place.position.lineage > self.head.position.lineage {
            return Ok(Taken::Gap);
        }
        self.check_place(sequence, &opened)?;
        if opened.place.previous != self.head.hash {
            return Err(format!("message {sequence} names another predecessor than message {}", sequence - 1));
        }
        self.apply(&opened)?;
        Ok(Taken::Applied)
    }

    /// The moment of a decision that is made at `time` by our clock.
    #[must_use]
    pub fn now(&self, time: PoolTime) -> Now {
        let head = &self.head;
        let position = Position::new(head.position.lineage.0, head.position.sequence.0 + 1);
        Now { time: time.max(head.time), position, term: head.term }
    }

    /// Takes the cause of an entry: all of it but its events.
    pub(crate) fn apply_cause(&mut self, cause: &Kind, reply: &Bytes, at: &At<'_>) {
        self.head.time = self.head.time.max(at.time);
        match cause {
            Kind::Command(id) => {
                if let Ok(id) = <[u8; 16]>::try_from(id.as_ref()) {
                    // A copy: a slice would keep the whole block of its turn alive.
                    let reply = Bytes::copy_from_slice(reply);
                    self.memory.remember(CommandId(id), Remembered { reply, time: at.time, position: at.position });
                }
            }
            Kind::LeaderStarted(started) => self.head.term = self.head.term.max(Term(started.term)),
            Kind::Followed(followed) => self.advance(&followed.stream, followed.position.as_ref()),
            Kind::Rejected(rejected) => self.advance(&rejected.stream, rejected.position.as_ref()),
            Kind::Genesis(_) | Kind::Own(_) => {}
        }
    }

    /// Folds one event, and notes what it touched.
    pub(crate) fn apply_event(&mut self, event: &C::Event, at: &At<'_>, touched: Option<&mut BTreeSet<C::Key>>) {
        let Some(touched) = touched else { return C::apply(&mut self.state, event, at) };
        touched.extend(C::touched(&self.state, event));
        C::apply(&mut self.state, event, at);
        touched.extend(C::forgotten(&self.state));
    }

    fn check_place(&self, sequence: u64, opened: &Opened) -> Result<(), String> {
        let place = opened.place;
        let lineage = self.head.position.lineage;
        if place.position.sequence.0 != sequence || (lineage.0 != 0 && place.position.lineage != lineage) {
            return Err(format!("message {sequence} says that it is {}", place.position));
        }
        if place.term < self.head.term {
            return Err(format!("message {sequence} is of term {}, after term {}", place.term, self.head.term));
        }
        if opened.event_type != C::EVENT_TYPE && opened.entries.iter().any(|entry| !entry.events.is_empty()) {
            return Err(format!("message {sequence} holds {}, not {}", opened.event_type, C::EVENT_TYPE));
        }
        Ok(())
    }

    fn apply(&mut self, opened: &Opened) -> Result<(), String> {
        let position = opened.place.position;
        for entry in &opened.entries {
            self.apply_entry(entry, position).map_err(|reason| undecodable(position.sequence.0, &reason))?;
        }
        self.head.position = position;
        self.head.hash = opened.hash;
        self.head.term = self.head.term.max(opened.place.term);
        Ok(())
    }

    fn apply_entry(&mut self, entry: &Entry, position: Position) -> Result<(), String> {
        let cause = entry.cause.as_ref().and_then(|cause| cause.kind.as_ref());
        let cause = cause.ok_or("an entry has a cause that this version does not know")?;
        let at = At { position, time: PoolTime(entry.time_ns), actor: &entry.actor };
        for event in &entry.events {
            let event = C::decode_event(event)?;
            self.apply_event(&event, &at, None);
        }
        self.apply_cause(cause, &entry.reply, &at);
        Ok(())
    }

    fn advance(&mut self, stream: &str, position: Option<&v1::Position>) {
        let position = position.map_or_else(Position::default, |position| (*position).into());
        match self.followed.get_mut(stream) {
            Some(followed) => *followed = (*followed).max(position),
            None => drop(self.followed.insert(stream.to_owned(), position)),
        }
    }
}

fn undecodable(sequence: u64, reason: &str) -> String {
    format!("message {sequence} can not be read: {reason}")
}
