//! What is done to a machine from outside: the newest operation on its power or snapshot, and an order that waits.

use std::fmt;

use muster_model::{PoolTime, Position, PowerAction, SnapshotAction};

use super::Settings;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PowerTask {
    /// Something with its power.
    Power(PowerAction),
    /// It is taken back to its snapshot.
    Revert,
}

impl PowerTask {
    /// Whatever runs on the machine is gone after it.
    #[must_use]
    pub fn ends_what_runs(self) -> bool {
        match self {
            Self::Power(PowerAction::On) => false,
            Self::Power(PowerAction::Off | PowerAction::Cycle | PowerAction::Reset | PowerAction::Dump)
            | Self::Revert => true,
        }
    }

    /// It helps a machine that hangs or does not come back: a rung of the ladder.
    #[must_use]
    pub fn is_rung(self) -> bool {
        matches!(self, Self::Power(PowerAction::Reset | PowerAction::Cycle))
    }

    /// The settings of a machine name a driver that can do it.
    #[must_use]
    pub fn is_possible(self, settings: &Settings) -> bool {
        match self {
            Self::Power(action) => settings.power.as_ref().is_some_and(|spec| spec.capabilities().contains(&action)),
            Self::Revert => {
                let able = settings.snapshot.as_ref().map(muster_model::SnapshotSpec::capabilities);
                able.is_some_and(|able| able.contains(&SnapshotAction::Revert))
            }
        }
    }
}

impl fmt::Display for PowerTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(action) => action.fmt(f),
            Self::Revert => f.pad("revert"),
        }
    }
}

/// A machine's memory that was written and is in the object store of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Its name there.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// Where the driver wrote it.
    pub path: String,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOutcome {
    /// Done, and seen.
    Done,
    /// It was not done, or the machine is in another state than it leads to.
    Failed,
    /// It may have been done: nobody can tell.
    Unclear,
    /// It was too old when its turn came, and was not done.
    Dropped,
}

impl PowerOutcome {
    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unclear => "unclear",
            Self::Dropped => "dropped",
        }
    }
}

/// An operation: it was written down before it was done, and is done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerOperation {
    /// MACHINES position at which it began: with the machine, its name.
    pub position: Position,
    /// What.
    pub task: PowerTask,
    /// Who wanted it, or why it had to be.
    pub reason: String,
    /// When it began.
    pub begun: PoolTime,
    /// Boot id of the machine then.
    pub from_boot_id: String,
    /// A person is asked to do it.
    pub asked: bool,
    /// What became of it; none while that is not known.
    pub outcome: Option<PowerOutcome>,
    /// What was seen, or what went wrong.
    pub detail: String,
    /// When it ended; never, before.
    pub ended: PoolTime,
}

impl PowerOperation {
    /// It is not known yet what became of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }
}

/// An order of a person that waits for the rails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerOrder {
    /// What.
    pub task: PowerTask,
    /// Who.
    pub actor: String,
    /// Since when.
    pub since: PoolTime,
}

/// People hold all power operations and reboots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: PoolTime,
}
