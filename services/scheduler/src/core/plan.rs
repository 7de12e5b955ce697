//! Plans: one job of steps in sequence, each of tasks side by side (decision 20).
//!
//! Responsible for what is remembered of them, and for what follows from that alone. What happens next is decided in `decide/plans.rs`,
//! what a task came to in `judge.rs`, how events change plans in `plan_fold.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    Attempt, JobNumber, MachineId, ModuleName, OnError, OnFailure, PoolTime, ProcessNumber, ReservationId, RunId,
    TaskState, Verdict,
};

use super::input::{Count, CountBy};
use super::job::{Job, StartSpec};
use super::module::Module;

/// What `module` says of the job that a plan is.
const PLAN_WORD: &str = "plan";

/// A plan as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSpec {
    /// Run.
    pub run: RunId,
    /// Job number.
    pub job: JobNumber,
    /// Its name, for people.
    pub name: String,
    /// Who started it.
    pub actor: String,
    /// Reservation on whose machines it runs; 0 is the pool.
    pub reservation: ReservationId,
    /// Steps, in the order of the file.
    pub steps: Vec<StepSpec>,
}

/// A step as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSpec {
    /// Its name.
    pub name: String,
    /// Places of the steps that must be over before it begins, rising.
    pub after: Vec<usize>,
    /// What follows where it fails.
    pub on_failure: OnFailure,
    /// Tasks; never empty.
    pub tasks: Vec<Arc<TaskSpec>>,
}

/// A task as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its name.
    pub name: String,
    /// Time from its placement until it is stopped; zero for none.
    pub limit: Duration,
    /// How often it is tried where the infrastructure fails.
    pub attempts: u32,
    /// What it runs; never empty.
    pub parts: Vec<Part>,
}

/// What a task runs, or one of its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name of the role; empty for a task without roles.
    pub role: String,
    /// What its processes have in common.
    pub spec: Arc<StartSpec>,
    /// Selector of machines, as given.
    pub selector: String,
    /// Selector of resources, as given.
    pub resource_selector: String,
    /// How many processes; of a role, how many machines.
    pub count: Count,
    /// Its first process number; 0 where it is given when it is placed.
    pub first: ProcessNumber,
}

/// A plan, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// As it was accepted.
    pub spec: Arc<PlanSpec>,
    /// Where each step stands.
    pub steps: Vec<Step>,
    /// Every task, step by step.
    pub tasks: Vec<Task>,
    /// Task and part by their first process number; derived from the tasks.
    parts: BTreeMap<ProcessNumber, (usize, usize)>,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// Pool time it began.
    pub begun: PoolTime,
    /// Pool time its last task ended. Set once.
    pub ended: PoolTime,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Place of its step.
    pub step: usize,
    /// As it was accepted.
    pub spec: Arc<TaskSpec>,
    /// Where it stands.
    pub state: TaskState,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// The worst that its processes say; none before it ended.
    pub verdict: Verdict,
    /// Why it waits again, or ended as it did, for people.
    pub reason: String,
    /// Pool time it was placed.
    pub placed: PoolTime,
    /// Pool time it ended. Set once.
    pub ended: PoolTime,
    /// Process numbers of each of its parts.
    pub ranges: Vec<NumberRange>,
    /// Attempt of the processes that are placed next.
    pub next_attempt: Attempt,
    /// Attempts that are over.
    pub past: Vec<PastAttempt>,
    /// Machines that it keeps for the owner of the plan, sorted.
    pub kept: Vec<MachineId>,
}

/// A range of process numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumberRange {
    /// The first.
    pub first: ProcessNumber,
    /// How many; 0 where it is not known yet.
    pub count: u32,
}

impl NumberRange {
    /// It has a number.
    #[must_use]
    pub fn has(&self, process: ProcessNumber) -> bool {
        (self.first.0..self.first.0 + self.count).contains(&process.0)
    }

    /// The number after its last one.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first.0 + self.count
    }
}

/// An attempt of a task that was followed by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastAttempt {
    /// Which, from 1.
    pub attempt: u32,
    /// Pool time it was placed.
    pub placed: PoolTime,
    /// Pool time it was given up.
    pub ended: PoolTime,
    /// Why.
    pub reason: String,
}

impl PlanSpec {
    /// What the job that it is has in common: a module of that name takes no parameters, and is in no catalogue.
    #[must_use]
    pub fn common(&self) -> StartSpec {
        StartSpec {
            module: Module {
                name: ModuleName::new(PLAN_WORD).expect("a good name"),
                version: String::new(),
                description: String::new(),
                artifacts: Vec::new(),
                requirements: Vec::new(),
                parameters: Vec::new(),
                stop_grace: self.parts().map(|part| part.spec.module.stop_grace).max().unwrap_or_default(),
                ends_by_itself: true,
                stall: Duration::ZERO,
                roles: Vec::new(),
                reboots: false,
                root: false,
                clients: String::new(),
                client_selector: String::new(),
            },
            parameters: Vec::new(),
            seed: 0,
            reservation: self.reservation,
            actor: self.actor.clone(),
            run: self.run,
            job: self.job,
            pulses: Vec::new(),
            on_error: OnError::Report,
            errand_of: None,
            check_out: false,
        }
    }

    /// What its tasks run.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.steps.iter().flat_map(|step| &step.tasks).flat_map(|task| &task.parts)
    }

    /// How many tasks it has.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.steps.iter().map(|step| step.tasks.len()).sum()
    }
}

impl TaskSpec {
    /// Its processes are of several roles, each on a machine of its own.
    #[must_use]
    pub fn has_roles(&self) -> bool {
        self.parts.iter().any(|part| !part.role.is_empty())
    }
}

impl Part {
    /// How many processes it has, where that does not depend on the machines.
    #[must_use]
    pub fn fixed_count(&self) -> Option<u32> {
        match self.count.by {
            CountBy::Job => Some(self.count.number),
            CountBy::Machine | CountBy::Resource(_) => None,
        }
    }
}

impl Plan {
    /// A plan of which nothing has begun.
    #[must_use]
    pub fn new(spec: Arc<PlanSpec>) -> Self {
        let steps = vec![Step::default(); spec.steps.len()];
        let tasks = spec.steps.iter().enumerate();
        let tasks = tasks.flat_map(|(step, spec)| spec.tasks.iter().map(move |task| Task::new(step, task.clone())));
        let mut plan = Self { tasks: tasks.collect(), steps, spec, parts: BTreeMap::new() };
        plan.index();
        plan
    }

    /// Derives which part a process number belongs to. To be called after ranges changed.
    pub(crate) fn index(&mut self) {
        let ranges = self.tasks.iter().enumerate().flat_map(|(task, found)| {
            let known = found.ranges.iter().enumerate().filter(|(_, range)| range.count > 0);
            known.map(move |(part, range)| (range.first, (task, part)))
        });
        self.parts = ranges.collect();
    }

    /// Task and part that a process number belongs to.
    #[must_use]
    pub fn place_of(&self, process: ProcessNumber) -> Option<(usize, usize)> {
        let (_, place) = self.parts.range(..=process).next_back()?;
        self.tasks[place.0].ranges[place.1].has(process).then_some(*place)
    }

    /// The first process number of the part that a process number belongs to.
    #[must_use]
    pub fn first_of_part(&self, process: ProcessNumber) -> Option<ProcessNumber> {
        let (task, part) = self.place_of(process)?;
        Some(self.tasks[task].ranges[part].first)
    }

    /// The part that a process number belongs to.
    #[must_use]
    pub fn part_of(&self, process: ProcessNumber) -> Option<&Part> {
        let (task, part) = self.place_of(process)?;
        Some(&self.tasks[task].spec.parts[part])
    }

    /// The first process number that is nobody's.
    #[must_use]
    pub fn next_number(&self) -> ProcessNumber {
        ProcessNumber(self.tasks.iter().flat_map(|task| &task.ranges).map(NumberRange::end).max().unwrap_or(1).max(1))
    }

    /// Tasks of a step, with their places.
    pub fn tasks_of(&self, step: usize) -> impl Iterator<Item = (usize, &Task)> {
        self.tasks.iter().enumerate().filter(move |(_, task)| task.step == step)
    }

    /// Where a step stands.
    #[must_use]
    pub fn step_state(&self, step: usize) -> TaskState {
        TaskState::roll_up(self.tasks_of(step).map(|(_, task)| task.state))
    }

    /// Where the plan stands.
    #[must_use]
    pub fn state(&self) -> TaskState {
        TaskState::roll_up_job((0..self.steps.len()).map(|step| self.step_state(step)))
    }

    /// Nothing follows.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.tasks.iter().all(|task| task.state.is_final())
    }

    /// The step that failed so that no further one begins.
    #[must_use]
    pub fn failed_step(&self) -> Option<usize> {
        (0..self.steps.len()).find(|step| match self.spec.steps[*step].on_failure {
            OnFailure::Continue => false,
            OnFailure::Stop | OnFailure::Checkout => self.step_state(*step) == TaskState::Failed,
        })
    }

    /// A step has not begun, and every step before it is over.
    #[must_use]
    pub fn may_begin(&self, step: usize) -> bool {
        let is_over = |before: &usize| self.step_state(*before).is_final();
        self.steps[step].begun == PoolTime::NEVER && self.spec.steps[step].after.iter().all(is_over)
    }

    /// A task as people name it: `step/task`.
    #[must_use]
    pub fn name_of(&self, task: usize) -> String {
        let found = &self.tasks[task];
        format!("{}/{}", self.spec.steps[found.step].name, found.spec.name)
    }
}

impl Task {
    fn new(step: usize, spec: Arc<TaskSpec>) -> Self {
        let range = |part: &Part| match part.first {
            ProcessNumber(0) => NumberRange::default(),
            first => NumberRange { first, count: part.fixed_count().unwrap_or(0) },
        };
        Self {
            step,
            state: TaskState::Queued,
            attempt: 1,
            verdict: Verdict::None,
            reason: String::new(),
            placed: PoolTime::NEVER,
            ended: PoolTime::NEVER,
            ranges: spec.parts.iter().map(range).collect(),
            next_attempt: Attempt(1),
            past: Vec::new(),
            kept: Vec::new(),
            spec,
        }
    }

    /// It has a process number.
    #[must_use]
    pub fn has(&self, process: ProcessNumber) -> bool {
        self.ranges.iter().any(|range| range.has(process))
    }

    /// Its process numbers.
    pub fn numbers(&self) -> impl Iterator<Item = ProcessNumber> {
        self.ranges.iter().flat_map(|range| (range.first.0..range.end()).map(ProcessNumber))
    }
}

impl Job {
    /// The job that a plan is.
    pub(crate) fn of_plan(spec: Arc<PlanSpec>, started: PoolTime) -> Self {
        let mut job = Self::new(Arc::new(spec.common()), Default::default(), started);
        job.plan = Some(Box::new(Plan::new(spec)));
        job
    }

    /// What a process was started with.
    #[must_use]
    pub fn spec_of(&self, process: ProcessNumber) -> &Arc<StartSpec> {
        let part = self.plan.as_ref().and_then(|plan| plan.part_of(process));
        part.map_or(&self.spec, |part| &part.spec)
    }

    /// Selectors of machines and resources that a process was placed by.
    #[must_use]
    pub fn selectors_of(&self, process: ProcessNumber) -> (&str, &str) {
        let part = self.plan.as_ref().and_then(|plan| plan.part_of(process));
        part.map_or((&self.selector, &self.resource_selector), |part| (&part.selector, &part.resource_selector))
    }

    /// Everything that its processes were, or will be, started with.
    pub fn specs(&self) -> impl Iterator<Item = &Arc<StartSpec>> {
        let parts = self.plan.iter().flat_map(|plan| plan.spec.parts()).map(|part| &part.spec);
        parts.chain(self.plan.is_none().then_some(&self.spec))
    }
}
