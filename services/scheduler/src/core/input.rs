//! What the core is asked and told, and what it answers and wants done.

mod agents;
mod plans;
mod triggers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    CommandId, Dpid, Epoch, Firing, Incarnation, JobNumber, MachineId, ModuleName, PoolTime, Position, ProcessId,
    Pulse, PulseNumber, ReservationId, ResourceKind, RunId, TriggerPolicy,
};

use super::attached::{Attached, ReservationNews};
use super::errand::Errand;
use super::event::{JobChanged, JobStarted, Placement};
use super::facts::MachineFact;
use super::job::{Expected, Member, StartSpec};
use super::master::{CenterId, ChangeMaster, Master};
use super::module::Module;
use super::sync::Answer;
use super::test_event::TestEvent;
use super::trigger;

pub use agents::{
    AgentRefusal, Announced, ErrandSaid, ErrandStart, Hello, KnownProcess, ProcessReport, RefusedProcess, Report,
    Reports, SyncSaid, TestEventSaid,
};
pub use plans::{PlanAccepted, PlanStart, RoleStart, StepStart, TaskStart};
pub use triggers::{Arm, Armed, Disarm, Fire};

/// A command, a message of a followed stream, or the tick.
#[derive(Debug, Clone)]
pub enum Input {
    /// Start processes.
    Start(Start),
    /// Start processes once a reservation is ready.
    Attach(Start),
    /// RESERVATIONS says something of a reservation.
    Reservation {
        /// Which.
        id: ReservationId,
        /// What.
        news: ReservationNews,
    },
    /// Start a plan.
    StartPlan(Box<PlanStart>),
    /// Stop processes.
    Stop(Stop),
    /// Put a module into the catalogue.
    AddModule(Box<Module>),
    /// Take one out.
    RemoveModule(String),
    /// Begin a new run.
    NewRun,
    /// Define a pulse.
    SetPulse(PulseNumber, Pulse),
    /// Take definitions of pulses away.
    ClearPulses(ClearPulses),
    /// Change a job that runs.
    ChangeJob(ChangeJob),
    /// A command center takes or releases the mastership.
    ChangeMaster(ChangeMaster),
    /// A command of job control that was given in an interactive command center.
    FromCenter {
        /// Which center.
        center: CenterId,
        /// The command.
        input: Box<Input>,
    },
    /// Arm machines for a trigger.
    Arm(Box<Arm>),
    /// Take arms away.
    Disarm(Disarm),
    /// A person fires a trigger.
    Fire(Fire),
    /// A person says an event.
    Emit(Emit),
    /// An agent said hello.
    Hello(Hello),
    /// A message of MACHINES.
    Machines {
        /// Its position.
        position: Position,
        /// What it says, in order.
        facts: Vec<MachineFact>,
    },
    /// A message of REPORTS.
    Reports(Reports),
    /// An agent refused processes.
    Refused {
        /// Machine.
        machine: MachineId,
        /// Which, and why.
        refused: Vec<RefusedProcess>,
    },
    /// An agent was asked for all it knows.
    Inventory {
        /// Machine.
        machine: MachineId,
        /// Incarnation that was asked.
        incarnation: Incarnation,
        /// Generation that it has.
        generation: Position,
        /// What it knows.
        known: Vec<KnownProcess>,
        /// Number of the newest batch of reports that it has written.
        last_batch: u64,
    },
    /// Due timers.
    Tick,
}

impl Input {
    /// The command as a refusal names it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Start(Start { again: Some(again), .. }) => format!("start job {} again", again.job),
            Self::Attach(start) | Self::Start(start) => format!("start {}", start.module),
            Self::StartPlan(plan) => format!("start plan {}", plan.name),
            Self::Stop(_) => "stop".into(),
            Self::AddModule(module) => format!("add module {}", module.name),
            Self::RemoveModule(name) => format!("remove module {name}"),
            Self::NewRun => "begin a new run".into(),
            Self::SetPulse(number, _) => format!("set pulse {number}"),
            Self::ClearPulses(_) => "clear pulses".into(),
            Self::ChangeJob(change) => format!("change job {}", change.job),
            Self::Arm(arm) => format!("arm trigger {}", arm.number),
            Self::Disarm(_) => "disarm triggers".into(),
            Self::Fire(fire) => format!("fire trigger {}", fire.number),
            Self::Emit(emit) => format!("emit {}", emit.name),
            Self::FromCenter { input, .. } => input.name(),
            Self::ChangeMaster(_)
            | Self::Hello(_)
            | Self::Reservation { .. }
            | Self::Machines { .. }
            | Self::Reports(_)
            | Self::Refused { .. }
            | Self::Inventory { .. }
            | Self::Tick => "command".into(),
        }
    }
}

/// Start processes of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Id of the command: seeds are derived from it.
    pub command: CommandId,
    /// Who.
    pub actor: String,
    /// Module: `name` or `name@version`.
    pub module: String,
    /// How many.
    pub count: Count,
    /// Selector of machines.
    pub selector: String,
    /// Selector of resources.
    pub resource_selector: String,
    /// Parameters as given.
    pub parameters: Vec<(String, String)>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Reservation; 0 is the pool.
    pub reservation: ReservationId,
    /// Seed; 0 derives one.
    pub seed: u64,
    /// Pulses that gate every iteration, as given.
    pub pulses: Vec<u32>,
    /// What comes first when a process finds wrong data, as given.
    pub on_error: String,
    /// A job that is to be started again; only the reservation and whether it is a dry run count besides.
    pub again: Option<Again>,
    /// It is set up, and left to a person to start.
    pub check_out: bool,
}

/// A person says an event.
#[derive(Debug, Clone)]
pub struct Emit {
    /// Who.
    pub actor: String,
    /// Name.
    pub name: String,
    /// What it says.
    pub data: String,
}

/// Take definitions of pulses away.
#[derive(Debug, Clone, Default)]
pub struct ClearPulses {
    /// Which, as given.
    pub numbers: Vec<u32>,
    /// All of them.
    pub all: bool,
}

/// Change a job that runs.
#[derive(Debug, Clone)]
pub struct ChangeJob {
    /// Job.
    pub job: JobNumber,
    /// Its pulses from here on, as given; none leaves them as they are.
    pub pulses: Option<Vec<u32>>,
    /// Parameters that change.
    pub parameters: Vec<(String, String)>,
}

/// A job that is to be started again.
#[derive(Debug, Clone, PartialEq)]
pub struct Again {
    /// Its run; none is the current one.
    pub run: Option<RunId>,
    /// The job.
    pub job: JobNumber,
    /// What was started, and where its processes were last, as the archive says: for a job of a run that is over.
    pub archived: Option<Arc<JobStarted>>,
}

/// How many processes a start asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number that was given.
    pub number: u32,
    /// What it counts.
    pub by: CountBy,
}

/// What the number of a start counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// The whole job.
    Job,
    /// So many on each machine that fits.
    Machine,
    /// So many on each resource of a kind that may be used.
    Resource(ResourceKind),
}

impl CountBy {
    /// The option of the command line.
    #[must_use]
    pub fn option(self) -> String {
        match self {
            Self::Job => "--processes".into(),
            Self::Machine => "--per-machine".into(),
            Self::Resource(kind) => format!("--per-{kind}"),
        }
    }
}

/// Stop processes.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Jobs.
    pub jobs: Vec<JobNumber>,
    /// Single processes.
    pub dpids: Vec<Dpid>,
    /// Everything.
    pub all: bool,
    /// Time before they are killed; zero means the module's own.
    pub grace: Duration,
}

/// News for the volatile part.
#[derive(Debug, Clone)]
pub enum Observation {
    /// A heartbeat was heard.
    Heartbeat(Heartbeat),
    /// Results of pings.
    Pings {
        /// Machine.
        machine: MachineId,
        /// Of each live process.
        pinged: Vec<Pinged>,
    },
    /// An agent has taken an update.
    Updated {
        /// Machine.
        machine: MachineId,
        /// Incarnation that was addressed.
        incarnation: Incarnation,
        /// Generation that it now has.
        generation: Position,
        /// Identities that it was told to forget or to stop although the log does not know them.
        told: Vec<ProcessId>,
    },
    /// An agent did not take an update.
    UpdateRefused {
        /// Machine.
        machine: MachineId,
        /// Why, in its words.
        detail: String,
    },
    /// An agent said all it knows.
    Inventory {
        /// Machine.
        machine: MachineId,
        /// What it knows.
        known: Vec<KnownProcess>,
    },
    /// Command centers that were heard since it was looked last.
    Centers(BTreeSet<CenterId>),
}

/// Result of the newest ping of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinged {
    /// Identity.
    pub id: ProcessId,
    /// It answered.
    pub answered: bool,
    /// Iterations.
    pub iterations: u64,
    /// How long they have not changed.
    pub unchanged: Duration,
}

/// A heartbeat.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Machine.
    pub machine: MachineId,
    /// Incarnation of its agent.
    pub incarnation: Incarnation,
    /// Generation of the desired list that it has.
    pub generation: Position,
    /// Digest of what lives.
    pub digest: u64,
    /// How many live.
    pub live: u32,
    /// Number of the newest batch of reports that it knows to be stored.
    pub stored: u64,
    /// What its policy file permits triggers to do.
    pub policy: TriggerPolicy,
}

/// Answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A start was accepted, or would be.
    Started(Started),
    /// Starts that wait, or waited, for a reservation.
    Attached(Vec<(ReservationId, Attached)>),
    /// A plan was accepted, or would be.
    PlanAccepted(PlanAccepted),
    /// A stop was accepted.
    Stopped {
        /// Processes that were told now.
        processes: u32,
        /// Jobs that they belong to, sorted.
        jobs: Vec<JobNumber>,
    },
    /// The catalogue changed.
    ModuleChanged {
        /// Name.
        name: ModuleName,
        /// Version; empty when removed.
        version: String,
        /// It was the same already.
        unchanged: bool,
    },
    /// A new run began.
    RunStarted(RunId),
    /// Pulses were defined or are not defined any more: who is gated by them, or goes on free of them.
    Pulses(Vec<PulseUse>),
    /// A job was changed: what it has now.
    JobChanged(JobChanged),
    /// Who is master after it.
    Master(Option<Master>),
    /// Machines were armed, or arms taken away.
    Armed(Armed),
    /// A trigger may fire: whoever asked says so to the agents.
    Fired {
        /// The firing.
        firing: Box<Firing>,
        /// Machines that are armed for it.
        machines: Vec<MachineId>,
    },
    /// An event of a person was taken, at this time.
    Emitted(Box<TestEvent>, PoolTime),
    /// A hello was taken; what the agent is to do is answered from the state after it.
    HelloTaken,
}

/// A pulse, and who is gated by it.
#[derive(Debug, Clone, PartialEq)]
pub struct PulseUse {
    /// Its number.
    pub number: PulseNumber,
    /// Its definition; of one that was cleared the last one.
    pub pulse: Pulse,
    /// Jobs with live processes that have it, sorted.
    pub jobs: Vec<JobNumber>,
    /// Their live processes.
    pub processes: u64,
    /// It is not defined any more.
    pub cleared: bool,
}

/// What a start did, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Run.
    pub run: RunId,
    /// Job; 0 for a dry run.
    pub job: JobNumber,
    /// Placement.
    pub placements: std::sync::Arc<Vec<Placement>>,
    /// Greatest load of a machine over the mean, thousandths.
    pub balance_milli: u64,
    /// Seed that is used.
    pub seed: u64,
    /// What the resources that are used are loaded before and after; of a dry run alone.
    pub loads: Vec<LoadChange>,
}

/// What a start would do to a resource, or to all of one kind that it uses of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadChange {
    /// Machine.
    pub machine: MachineId,
    /// Resource; none for all of the kind.
    pub resource: Option<muster_model::ResourceId>,
    /// Kind.
    pub kind: ResourceKind,
    /// Processes of the start that use it.
    pub processes: u32,
    /// Load before, thousandths: 1000 = every place of its load number taken once.
    pub before_milli: u64,
    /// Load after it.
    pub after_milli: u64,
}

/// Unit of change for effects and projections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A machine's desired list.
    Machine(MachineId),
    /// A job.
    Job(JobNumber),
    /// A job's part on a machine.
    Part(JobNumber, MachineId),
}

/// Something to be done outside. Idempotent.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Bring an agent to the machine's generation.
    SendUpdate(Box<Update>),
    /// Ask an agent for all it knows.
    ListKnown {
        /// Machine.
        machine: MachineId,
        /// Its epoch.
        epoch: Epoch,
        /// Its incarnation.
        incarnation: Incarnation,
    },
}

/// What an agent is to be told.
#[derive(Debug, Clone)]
pub struct Update {
    /// Machine.
    pub machine: MachineId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Generation that it builds on.
    pub builds_on: Position,
    /// Generation after it.
    pub generation: Position,
    /// What is to run or to stop.
    pub desired: Desired,
    /// Identities among these that the log does not know as live: told once.
    pub told: Vec<ProcessId>,
}

/// Orders for one agent, by job, epoch and generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Orders.
    pub orders: Vec<Orders>,
    /// Live processes that the log does not want: to be stopped.
    pub strays: Vec<ProcessId>,
    /// Identities that may be forgotten.
    pub forget: Vec<ProcessId>,
    /// Every pulse that jobs with live processes on the machine have and that is defined, sorted by number.
    pub pulses: Vec<(PulseNumber, Pulse)>,
    /// Every arm of a trigger that the machine has, by number.
    pub arms: Vec<trigger::Arm>,
}

/// Orders of one job on one machine that were placed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// What they have in common.
    pub spec: std::sync::Arc<StartSpec>,
    /// Epoch that they were placed in.
    pub epoch: Epoch,
    /// MACHINES generation that they were placed on.
    pub machine_generation: Position,
    /// The processes.
    pub processes: Vec<Order>,
}

/// One process as its agent is to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Process number.
    pub process: muster_model::ProcessNumber,
    /// Attempt.
    pub attempt: muster_model::Attempt,
    /// Resources.
    pub resources: Vec<muster_model::ResourceId>,
    /// It is to stop, with so much grace.
    pub stop: Option<Duration>,
    /// Its gang; none for a module without gangs.
    pub gang: Option<GangOrder>,
    /// What was decided of its newest announcement; none where nothing follows from one.
    pub expected: Option<Box<Expected>>,
    /// What came of its newest arrival at a sync point; none while it waits.
    pub synced: Option<Box<Answer>>,
    /// Every errand that it asked for and that is decided, by name.
    pub errands: Vec<(String, Errand)>,
}

/// What a member of a gang is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GangOrder {
    /// Which gang, and its role in it.
    pub member: Member,
    /// Every member, itself included, by role.
    pub members: Vec<(muster_model::ProcessNumber, muster_model::Attempt, MachineId)>,
}
