//! The next message of a log, sealed after what was folded, and what is folded once it stands there. Without I/O.

use bytes::Bytes;
use muster_model::{PoolTime, Position, Term};
use muster_proto::v1::{self, Cause, Entry, Genesis, TurnBlock, cause::Kind};
use prost::Message as _;

use crate::Core;
use crate::chain::{self, Blank, Hash, NO_HASH, Place};
use crate::draft::Draft;
use crate::fold::Fold;

/// A message that is to stand right behind what was folded.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Last sequence of the log before it.
    pub expected: u64,
    /// Its bytes: the same however often they are sent.
    pub payload: Bytes,
    place: Place,
    hash: Hash,
}

/// The first message of a lineage, at its position.
#[must_use]
pub fn seal_genesis(position: Position, genesis: Genesis, time: PoolTime, blank: Blank<'_>) -> Bytes {
    let cause = Some(Cause { kind: Some(Kind::Genesis(genesis)) });
    let entry = Entry { cause, time_ns: time.0, ..Entry::default() };
    let place = Place { position, previous: NO_HASH, term: Term(0) };
    chain::seal(blank, place, "", TurnBlock { entries: vec![entry] }.encode_to_vec())
}

impl<C: Core> Fold<C> {
    /// The first message of a leadership: it raises the term.
    #[must_use]
    pub fn seal_leader(&self, instance: &str, now: PoolTime, blank: Blank<'_>) -> Sealed {
        let term = self.head.term.next();
        let started = v1::LeaderStarted { term: term.0, instance: instance.to_owned() };
        let entry = Entry {
            cause: Some(Cause { kind: Some(Kind::LeaderStarted(started)) }),
            time_ns: now.max(self.head.time).0,
            ..Entry::default()
        };
        self.seal(term, TurnBlock { entries: vec![entry] }.encode_to_vec(), blank)
    }

    /// The message of a turn.
    #[must_use]
    pub fn seal_turn(&self, draft: &mut Draft<C>, blank: Blank<'_>) -> Sealed {
        self.seal(self.head.term, std::mem::take(&mut draft.block), blank)
    }

    /// A turn's message stands in the log; its events were folded when they were decided.
    pub fn landed(&mut self, sealed: &Sealed) {
        (self.head.position, self.head.hash) = (sealed.place.position, sealed.hash);
    }

    fn seal(&self, term: Term, block: Vec<u8>, blank: Blank<'_>) -> Sealed {
        let head = &self.head;
        let position = Position::new(head.position.lineage.0, head.position.sequence.0 + 1);
        let place = Place { position, previous: head.hash, term };
        let payload = chain::seal(blank, place, C::EVENT_TYPE, block);
        Sealed { expected: head.position.sequence.0, hash: chain::hash(&payload), payload, place }
    }
}
