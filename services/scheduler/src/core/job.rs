//! Jobs and processes as the log has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    Absence, Attempt, Epoch, JobNumber, MachineId, OnError, PoolTime, Position, ProcessNumber, ProcessState,
    PulseNumber, ReservationId, ResourceId, RunId, Verdict,
};

use super::errand::{Errand, ErrandOf};
use super::module::Module;
use super::plan::Plan;
use super::sync::{Arrival, Round, RoundKey};

/// A process's place in a gang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Number of the gang in its job, from 1.
    pub gang: u32,
    /// Index into the module's roles.
    pub role: u32,
}

/// What all processes of one job have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartSpec {
    /// The module as it was at the start.
    pub module: Module,
    /// Parameters with defaults filled in, sorted by name.
    pub parameters: Vec<(String, String)>,
    /// Seed of the job.
    pub seed: u64,
    /// Reservation on whose machines it runs; 0 is the pool.
    pub reservation: ReservationId,
    /// Who started it.
    pub actor: String,
    /// Run.
    pub run: RunId,
    /// Job number.
    pub job: JobNumber,
    /// Pulses that gate every iteration, sorted.
    pub pulses: Vec<PulseNumber>,
    /// What comes first when a process finds wrong data.
    pub on_error: OnError,
    /// It is set up, and left to a person to start.
    pub check_out: bool,
    /// The process whose errand it is; none for a job that was started by itself.
    pub errand_of: Option<ErrandOf>,
}

impl StartSpec {
    /// How many clients each of its processes gets.
    #[must_use]
    pub fn clients(&self) -> u32 {
        let count = self.parameters.iter().find(|(name, _)| *name == self.module.clients);
        count.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }
}

/// Processes by state, in the order of [`ProcessState::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts(pub [u32; ProcessState::ALL.len()]);

impl Counts {
    /// How many are in a state.
    #[must_use]
    pub fn of(&self, state: ProcessState) -> u32 {
        self.0[state as usize]
    }

    /// How many are not final.
    #[must_use]
    pub fn live(&self) -> u32 {
        ProcessState::ALL.iter().filter(|state| !state.is_final()).map(|state| self.of(*state)).sum()
    }

    pub(crate) fn add(&mut self, state: ProcessState) {
        self.0[state as usize] += 1;
    }

    pub(super) fn remove(&mut self, state: ProcessState) {
        self.0[state as usize] -= 1;
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What was started.
    pub spec: Arc<StartSpec>,
    /// Selector of machines, as it was given.
    pub selector: String,
    /// Selector of resources, as it was given.
    pub resource_selector: String,
    /// How many processes.
    pub processes: u32,
    /// Processes by state.
    pub by_state: Counts,
    /// Processes by verdict, in the order of [`Verdict::ALL`]; final ones alone.
    pub by_verdict: [u32; Verdict::ALL.len()],
    /// Processes whose first ping was answered.
    pub ran: u32,
    /// Processes by state, per machine.
    pub parts: BTreeMap<MachineId, Counts>,
    /// Process numbers of each gang by role; derived from the processes. Empty for a module without gangs.
    pub gangs: Vec<Vec<ProcessNumber>>,
    /// Pool time of the command.
    pub started: PoolTime,
    /// Pool time at which all had run at least once. Set once.
    pub all_running: PoolTime,
    /// Pool time at which the last process was final. Set once.
    pub ended: PoolTime,
    /// Stop was asked for, of the whole job.
    pub stopping: bool,
    /// Rounds of sync points; none once it has ended.
    pub rounds: BTreeMap<RoundKey, Round>,
    /// Processes that no round waits for.
    pub left: BTreeSet<ProcessNumber>,
    /// Its steps and tasks; none for a job that is no plan.
    pub plan: Option<Box<Plan>>,
}

impl Job {
    /// A job without processes.
    pub(crate) fn new(spec: Arc<StartSpec>, selectors: (String, String), started: PoolTime) -> Self {
        let (selector, resource_selector) = selectors;
        Self {
            spec,
            selector,
            resource_selector,
            processes: 0,
            by_state: Counts::default(),
            by_verdict: Default::default(),
            ran: 0,
            parts: BTreeMap::new(),
            gangs: Vec::new(),
            started,
            all_running: PoolTime::NEVER,
            ended: PoolTime::NEVER,
            stopping: false,
            rounds: BTreeMap::new(),
            left: BTreeSet::new(),
            plan: None,
        }
    }

    /// Notes where a process stands in its gang.
    pub(super) fn note_member(&mut self, process: ProcessNumber, member: Member) {
        let (gang, role) = (member.gang.saturating_sub(1) as usize, member.role as usize);
        if self.gangs.len() <= gang {
            self.gangs.resize(gang + 1, Vec::new());
        }
        let members = &mut self.gangs[gang];
        if members.len() <= role {
            members.resize(role + 1, ProcessNumber(0));
        }
        members[role] = process;
    }

    /// Forgets where a process stands in its gang, and with it the gang.
    pub(super) fn forget_member(&mut self, member: Member) {
        if let Some(gang) = self.gangs.get_mut(member.gang.saturating_sub(1) as usize) {
            gang.clear();
        }
        while self.gangs.last().is_some_and(Vec::is_empty) {
            self.gangs.pop();
        }
    }

    /// Nothing of it runs, or is to run.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match &self.plan {
            Some(plan) => plan.is_over(),
            None => self.by_state.live() == 0,
        }
    }

    /// Process numbers of a gang, by role.
    pub(super) fn gang_of(&self, member: Member) -> &[ProcessNumber] {
        self.gangs.get(member.gang.saturating_sub(1) as usize).map_or(&[], Vec::as_slice)
    }
}

/// A process was told to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// Time before it is killed.
    pub grace: Duration,
    /// When.
    pub at: PoolTime,
    /// Why.
    pub reason: StopReason,
}

/// Why something was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A person asked for it.
    User,
    /// Its machine changes hands.
    Draining,
    /// What it uses became protected.
    Protected,
    /// Another member of its gang could not be placed.
    Gang,
    /// Its machine is booted into another kernel.
    Boot,
    /// What it uses is prepared as a test area, or back.
    Prepared,
    /// The infrastructure failed another process of its task, which is to be tried again.
    Task,
    /// The time of its task is over.
    Limit,
    /// The process whose errand it is has ended, or asks for it.
    Errand,
}

impl StopReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::User,
        Self::Draining,
        Self::Protected,
        Self::Gang,
        Self::Boot,
        Self::Prepared,
        Self::Task,
        Self::Limit,
        Self::Errand,
    ];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Draining => "draining",
            Self::Protected => "protected",
            Self::Gang => "gang",
            Self::Boot => "boot",
            Self::Prepared => "prepared",
            Self::Task => "task",
            Self::Limit => "limit",
            Self::Errand => "errand",
        }
    }

    /// The same in a sentence for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::User => "a person asked for it",
            Self::Draining => "its machine changes hands",
            Self::Protected => "what it uses became protected",
            Self::Gang => "another member of its gang could not be placed",
            Self::Boot => "its machine is booted into another kernel",
            Self::Prepared => "what it uses is prepared as a test area, or back",
            Self::Task => "another process of its task was ended by the infrastructure",
            Self::Limit => "the time of its task is over",
            Self::Errand => "the process whose errand it is has ended, or asks for it",
        }
    }
}

/// A process announced that its machine goes away, and what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Number of the announcement, by the process.
    pub number: u64,
    /// How the machine goes away.
    pub absence: Absence,
    /// It is back within this.
    pub within: Duration,
    /// Pool time until which it is awaited.
    pub until: PoolTime,
    /// Boot that is to end.
    pub boot_id: String,
    /// What the test says of it, for people.
    pub note: String,
    /// Why it may not; empty where it may, and the process is away.
    pub refused: String,
}

impl Expected {
    /// The machine may go away.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.refused.is_empty()
    }
}

/// The current attempt of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Attempt.
    pub attempt: Attempt,
    /// Where it was placed.
    pub machine: MachineId,
    /// Epoch of the machine at that time.
    pub epoch: Epoch,
    /// MACHINES generation of the machine at that time.
    pub machine_generation: Position,
    /// Its resources, in the order of its module's requirements.
    pub resources: Vec<ResourceId>,
    /// Its place in a gang; none for a module without gangs.
    pub member: Option<Member>,
    /// Where it stands.
    pub state: ProcessState,
    /// What the test says.
    pub verdict: Verdict,
    /// Pool time it was placed.
    pub placed: PoolTime,
    /// Pool time it came into its state.
    pub since: PoolTime,
    /// Pool time its first ping was answered.
    pub running: PoolTime,
    /// Pool time it ended. Set once.
    pub ended: PoolTime,
    /// Exit status, as wait(2) gives it, when it is known.
    pub exit_status: Option<i32>,
    /// Why it is in this state, for people.
    pub reason: String,
    /// OS process id on its machine; 0 before.
    pub pid: u32,
    /// It was told to stop.
    pub stop: Option<StopOrder>,
    /// It announced that its machine goes away: the newest announcement, while something follows from it.
    pub expected: Option<Box<Expected>>,
    /// Attempts that began because its machine came back.
    pub returns: u32,
    /// Its newest arrival at a sync point.
    pub arrival: Option<Box<Arrival>>,
    /// Errands that it asked for, by name; in whichever attempt.
    pub errands: BTreeMap<String, Errand>,
    /// Position of the last event that changed what its agent is to do with it.
    pub changed: Position,
}
