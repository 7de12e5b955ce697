//! Inputs about triggers, and what they answer.

use muster_model::{
    CommandId, Epoch, JobNumber, MachineId, ReservationId, TriggerAction, TriggerActionError, TriggerNumber,
};

/// Arm machines for a trigger.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Who.
    pub actor: String,
    /// Number as given.
    pub number: u32,
    /// Selector of machines.
    pub selector: String,
    /// Jobs that may fire it.
    pub from_jobs: Vec<JobNumber>,
    /// Selector of machines that may fire it; empty names none.
    pub from_selector: String,
    /// What they do, or why what was given is no action.
    pub action: Result<TriggerAction, TriggerActionError>,
    /// Holder of the machines; 0 is the pool.
    pub reservation: ReservationId,
}

/// Take arms away.
#[derive(Debug, Clone, Default)]
pub struct Disarm {
    /// Numbers as given.
    pub numbers: Vec<u32>,
    /// Every number.
    pub all: bool,
    /// Selector of machines; empty is all.
    pub selector: String,
}

/// A person fires a trigger.
#[derive(Debug, Clone)]
pub struct Fire {
    /// Id of the command: it names the firing too.
    pub command: CommandId,
    /// Who.
    pub actor: String,
    /// Number as given.
    pub number: u32,
    /// For people.
    pub note: String,
    /// Holder in whose name it fires; 0 is the pool.
    pub reservation: ReservationId,
}

/// What arming or disarming did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// Number, of one that was armed.
    pub number: Option<TriggerNumber>,
    /// Machines that are armed now, and their epochs.
    pub machines: Vec<(MachineId, Epoch)>,
    /// Machines that were passed over, and why.
    pub skipped: Vec<(MachineId, String)>,
    /// Arms that were taken away.
    pub disarmed: u32,
}
