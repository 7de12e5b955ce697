//! Facts of the log JOBS.

use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    Attempt, Epoch, Firing, GroupMaster, Incarnation, JobNumber, MachineId, ModuleName, PoolTime, Position, ProcessId,
    ProcessNumber, ProcessState, Pulse, PulseNumber, ReservationId, ResourceId, ResourceKind, RunId, TaskState,
    TriggerActed, TriggerNumber, Verdict,
};

use super::attached::{Outcome, ReservationNews};
use super::input::Start;
use super::job::{Expected, Member, StartSpec, StopReason};
use super::machine::Seen;
use super::master::MasterChanged;
use super::module::Module;
use super::plan::PlanSpec;
use super::resources::Resources;
use super::sync::RoundKey;
use super::test_event::TestEvent;
use super::trigger::ArmSpec;

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A new run: job numbers start again at 1.
    RunStarted(RunId),
    /// A module entered the catalogue, or a new version of it did.
    ModuleAdded(Box<Module>),
    /// A module left the catalogue.
    ModuleRemoved(ModuleName),
    /// A job was accepted, with all of its processes placed.
    JobStarted(JobStarted),
    /// Stop was asked for.
    StopRequested(StopRequested),
    /// Processes changed state.
    ProcessesChanged(Vec<ProcessChange>),
    /// The last batch of reports that was taken of a machine.
    ReportsTaken(ReportsTaken),
    /// What MACHINES says of a machine.
    MachineSeen(Box<MachineSeen>),
    /// A load number was set in MACHINES.
    LoadNumberSeen(LoadNumber),
    /// The next attempt of a process, on another place.
    ProcessReplaced(ProcessReplaced),
    /// A pulse was defined, or defined otherwise.
    PulseSet(PulseNumber, Pulse),
    /// Pulses are not defined any more.
    PulsesCleared(Vec<PulseNumber>),
    /// A job has other pulses or parameters from here on.
    JobChanged(JobChanged),
    /// Another command center is master, or none is.
    MasterChanged(MasterChanged),
    /// What RESERVATIONS says of a reservation.
    ReservationSeen(ReservationId, ReservationNews),
    /// A start waits until its reservation is ready.
    StartAttached(Box<Start>),
    /// A start that waited became a job, or could not.
    AttachedEnded(ReservationId, Outcome),
    /// Machines are armed for a trigger.
    TriggerArmed(TriggerArmed),
    /// Arms are taken away.
    TriggerDisarmed(TriggerDisarmed),
    /// A trigger fired.
    TriggerFired(Box<Firing>),
    /// What became of it on a machine.
    TriggerActed(Box<TriggerActed>),
    /// A process announced that its machine goes away: it may, or may not.
    AbsenceExpected(Box<AbsenceExpected>),
    /// Processes arrive at a round of a sync point.
    SyncArrived(Box<SyncArrived>),
    /// Processes are awaited at sync points no more.
    SyncLeft(SyncLeft),
    /// An agent knows of a job of this run that the log does not reach: numbers up to that one are not given again.
    JobNumbersPassed(JobNumber),
    /// A process that has clients is over.
    GroupEnded {
        /// Which.
        master: GroupMaster,
        /// Why, for people.
        reason: String,
    },
    /// A test, or a person, says that something has happened.
    TestEvent(Box<TestEvent>),
    /// More of that was said than is kept.
    TestEventsDropped {
        /// Job.
        job: JobNumber,
        /// How many.
        count: u32,
    },
    /// An errand that a process asked for can not be started.
    ErrandRefused(Box<ErrandRefused>),
    /// The time of a round is over.
    SyncTimedOut {
        /// Job.
        job: JobNumber,
        /// Round.
        round: RoundKey,
    },
    /// A plan was accepted.
    PlanStarted(Arc<PlanSpec>),
    /// A step of a plan began.
    PlanStepBegun {
        /// Job.
        job: JobNumber,
        /// Place of the step.
        step: usize,
    },
    /// The processes of a task were placed.
    PlanTaskPlaced(PlanTaskPlaced),
    /// A task waits to be placed again.
    PlanTaskQueued(PlanTaskQueued),
    /// Tasks of a plan are over.
    PlanTasksEnded {
        /// Run.
        run: RunId,
        /// Job.
        job: JobNumber,
        /// Which, and how.
        ends: Vec<TaskEnd>,
    },
    /// A task that failed keeps its machines.
    CheckoutAsked(CheckoutAsked),
}

/// The processes of a task were placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTaskPlaced {
    /// Run.
    pub run: RunId,
    /// Job.
    pub job: JobNumber,
    /// Place of the task.
    pub task: usize,
    /// Attempt of the task, from 1.
    pub attempt: u32,
    /// Attempt of its processes.
    pub process_attempt: Attempt,
    /// Who started the plan.
    pub actor: String,
    /// Where each of its parts is.
    pub parts: Vec<PartPlaced>,
}

/// Where a part of a task was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlaced {
    /// Its module.
    pub module: ModuleName,
    /// Placement, coded per machine, sorted by machine.
    pub placements: Vec<Placement>,
    /// How many clients each of its processes gets.
    pub clients: u32,
    /// Selector of these.
    pub client_selector: String,
}

impl PlanTaskPlaced {
    /// Placements of all parts.
    pub fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.parts.iter().flat_map(|part| &part.placements)
    }
}

/// A task waits to be placed again; its processes, all final, are forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTaskQueued {
    /// Run.
    pub run: RunId,
    /// Job.
    pub job: JobNumber,
    /// Place of the task.
    pub task: usize,
    /// The attempt that is over.
    pub attempt: u32,
    /// Why.
    pub reason: String,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// Place of the task.
    pub task: usize,
    /// A final state.
    pub state: TaskState,
    /// The worst that its processes say.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: String,
}

/// A task that failed keeps its machines, for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutAsked {
    /// Job.
    pub job: JobNumber,
    /// Place of the task.
    pub task: usize,
    /// Machines, sorted.
    pub machines: Vec<MachineId>,
    /// For whom.
    pub owner: String,
}

/// An errand can not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrandRefused {
    /// Who asked for it.
    pub id: ProcessId,
    /// Its name.
    pub name: String,
    /// Where, as asked for.
    pub machine: String,
    /// Why, for people.
    pub why: String,
}

/// A job was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStarted {
    /// What its processes have in common.
    pub spec: Arc<StartSpec>,
    /// Selector of machines, as given.
    pub selector: String,
    /// Selector of resources, as given.
    pub resource_selector: String,
    /// Placement, coded per machine, sorted by machine; shared with the reply.
    pub placements: Arc<Vec<Placement>>,
}

/// The part of a job on one machine: process numbers are `first`, `first + 1`, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Machine.
    pub machine: MachineId,
    /// Its epoch.
    pub epoch: Epoch,
    /// MACHINES generation that it was placed on.
    pub machine_generation: Position,
    /// First process number.
    pub first: ProcessNumber,
    /// How many processes.
    pub count: u32,
    /// Resources of each process in turn, as many for each.
    pub resources: Resources,
    /// Gang and role of each process in turn; empty for a module without gangs.
    pub members: Vec<Member>,
}

impl Placement {
    /// Resources of the process at an index.
    #[must_use]
    pub fn resources_of(&self, index: usize) -> &[ResourceId] {
        let each = self.resources_each();
        self.resources.get(index * each..(index + 1) * each).unwrap_or_default()
    }

    /// How many resources each process has.
    #[must_use]
    pub fn resources_each(&self) -> usize {
        self.resources.len() / (self.count as usize).max(1)
    }
}

/// Stop was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRequested {
    /// Job.
    pub job: JobNumber,
    /// Processes, sorted; empty means all.
    pub processes: Vec<ProcessNumber>,
    /// Time before they are killed.
    pub grace: Duration,
    /// Why.
    pub reason: StopReason,
}

/// One transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessChange {
    /// Who.
    pub id: ProcessId,
    /// Where.
    pub machine: MachineId,
    /// From.
    pub from: ProcessState,
    /// To.
    pub to: ProcessState,
    /// What the test says.
    pub verdict: Verdict,
    /// Exit status, when known.
    pub exit_status: Option<i32>,
    /// Why, for people.
    pub reason: String,
    /// OS process id; 0 when not known.
    pub pid: u32,
}

/// What all processes of a job have in common is another from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChanged {
    /// Job.
    pub job: JobNumber,
    /// Its pulses, all of them, sorted; none leaves them as they are.
    pub pulses: Option<Vec<PulseNumber>>,
    /// Its parameters, all of them, sorted by name; empty leaves them as they are.
    pub parameters: Vec<(String, String)>,
}

/// The last batch that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportsTaken {
    /// Machine.
    pub machine: MachineId,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Number.
    pub batch: u64,
}

/// What MACHINES says of a machine, with what follows for placement at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSeen {
    /// What MACHINES says.
    pub seen: Seen,
    /// Resources that processes may use, with their load numbers; for readers of the log, the state derives its own.
    pub usable: Vec<UsableResource>,
}

/// A resource that processes may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableResource {
    /// Id.
    pub id: ResourceId,
    /// Kind.
    pub kind: ResourceKind,
    /// Load number.
    pub load: u32,
}

/// A load number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadNumber {
    /// Kind.
    pub kind: ResourceKind,
    /// Device type; empty is the default of the kind.
    pub device_type: String,
    /// Processes that fit comfortably at once.
    pub load: u32,
}

/// The next attempt of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessReplaced {
    /// The attempt that is over.
    pub id: ProcessId,
    /// The new place; one process.
    pub placement: Placement,
    /// Why.
    pub reason: String,
}

/// A process announced that its machine goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsenceExpected {
    /// Who.
    pub id: ProcessId,
    /// Where.
    pub machine: MachineId,
    /// What, and what was decided.
    pub expected: Expected,
}

/// Processes arrive at a round of a sync point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncArrived {
    /// Job.
    pub job: JobNumber,
    /// Round; the first who arrive begin it.
    pub round: RoundKey,
    /// Who takes part, sorted; empty for every process of the job.
    pub participants: Vec<ProcessNumber>,
    /// Pool time until which others are awaited; of the first who arrive.
    pub until: PoolTime,
    /// Who arrives, and how they vote; sorted.
    pub votes: Vec<(ProcessNumber, bool)>,
    /// Why they may not take part; empty where they may.
    pub refused: String,
}

/// Processes are awaited at sync points no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncLeft {
    /// Job.
    pub job: JobNumber,
    /// Processes.
    pub processes: Vec<ProcessNumber>,
}

/// Machines are armed for a trigger; an arm replaces the one that a machine has for the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerArmed {
    /// What they are armed with.
    pub spec: Arc<ArmSpec>,
    /// Machines and their epochs, sorted.
    pub machines: Vec<(MachineId, Epoch)>,
}

/// Arms are taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerDisarmed {
    /// Number.
    pub number: TriggerNumber,
    /// Machines, sorted.
    pub machines: Vec<MachineId>,
}
