//! Events of plans -> the job that a plan is, its tasks, and the processes of these.

use muster_model::{Attempt, Dpid, JobNumber, PoolTime, ProcessId, ProcessNumber, RunId, TaskState, Verdict};
use muster_proto::v1;
use muster_telemetry::records::{Job, ProcessChange, Records, TaskChange, TaskId};

use super::job;

/// Module of the job that a plan is.
const PLAN: &str = "plan";

/// A plan is a job like any other; how many processes it has is not known when it starts.
pub(super) fn started(plan: v1::PlanStarted, at: PoolTime, records: &mut Records) {
    let tasks = plan.steps.into_iter().flat_map(|step| {
        let name = step.name;
        step.tasks.into_iter().map(move |task| (name.clone(), task.name))
    });
    for (place, (step, name)) in (0_u32..).zip(tasks) {
        let (state, attempt) = (Some(TaskState::Queued), Some(1));
        let change = TaskChange { step: Some(step), name: Some(name), state, attempt, ..TaskChange::default() };
        learn(records, (plan.run, plan.job, place), change);
    }
    records.jobs.push(Job {
        run: plan.run,
        job: plan.job,
        module: PLAN.to_owned(),
        module_version: plan.name,
        selector: String::new(),
        actor: plan.actor,
        seed: 0,
        reservation: plan.reservation,
        parameters: Default::default(),
        processes: 0,
        started: at,
    });
}

/// The processes of a task begin.
pub(super) fn placed(placed: v1::PlanTaskPlaced, at: PoolTime, records: &mut Records) -> Result<(), String> {
    let run = RunId(placed.run);
    for part in &placed.parts {
        for placement in &part.placements {
            for nth in 0..placement.count.min(job::PROCESSES_MAX) {
                let process = placement.first.checked_add(nth).ok_or("a process number is beyond 32 bits")?;
                let dpid = Dpid { job: JobNumber(placed.job), process: ProcessNumber(process) };
                let id = ProcessId { run, dpid, attempt: Attempt(placed.process_attempt) };
                let change = ProcessChange { module: Some(part.module.clone()), ..job::placed(placement, nth, at) };
                job::merge(records.processes.entry(id).or_default(), change);
            }
        }
    }
    let (state, attempt) = (Some(TaskState::Running), Some(placed.attempt));
    let change = TaskChange { state, attempt, placed: Some(at), ..TaskChange::default() };
    learn(records, (placed.run, placed.job, placed.task), change);
    Ok(())
}

/// A task waits to be placed again.
pub(super) fn queued(queued: v1::PlanTaskQueued, records: &mut Records) -> Result<(), String> {
    let attempt = queued.attempt.checked_add(1).ok_or("an attempt is beyond the last one")?;
    let (state, reason) = (Some(TaskState::Queued), Some(queued.reason));
    let change = TaskChange { state, attempt: Some(attempt), reason, ..TaskChange::default() };
    learn(records, (queued.run, queued.job, queued.task), change);
    Ok(())
}

/// Tasks are over.
pub(super) fn ended(ended: v1::PlanTasksEnded, at: PoolTime, records: &mut Records) -> Result<(), String> {
    for end in ended.ends {
        let state = TaskState::try_from(end.state()).map_err(|error| error.to_string())?;
        let verdict = Some(Verdict::from(end.verdict()));
        let (state, reason, ended_at) = (Some(state), Some(end.reason), Some(at));
        let change = TaskChange { state, verdict, reason, ended: ended_at, ..TaskChange::default() };
        learn(records, (ended.run, ended.job, end.task), change);
    }
    Ok(())
}

/// Notes what is learned of a task. Events of before these said their run are about a task that nobody can find.
fn learn(records: &mut Records, (run, job, task): TaskId, change: TaskChange) {
    if run > 0 {
        merge(records.tasks.entry((run, job, task)).or_default(), change);
    }
}

/// Adds what is newer: the latest word counts, but moments are set once.
pub(super) fn merge(known: &mut TaskChange, newer: TaskChange) {
    let known_before = std::mem::take(known);
    *known = TaskChange {
        step: newer.step.or(known_before.step),
        name: newer.name.or(known_before.name),
        state: newer.state.or(known_before.state),
        verdict: newer.verdict.or(known_before.verdict),
        attempt: newer.attempt.or(known_before.attempt),
        reason: newer.reason.or(known_before.reason),
        placed: known_before.placed.or(newer.placed),
        ended: known_before.ended.or(newer.ended),
    };
}
