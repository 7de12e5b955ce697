//! Who may tell this agent what: terms, epochs, incarnations and generations. Whatever is below what is known has no effect
//! (invariant I4).

use std::collections::BTreeMap;

use muster_model::{Epoch, Incarnation, Position, Term};

/// A service that commands agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// What is on the machine.
    MachineLifecycle,
    /// What runs.
    Scheduler,
}

impl Owner {
    /// Its name in subjects, in the source of envelopes and on disk.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineLifecycle => "machine-lifecycle",
            Self::Scheduler => "scheduler",
        }
    }

    /// The owner that an envelope's source names: `scheduler/a`.
    pub fn of_source(source: &str) -> Option<Self> {
        let name = source.split('/').next().unwrap_or_default();
        [Self::MachineLifecycle, Self::Scheduler].into_iter().find(|owner| owner.as_str() == name)
    }
}

/// With which authority a command was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Term of the leader.
    pub term: Term,
    /// Epoch of this machine, as the leader knows it.
    pub epoch: Epoch,
    /// Incarnation that it addresses.
    pub incarnation: Incarnation,
}

/// Why a command has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No hello yet, or another incarnation is addressed.
    OldIncarnation,
    /// Its leader was deposed.
    OldTerm,
    /// The machine has changed hands since.
    OldEpoch,
    /// It is of an epoch that this agent has not been told of.
    UnknownEpoch,
}

/// What this agent knows of who may speak.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Granted at the newest hello of this life; none before it.
    pub incarnation: Option<Incarnation>,
    /// Newest epoch that was heard of.
    pub epoch: Epoch,
    /// Highest term heard, per service.
    pub terms: BTreeMap<Owner, Term>,
}

impl Standing {
    /// The term of a service is not below the highest.
    pub fn admits_term(&self, owner: Owner, term: Term) -> bool {
        term >= self.terms.get(&owner).copied().unwrap_or_default()
    }

    /// Whether a command may act. Epochs above the known one are machine-lifecycle's to announce.
    pub fn admit(&self, owner: Owner, given: Given) -> Result<(), Denied> {
        if !self.admits_term(owner, given.term) {
            return Err(Denied::OldTerm);
        }
        if self.incarnation != Some(given.incarnation) {
            return Err(Denied::OldIncarnation);
        }
        if given.epoch < self.epoch {
            return Err(Denied::OldEpoch);
        }
        if given.epoch > self.epoch && owner != Owner::MachineLifecycle {
            return Err(Denied::UnknownEpoch);
        }
        Ok(())
    }
}

/// How an update relates to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It follows.
    Next,
    /// It was taken before.
    Repeated,
    /// Something between is missing.
    Gap,
}

/// How an update that leads from `builds_on` to `next` fits to `known`.
pub fn fit(known: Position, builds_on: Position, next: Position) -> Fit {
    if builds_on == known {
        Fit::Next
    } else if next <= known {
        Fit::Repeated
    } else {
        Fit::Gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        let terms = [(Owner::Scheduler, Term(4))].into();
        Standing { incarnation: Some(Incarnation(7)), epoch: Epoch(3), terms }
    }

    fn check(term: u64, epoch: u64, incarnation: u64, owner: Owner) -> Result<(), Denied> {
        let given = Given { term: Term(term), epoch: Epoch(epoch), incarnation: Incarnation(incarnation) };
        standing().admit(owner, given)
    }

    #[test]
    fn only_the_present_term_epoch_and_incarnation_act() {
        assert_eq!(check(4, 3, 7, Owner::Scheduler), Ok(()));
        assert_eq!(check(5, 3, 7, Owner::Scheduler), Ok(()));
        assert_eq!(check(3, 3, 7, Owner::Scheduler), Err(Denied::OldTerm));
        assert_eq!(check(4, 2, 7, Owner::Scheduler), Err(Denied::OldEpoch));
        assert_eq!(check(4, 4, 7, Owner::Scheduler), Err(Denied::UnknownEpoch));
        assert_eq!(check(4, 3, 6, Owner::Scheduler), Err(Denied::OldIncarnation));
        assert_eq!(check(1, 4, 7, Owner::MachineLifecycle), Ok(()), "terms are per service, epochs are its to raise");
        let fresh = Standing { incarnation: None, ..standing() };
        let given = Given { term: Term(9), epoch: Epoch(3), incarnation: Incarnation(0) };
        assert_eq!(fresh.admit(Owner::Scheduler, given), Err(Denied::OldIncarnation), "nothing acts before hello");
    }

    #[test]
    fn updates_follow_each_other_without_gaps() {
        let at = |sequence| Position::new(1, sequence);
        assert_eq!(fit(at(5), at(5), at(8)), Fit::Next);
        assert_eq!(fit(at(8), at(5), at(8)), Fit::Repeated);
        assert_eq!(fit(at(5), at(6), at(8)), Fit::Gap);
    }

    #[test]
    fn a_source_names_its_service() {
        assert_eq!(Owner::of_source("scheduler/b"), Some(Owner::Scheduler));
        assert_eq!(Owner::of_source("cli/anna"), None);
    }
}
