//! One firing of a trigger, and what became of it on one machine: the words that agents and the scheduler share.

use std::time::Duration;

use crate::ids::{Epoch, MachineId, ProcessId, ReservationId};
use crate::position::Position;
use crate::time::PoolTime;
use crate::trigger::{FiringId, TriggerAction, TriggerNumber, TriggerOutcome};

/// A trigger fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Names it.
    pub id: FiringId,
    /// Number of the trigger.
    pub number: TriggerNumber,
    /// Who fired it.
    pub source: FiringSource,
    /// When.
    pub fired: PoolTime,
    /// For people.
    pub note: String,
    /// Holder of what fired it; 0 is the pool.
    pub reservation: ReservationId,
}

/// Who fired a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FiringSource {
    /// A process.
    Process {
        /// Its machine.
        machine: MachineId,
        /// Epoch of that machine.
        epoch: Epoch,
        /// The process.
        process: ProcessId,
    },
    /// A person, by the name of an actor.
    Person(String),
}

impl FiringSource {
    /// The machine of a process.
    #[must_use]
    pub fn machine(&self) -> Option<&MachineId> {
        match self {
            Self::Process { machine, .. } => Some(machine),
            Self::Person(_) => None,
        }
    }
}

/// Names an arm: the position at which it was logged, and which of that position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ArmId {
    /// Position.
    pub position: Position,
    /// Which of the arms of this machine and number at this position, from 0.
    pub index: u32,
}

/// What became of a firing on an armed machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerActed {
    /// The firing.
    pub firing: FiringId,
    /// Number of the trigger.
    pub number: TriggerNumber,
    /// Machine that was armed.
    pub machine: MachineId,
    /// Epoch in which it was.
    pub epoch: Epoch,
    /// What it was armed for.
    pub action: TriggerAction,
    /// What became of it.
    pub outcome: TriggerOutcome,
    /// For people.
    pub detail: String,
    /// From the firing to the action, by the pool clock; to when it was heard, where it was missed.
    pub latency: Duration,
    /// When it fired.
    pub fired: PoolTime,
    /// Machine that fired it; none for a person.
    pub fired_by: Option<MachineId>,
    /// The arm; none for one that a process of the machine made.
    pub arm: Option<ArmId>,
}

impl TriggerActed {
    /// The arm is gone with this.
    #[must_use]
    pub fn disarms(&self) -> bool {
        match self.outcome {
            TriggerOutcome::Acted | TriggerOutcome::Failed | TriggerOutcome::BrokenOff => self.action.disarms_itself(),
            TriggerOutcome::Missed | TriggerOutcome::Forbidden => false,
        }
    }
}
