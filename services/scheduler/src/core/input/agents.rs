//! What agents say of processes.

use std::time::Duration;

use muster_model::{Absence, Epoch, Firing, Incarnation, MachineId, ProcessId, ProcessState, TriggerActed, Verdict};

/// An agent's hello.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Machine.
    pub machine: MachineId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// What it knows of processes.
    pub known: Vec<KnownProcess>,
    /// Number of the newest batch of reports that it has written.
    pub last_batch: u64,
}

/// A process as an agent knows it: what its newest report says of it.
pub type KnownProcess = ProcessReport;

/// A batch of reports.
#[derive(Debug, Clone)]
pub struct Reports {
    /// Machine.
    pub machine: MachineId,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Number.
    pub batch: u64,
    /// What concerns the scheduler, in order.
    pub reports: Vec<Report>,
}

/// A report that concerns the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A process changed.
    Process(ProcessReport),
    /// Nothing of an older epoch is alive.
    Fenced(Epoch),
    /// A process of the machine fired a trigger.
    TriggerFired(Box<Firing>),
    /// What became of a firing there.
    TriggerActed(Box<TriggerActed>),
    /// A process announces that the machine goes away.
    Announced(Box<Announced>),
    /// A process arrives at a sync point, or leaves.
    Sync(Box<SyncSaid>),
    /// A process says an event.
    TestEvent(Box<TestEventSaid>),
    /// A process asks for an errand, or for the end of one.
    Errand(Box<ErrandSaid>),
}

/// A process asks for an errand, or for the end of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrandSaid {
    /// Who.
    pub id: ProcessId,
    /// Epoch that it was started in.
    pub epoch: Epoch,
    /// Name of the errand.
    pub name: String,
    /// What is to be started; none where it is to stop.
    pub start: Option<ErrandStart>,
}

/// What is to be started as an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrandStart {
    /// Where.
    pub machine: String,
    /// Module: `name` or `name@version`.
    pub module: String,
    /// Parameters as given.
    pub parameters: Vec<(String, String)>,
    /// It goes on when who asks for it has ended.
    pub detached: bool,
}

/// A process says an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEventSaid {
    /// Who.
    pub id: ProcessId,
    /// Epoch that it was started in.
    pub epoch: Epoch,
    /// Name.
    pub name: String,
    /// What it says.
    pub data: String,
}

/// A process arrives at a sync point, or is awaited no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSaid {
    /// Who.
    pub id: ProcessId,
    /// Epoch that it was started in.
    pub epoch: Epoch,
    /// Name of the sync point.
    pub name: String,
    /// Number of the round.
    pub round: u64,
    /// Its vote.
    pub vote: bool,
    /// Others are awaited for so long.
    pub timeout: Duration,
    /// Roles, or numbers of processes; empty for all.
    pub with: Vec<String>,
    /// It is awaited no more.
    pub leaves: bool,
}

/// A process announces that its machine goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Who.
    pub id: ProcessId,
    /// Epoch that it was started in.
    pub epoch: Epoch,
    /// Number of the announcement, by the process.
    pub number: u64,
    /// How the machine goes away.
    pub absence: Absence,
    /// It is back within this.
    pub within: Duration,
    /// Boot that is to end.
    pub boot_id: String,
    /// For people.
    pub note: String,
}

/// A process changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessReport {
    /// Who.
    pub id: ProcessId,
    /// Epoch that it was started in.
    pub epoch: Epoch,
    /// The new state.
    pub state: ProcessState,
    /// What the test says.
    pub verdict: Verdict,
    /// Exit status, when known.
    pub exit_status: Option<i32>,
    /// Why, for people.
    pub reason: String,
    /// OS process id.
    pub pid: u32,
}

/// Why an agent did not take a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentRefusal {
    /// It was placed on an older epoch.
    OldEpoch,
    /// The machine is draining, or not fenced yet.
    Draining,
    /// It was placed on an older generation of MACHINES.
    Stale,
    /// It would touch something protected.
    Protected,
    /// The agent can not do it at all.
    Invalid,
}

impl AgentRefusal {
    /// The words for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OldEpoch => "the machine has changed hands",
            Self::Draining => "the machine is draining",
            Self::Stale => "it was placed before the machine changed",
            Self::Protected => "it would touch something protected",
            Self::Invalid => "the order is not valid",
        }
    }
}

/// One process that an agent did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedProcess {
    /// Identity.
    pub id: ProcessId,
    /// Why.
    pub refusal: AgentRefusal,
    /// For people.
    pub detail: String,
}
