//! The memory of commands: a retry gets the reply that the command got.
//!
//! Part of a ledger's state: it follows from the entries alone, so it is the same after every restart and on every replica.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use muster_model::{CommandId, PoolTime, Position};

/// Replies are kept for so long, in event time.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// At most so many replies are kept.
pub(crate) const COUNT_MAX: usize = 50_000;
/// At most so many bytes of replies are kept: those of 150 starts of 3,000 processes, whose placements are a hundred kilobytes, or of
/// 8 of the greatest.
pub(crate) const BYTES_MAX: usize = 16 << 20;

/// What a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The encoded reply.
    pub(crate) reply: Bytes,
    /// When it was decided.
    pub(crate) time: PoolTime,
    /// Where its entry stands.
    pub(crate) position: Position,
}

/// What the memory knows of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recalled<'a> {
    /// It was never decided.
    New,
    /// It was decided.
    Known(&'a Remembered),
    /// It is older than the memory reaches: nobody can tell.
    TooOld,
}

/// Replies of the last 24 hours, or of the last 50,000 commands, or 16 MiB of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// Oldest first.
    order: VecDeque<(CommandId, Remembered)>,
    /// Bytes of their replies.
    bytes: usize,
    /// Number of the oldest one, counted from the first that was ever remembered.
    first: u64,
    /// Numbers by id; none until the first question, because folding a long log forgets most of what it remembers.
    index: Option<HashMap<CommandId, u64>>,
    reach_ms: u64,
}

impl Memory {
    /// What is known of a command.
    pub(crate) fn recall(&mut self, id: &CommandId) -> Recalled<'_> {
        let Self { order, bytes: _, first, index, reach_ms } = self;
        let index =
            index.get_or_insert_with(|| (*first..).zip(order.iter()).map(|(number, (id, _))| (*id, number)).collect());
        match index.get(id).and_then(|number| order.get(usize::try_from(number - *first).ok()?)) {
            Some((_, remembered)) => Recalled::Known(remembered),
            None if id.made_ms() < *reach_ms => Recalled::TooOld,
            None => Recalled::New,
        }
    }

    /// Remembers a reply, and forgets what is older or more than the bounds.
    pub(crate) fn remember(&mut self, id: CommandId, remembered: Remembered) {
        let now = remembered.time;
        if let Some(index) = &mut self.index {
            index.insert(id, self.first + self.order.len() as u64);
        }
        self.bytes += remembered.reply.len();
        self.order.push_back((id, remembered));
        let is_too_old = |(_, oldest): &(CommandId, Remembered)| now.since(oldest.time) > AGE_MAX;
        // The newest reply is kept, whatever its size.
        while self.order.len() > COUNT_MAX
            || (self.bytes > BYTES_MAX && self.order.len() > 1)
            || self.order.front().is_some_and(is_too_old)
        {
            self.forget_oldest();
        }
    }

    /// Everything, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&CommandId, &Remembered)> {
        self.order.iter().map(|(id, remembered)| (id, remembered))
    }

    /// Ids made before this, milliseconds since 1970, are no longer remembered.
    pub(crate) fn reach_ms(&self) -> u64 {
        self.reach_ms
    }

    /// Takes the reach of a snapshot.
    pub(crate) fn set_reach_ms(&mut self, reach_ms: u64) {
        self.reach_ms = reach_ms;
    }

    /// The reach becomes the id's time plus one, so that a retry of a forgotten command is refused and never done again. An id from a
    /// clock that runs ahead counts as made when it was decided: one wrong clock must not shut out all the others.
    fn forget_oldest(&mut self) {
        let Some((id, forgotten)) = self.order.pop_front() else { return };
        self.bytes -= forgotten.reply.len();
        if let Some(index) = &mut self.index
            && index.get(&id) == Some(&self.first)
        {
            index.remove(&id);
        }
        self.first += 1;
        let decided_ms = u64::try_from(forgotten.time.0 / 1_000_000).unwrap_or(0);
        self.reach_ms = self.reach_ms.max(id.made_ms().min(decided_ms) + 1);
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
