//! What a turn collects: the block that is to be appended, and what is answered once it is.
//!
//! Responsible for the bound of a block and for the words of the ledger's own refusals. Not for what is decided (`turn`).

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes};
use muster_model::{Position, Refusal, RefusalCode, Term};
use muster_proto::v1::Entry;
use prost::Message;

use crate::chain::BLOCK_MAX;
use crate::handle::{Query, ReplyTo};
use crate::{Answer, Core, Now};

/// Key of `TurnBlock.entries`: field 1, length-delimited.
const ENTRY_KEY: u8 = 0x0A;
/// What an entry costs beside its own bytes, at most.
pub(crate) const ENTRY_OVERHEAD: usize = 8;

/// What a command will be told, once the turn is acknowledged.
pub enum Outcome {
    /// Its reply. Without a position, the applied one is named.
    Reply {
        /// Where its entry stands.
        position: Option<Position>,
        /// The encoded reply.
        reply: Bytes,
    },
    /// Its refusal.
    Refusal(Refusal),
}

/// What a turn collected.
pub struct Draft<C: Core> {
    /// The moment of its decisions.
    pub now: Now,
    /// Encoded entries.
    pub block: Vec<u8>,
    /// How many.
    pub entries: u64,
    /// What to answer.
    pub answers: Vec<(ReplyTo, Outcome)>,
    /// What to ask of the state.
    pub queries: Vec<Query<C>>,
    /// What was touched.
    pub touched: BTreeSet<C::Key>,
}

/// What has to be so before the answers of a turn are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Its message stands in the log.
    Append,
    /// The log holds nothing newer than what is applied.
    Newest,
    /// Nothing is answered.
    Nothing,
}

/// Whether an entry has a place in this turn.
pub(crate) enum Room {
    /// In this one.
    Here,
    /// In the next one.
    NextTurn,
    /// In none: it is too large.
    Nowhere,
}

impl<C: Core> Draft<C> {
    /// An empty one.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let (answers, queries, touched) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { now, block: Vec::new(), entries: 0, answers, queries, touched }
    }

    /// What has to be so before anything is answered or done.
    #[must_use]
    pub fn needs(&self) -> Needs {
        if self.entries > 0 {
            Needs::Append
        } else if self.answers.is_empty() && self.queries.is_empty() {
            Needs::Nothing
        } else {
            Needs::Newest
        }
    }

    /// Whether an entry of `size` bytes has a place beside what was collected.
    pub(crate) fn room(&self, size: usize) -> Room {
        match self.block.len() + size + ENTRY_OVERHEAD {
            total if total <= BLOCK_MAX => Room::Here,
            _ if self.entries > 0 => Room::NextTurn,
            _ => Room::Nowhere,
        }
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: &Entry) {
        self.block.put_u8(ENTRY_KEY);
        entry.encode_length_delimited(&mut self.block).expect("a vector grows");
        self.entries += 1;
    }
}

impl Outcome {
    /// What the command is told, by a leader of `term` at `applied`.
    ///
    /// # Errors
    /// The refusal.
    pub fn answer(self, applied: Position, term: Term) -> Result<Answer, Refusal> {
        match self {
            Self::Reply { position, reply } => Ok(Answer { position: position.unwrap_or(applied), term, reply }),
            Self::Refusal(refusal) => Err(refusal),
        }
    }
}

/// An id that the memory does not reach.
pub(crate) fn too_old(log: &str) -> Refusal {
    let why = format!("its id is older than what {log} remembers: nobody can tell whether it was done");
    Refusal::new(
        RefusalCode::TooOld,
        "repeat the command",
        why,
        "look whether it was done, and give it again with a new id",
    )
}

/// Only what frees is taken.
pub(crate) fn nearly_full(log: &str) -> Refusal {
    let why = format!("the store of {log} is 90 % full, and only stops and releases are taken");
    Refusal::new(
        RefusalCode::Limit,
        "take the command",
        why,
        "bring the telemetry-logger and PostgreSQL up, so that the log can be shortened",
    )
}

/// A decision beyond the bound of a message.
pub(crate) fn too_large(log: &str) -> Refusal {
    let why =
        format!("what it decides is larger than {} KiB, the most that one message of {log} holds", BLOCK_MAX / 1024);
    Refusal::new(RefusalCode::Limit, "take the command", why, "split it into smaller ones")
}
