//! What comes next in plans: tasks that are over or are tried again, limits, steps that begin or are skipped. One round of it for each
//! tick, so that every round is decided from what the one before came to.

use muster_model::{Dpid, MachineId, OnFailure, PoolTime, ProcessNumber, TaskState, Verdict};

use super::super::event::{CheckoutAsked, Event, PlanTaskQueued, StopRequested, TaskEnd};
use super::super::job::{Job, Process, StopReason};
use super::super::judge::{Judged, judge};
use super::super::limits::{LET_GO_PATIENCE, PLAN_EVENTS_MAX};
use super::super::observed::Observed;
use super::super::plan::{Plan, Task};
use super::super::state::State;

/// One round for every plan that is not over.
pub(super) fn due(state: &State, observed: &Observed, now: PoolTime) -> Vec<Event> {
    let running = state.jobs.values().filter(|job| job.ended == PoolTime::NEVER);
    let plans = running.filter_map(|job| Some((job, job.plan.as_deref()?)));
    let mut events = Vec::new();
    for (job, plan) in plans {
        if events.len() >= PLAN_EVENTS_MAX {
            break;
        }
        events.extend(Round { state, observed, job, plan, now }.events());
    }
    events
}

/// What is looked at in one round of one plan.
struct Round<'a> {
    state: &'a State,
    observed: &'a Observed,
    job: &'a Job,
    plan: &'a Plan,
    now: PoolTime,
}

impl Round<'_> {
    fn events(&self) -> Vec<Event> {
        let mut events = self.tasks();
        if events.is_empty() {
            events = self.steps();
        }
        events
    }

    /// What follows for tasks whose processes are placed.
    fn tasks(&self) -> Vec<Event> {
        let (mut events, mut ends) = (Vec::new(), Vec::new());
        for (place, task) in self.plan.tasks.iter().enumerate().filter(|(_, task)| task.state == TaskState::Running) {
            let judged = judge(self.state, self.job.spec.job, task);
            if judged.live > 0 {
                events.extend(self.cut_short(task, &judged));
                continue;
            }
            if self.is_tried_again(task, &judged) {
                events.extend(self.queue(place, task, judged));
                continue;
            }
            let end = end_of(place, task, judged, self.job.stopping);
            events.extend(self.checkout(&end, task));
            ends.push(end);
        }
        if self.job.stopping {
            let queued = self.plan.tasks.iter().enumerate().filter(|(_, task)| task.state == TaskState::Queued);
            ends.extend(queued.map(|(place, _)| skipped(place, "the plan was stopped".into())));
        }
        events.extend(self.ended(ends));
        events
    }

    fn ended(&self, ends: Vec<TaskEnd>) -> Option<Event> {
        (!ends.is_empty()).then(|| Event::PlanTasksEnded { run: self.state.run, job: self.job.spec.job, ends })
    }

    /// The infrastructure was in its way, and it may be tried again.
    fn is_tried_again(&self, task: &Task, judged: &Judged) -> bool {
        !self.job.stopping && judged.failed.is_none() && judged.trouble.is_some() && task.attempt < task.spec.attempts
    }

    /// It is queued again once every agent that is there has let go of its last attempt, or has had the time to.
    fn queue(&self, place: usize, task: &Task, judged: Judged) -> Option<Event> {
        let is_let_go = |process: &Process| match self.state.machines.get(&process.machine) {
            None => true,
            Some(machine) => {
                let is_late = (process.ended + LET_GO_PATIENCE).is_due(self.now);
                !self.observed.hears(machine, self.now) || is_late || self.observed.has_taken(machine, process.changed)
            }
        };
        self.processes(task).all(|(_, process)| is_let_go(process)).then(|| {
            Event::PlanTaskQueued(PlanTaskQueued {
                run: self.state.run,
                job: self.job.spec.job,
                task: place,
                attempt: task.attempt,
                reason: judged.trouble.unwrap_or_default(),
            })
        })
    }

    /// What lives of a task is stopped where its time is over, or where the infrastructure has ended another of it.
    fn cut_short(&self, task: &Task, judged: &Judged) -> Option<Event> {
        let is_late = !task.spec.limit.is_zero() && (task.placed + task.spec.limit).is_due(self.now);
        let reason = match (is_late, self.is_tried_again(task, judged)) {
            (true, _) => StopReason::Limit,
            (false, true) => StopReason::Task,
            (false, false) => return None,
        };
        let told = self.processes(task).filter(|(_, process)| !process.state.is_final() && process.stop.is_none());
        let processes: Vec<ProcessNumber> = told.map(|(dpid, _)| dpid.process).collect();
        let grace = task.spec.parts.iter().map(|part| part.spec.module.stop_grace).max().unwrap_or_default();
        let job = self.job.spec.job;
        (!processes.is_empty()).then_some(Event::StopRequested(StopRequested { job, processes, grace, reason }))
    }

    /// A task that failed keeps its machines where its step says so.
    fn checkout(&self, end: &TaskEnd, task: &Task) -> Option<Event> {
        let wanted = self.plan.spec.steps[task.step].on_failure == OnFailure::Checkout;
        if end.state != TaskState::Failed || !wanted || self.job.stopping {
            return None;
        }
        let mut machines: Vec<MachineId> = self.processes(task).map(|(_, process)| process.machine.clone()).collect();
        machines.sort_unstable();
        machines.dedup();
        let owner = self.plan.spec.actor.clone();
        Some(Event::CheckoutAsked(CheckoutAsked { job: self.job.spec.job, task: end.task, machines, owner }))
    }

    /// Steps that are not to begin any more are skipped; others begin when all before them are over.
    fn steps(&self) -> Vec<Event> {
        let job = self.job.spec.job;
        let waiting = || (0..self.plan.steps.len()).filter(|step| self.plan.steps[*step].begun == PoolTime::NEVER);
        if let Some(failed) = self.plan.failed_step() {
            let reason = format!("step {} failed", self.plan.spec.steps[failed].name);
            let open = waiting().flat_map(|step| self.plan.tasks_of(step)).filter(|(_, task)| !task.state.is_final());
            return self.ended(open.map(|(place, _)| skipped(place, reason.clone())).collect()).into_iter().collect();
        }
        let begin = waiting().filter(|step| self.plan.may_begin(*step));
        begin.map(|step| Event::PlanStepBegun { job, step }).collect()
    }

    /// Processes of the current attempt of a task.
    fn processes<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = (Dpid, &'a Process)> {
        let job = self.job.spec.job;
        task.numbers().filter_map(move |process| {
            let dpid = Dpid { job, process };
            Some((dpid, self.state.processes.get(&dpid)?))
        })
    }
}

fn skipped(task: usize, reason: String) -> TaskEnd {
    TaskEnd { task, state: TaskState::Skipped, verdict: Verdict::None, reason }
}

/// How a task ended of which nothing lives, and that is not tried again.
fn end_of(place: usize, task: &Task, judged: Judged, stopping: bool) -> TaskEnd {
    let verdict = judged.verdict;
    let end = |state, verdict, reason| TaskEnd { task: place, state, verdict, reason };
    match (judged.failed, judged.trouble) {
        (Some(failed), _) => {
            let verdict = if verdict == Verdict::Fail { verdict } else { Verdict::Error };
            end(TaskState::Failed, verdict, failed)
        }
        (None, Some(trouble)) if stopping => {
            end(TaskState::Skipped, verdict, format!("the plan was stopped; {trouble}"))
        }
        (None, Some(trouble)) => {
            let attempts = task.attempt;
            let noun = if attempts == 1 { "attempt" } else { "attempts" };
            end(TaskState::Failed, Verdict::Error, format!("given up after {attempts} {noun}: {trouble}"))
        }
        (None, None) if stopping && judged.is_stopped => {
            end(TaskState::Skipped, verdict, "the plan was stopped while it ran".into())
        }
        (None, None) => end(TaskState::Completed, verdict, String::new()),
    }
}
