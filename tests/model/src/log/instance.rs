//! One instance of the service: what it has in memory.

use std::fmt;
use std::sync::Arc;

use muster_ledger::pure::{Fold, Heard, Sealed};
use muster_reservation::core::ReservationCore;

use super::server::Folded;

/// Somebody who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Asker {
    /// A client, by this attempt of its command.
    Client(usize, u8),
    Reader,
}

/// What an asker will be told: where its entry stands, or none where it is refused.
pub(super) type Told = (Asker, Option<u64>);

/// A message that is being appended.
#[derive(Clone)]
pub(super) struct Appending {
    pub(super) sealed: Sealed,
    /// The fold with what this turn decided; for a beginning, without.
    pub(super) fold: Arc<Fold<ReservationCore>>,
    pub(super) begins: Option<u64>,
    /// What was decided, for the mistake that seals it again.
    pub(super) block: Vec<u8>,
    pub(super) answers: Vec<Told>,
    pub(super) heard: Option<Heard>,
}

/// What a leader does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Idle,
    Appends(Appending),
    /// It has to look at the log's end before it answers.
    Looks(Vec<Told>),
}

/// A leader, or who believes to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    /// As it was folded; while it appends, before the turn.
    pub(super) folded: Folded,
    /// It has appended that it leads.
    pub(super) has_begun: bool,
    pub(super) doing: Doing,
    /// In order.
    pub(super) waiting: Vec<Asker>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Instance {
    pub(super) life: u8,
    pub(super) leading: Option<Leading>,
}

impl fmt::Debug for Appending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, heard) = (self.sealed.expected, self.heard);
        f.debug_struct("Appending").field("after", &after).field("heard", &heard).finish_non_exhaustive()
    }
}

impl PartialEq for Appending {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Appending {}

impl std::hash::Hash for Appending {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Appending {
    fn key(&self) -> (u64, &[u8], &[Told], Option<Heard>) {
        (self.sealed.expected, &self.sealed.payload, &self.answers, self.heard)
    }
}

impl Instance {
    pub(super) fn life(&self) -> u8 {
        self.life
    }

    /// It leads, or is about to.
    pub(super) fn is_there(&self) -> bool {
        self.leading.is_some()
    }

    /// Clients reach it.
    pub(super) fn listens(&self) -> bool {
        self.leading.as_ref().is_some_and(|leading| leading.has_begun)
    }

    pub(super) fn may_turn(&self) -> bool {
        let may = |leading: &Leading| leading.has_begun && leading.doing == Doing::Idle && !leading.waiting.is_empty();
        self.leading.as_ref().is_some_and(may)
    }

    pub(super) fn looks(&self) -> bool {
        self.leading.as_ref().is_some_and(|leading| matches!(leading.doing, Doing::Looks(_)))
    }

    fn appending(&self) -> Option<&Appending> {
        match &self.leading.as_ref()?.doing {
            Doing::Appends(appending) => Some(appending),
            Doing::Idle | Doing::Looks(_) => None,
        }
    }

    /// It appends, and has heard nothing of it.
    pub(super) fn waits(&self) -> bool {
        self.appending().is_some_and(|appending| appending.heard.is_none())
    }

    pub(super) fn has_heard(&self) -> bool {
        self.appending().is_some_and(|appending| appending.heard.is_some())
    }

    /// The reader waits here.
    pub(super) fn has_reader(&self) -> bool {
        self.askers().any(|asker| asker == Asker::Reader)
    }

    /// A command of a client waits here for its turn or its answer.
    pub(super) fn has_command_of(&self, client: usize) -> bool {
        self.askers().any(|asker| matches!(asker, Asker::Client(of, _) if of == client))
    }

    fn askers(&self) -> impl Iterator<Item = Asker> {
        let answers = |leading: &Leading| match &leading.doing {
            Doing::Idle => Vec::new(),
            Doing::Appends(appending) => appending.answers.clone(),
            Doing::Looks(answers) => answers.clone(),
        };
        let in_turn = self.leading.iter().flat_map(answers).map(|(asker, _)| asker);
        self.leading.iter().flat_map(|leading| leading.waiting.iter().copied()).chain(in_turn)
    }
}
