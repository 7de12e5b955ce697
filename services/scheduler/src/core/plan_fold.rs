//! Events of plans: how they change the state.

use std::sync::Arc;

use muster_ledger::At;
use muster_model::{Attempt, Dpid, JobNumber, PoolTime, ProcessNumber, TaskState};

use super::apply::{end_job_if_over, placed};
use super::event::{CheckoutAsked, PlanTaskPlaced, PlanTaskQueued, TaskEnd};
use super::job::Job;
use super::plan::{NumberRange, PastAttempt, Plan, PlanSpec, Task};
use super::state::State;

impl State {
    /// A plan was accepted.
    pub(super) fn start_plan(&mut self, spec: &Arc<PlanSpec>, at: &At<'_>) {
        self.last_job = spec.job;
        self.insert_job(Job::of_plan(spec.clone(), at.time));
    }

    /// A step began.
    pub(super) fn begin_step(&mut self, job: JobNumber, step: usize, at: &At<'_>) {
        if let Some(step) = self.plan_mut(job).and_then(|plan| plan.steps.get_mut(step)) {
            step.begun = at.time;
        }
    }

    /// The processes of a task were placed.
    pub(super) fn place_task(&mut self, event: &PlanTaskPlaced, at: &At<'_>) {
        let Some(plan) = self.plan_mut(event.job) else { return };
        let Some(task) = plan.tasks.get_mut(event.task) else { return };
        (task.state, task.placed) = (TaskState::Running, at.time);
        for (range, part) in task.ranges.iter_mut().zip(&event.parts) {
            let first = part.placements.iter().map(|placement| placement.first).min().unwrap_or_default();
            let count = part.placements.iter().map(|placement| placement.count).sum();
            *range = NumberRange { first, count };
        }
        plan.index();
        for placement in event.placements() {
            for (index, process) in placed(placement, at).enumerate() {
                let process_number = ProcessNumber(placement.first.0 + index as u32);
                let process = super::job::Process { attempt: event.process_attempt, ..process };
                self.insert_process(Dpid { job: event.job, process: process_number }, process);
            }
            if let Some(machine) = self.machines.get_mut(&placement.machine) {
                machine.generation = at.position;
            }
        }
    }

    /// A task waits to be placed again, with everything that belonged to its last attempt empty.
    pub(super) fn queue_task(&mut self, event: &PlanTaskQueued, at: &At<'_>) {
        let Some(task) = self.plan_mut(event.job).and_then(|plan| plan.tasks.get_mut(event.task)) else { return };
        let (placed, reason) = (task.placed, event.reason.clone());
        task.past.push(PastAttempt { attempt: event.attempt, placed, ended: at.time, reason });
        (task.state, task.placed, task.attempt) = (TaskState::Queued, PoolTime::NEVER, event.attempt + 1);
        task.reason.clone_from(&event.reason);
        let numbers: Vec<ProcessNumber> = task.numbers().collect();
        self.forget_rounds_of(event.job, event.task);
        let newest = numbers.into_iter().filter_map(|process| self.withdraw(Dpid { job: event.job, process })).max();
        if let Some(task) = self.plan_mut(event.job).and_then(|plan| plan.tasks.get_mut(event.task)) {
            task.next_attempt = newest.map_or(task.next_attempt, Attempt::next);
        }
    }

    /// Tasks are over, and with the last of them the plan.
    pub(super) fn end_tasks(&mut self, job: JobNumber, ends: &[TaskEnd], at: &At<'_>) {
        let Some(plan) = self.plan_mut(job) else { return };
        for end in ends {
            let Some(task) = plan.tasks.get_mut(end.task).filter(|task| !task.state.is_final()) else { continue };
            task.end(end, at.time);
        }
        note_ended_steps(plan, at.time);
        ends.iter().for_each(|end| self.forget_rounds_of(job, end.task));
        end_job_if_over(self, job, at);
    }

    /// A task keeps its machines.
    pub(super) fn keep_machines(&mut self, asked: &CheckoutAsked) {
        if let Some(task) = self.plan_mut(asked.job).and_then(|plan| plan.tasks.get_mut(asked.task)) {
            task.kept.clone_from(&asked.machines);
        }
    }

    fn plan_mut(&mut self, job: JobNumber) -> Option<&mut Plan> {
        self.jobs.get_mut(&job)?.plan.as_deref_mut()
    }

    /// Rounds of sync points of a task's processes are over; another attempt begins them anew.
    fn forget_rounds_of(&mut self, number: JobNumber, task: usize) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let Some(task) = job.plan.as_ref().and_then(|plan| plan.tasks.get(task)) else { return };
        job.rounds.retain(|_, round| !round.participants.iter().any(|process| task.has(*process)));
    }

    /// Forgets a process that is final; returns which attempt it was.
    fn withdraw(&mut self, dpid: Dpid) -> Option<Attempt> {
        let process = self.processes.remove(&dpid)?;
        let job = self.jobs.get_mut(&dpid.job).expect("every process has its job");
        job.processes -= 1;
        job.by_state.remove(process.state);
        job.by_verdict[process.verdict as usize] -= u32::from(process.state.is_final());
        job.ran -= u32::from(process.running != PoolTime::NEVER);
        job.left.remove(&dpid.process);
        if let Some(part) = job.parts.get_mut(&process.machine) {
            part.remove(process.state);
            if part.0.iter().all(|count| *count == 0) {
                job.parts.remove(&process.machine);
            }
        }
        if let Some(member) = process.member {
            job.forget_member(member);
        }
        if let Some(machine) = self.machines.get_mut(&process.machine) {
            machine.orders.remove(&(process.changed, dpid));
        }
        self.drop_if_removed(&process.machine);
        Some(process.attempt)
    }
}

impl Task {
    fn end(&mut self, end: &TaskEnd, at: PoolTime) {
        (self.state, self.verdict, self.ended) = (end.state, end.verdict, at);
        self.reason.clone_from(&end.reason);
    }
}

fn note_ended_steps(plan: &mut Plan, at: PoolTime) {
    for step in 0..plan.steps.len() {
        if plan.steps[step].ended == PoolTime::NEVER && plan.step_state(step).is_final() {
            plan.steps[step].ended = at;
        }
    }
}
