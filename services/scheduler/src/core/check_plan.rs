//! Invariants of plans, for tests and the simulation.

use muster_model::{Dpid, PoolTime, ProcessNumber, TaskState};

use super::job::Job;
use super::plan::{Plan, Task};
use super::state::State;

/// Checks that tasks, their processes and their steps agree.
pub(super) fn check_plan(state: &State, job: &Job, plan: &Plan) -> Result<(), String> {
    let number = job.spec.job;
    for (place, task) in plan.tasks.iter().enumerate() {
        check_task(state, job, task).map_err(|why| format!("task {} of job {number} {why}", plan.name_of(place)))?;
    }
    for (place, step) in plan.steps.iter().enumerate() {
        let is_over = plan.step_state(place).is_final();
        if is_over != (step.ended != PoolTime::NEVER) {
            return Err(format!("step {place} of job {number} is over: {is_over}, ended {:?}", step.ended));
        }
        let was_tried = plan.tasks_of(place).any(|(_, task)| task.placed != PoolTime::NEVER);
        if was_tried && step.begun == PoolTime::NEVER {
            return Err(format!("step {place} of job {number} was tried and has not begun"));
        }
    }
    let mut numbers: Vec<ProcessNumber> = plan.tasks.iter().flat_map(Task::numbers).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() != all {
        return Err(format!("process numbers of job {number} are given twice"));
    }
    let strays = state.processes_of(number).find(|(dpid, _)| plan.place_of(dpid.process).is_none());
    strays.map_or(Ok(()), |(dpid, _)| Err(format!("{dpid} is in no task of job {number}")))
}

fn check_task(state: &State, job: &Job, task: &Task) -> Result<(), String> {
    let of = |process| state.processes.get(&Dpid { job: job.spec.job, process });
    let (numbers, found) = (task.numbers().count(), task.numbers().filter_map(of).count());
    let live = task.numbers().filter_map(of).filter(|process| !process.state.is_final()).count();
    let is_placed = task.placed != PoolTime::NEVER;
    if found != if is_placed { numbers } else { 0 } {
        return Err(format!("is placed: {is_placed}, and has {found} of {numbers} processes"));
    }
    let holds = match task.state {
        TaskState::Queued => !is_placed,
        TaskState::Running => is_placed,
        TaskState::Completed => is_placed && live == 0,
        TaskState::Failed | TaskState::Skipped => live == 0,
    };
    if !holds {
        return Err(format!("is {}, is placed: {is_placed}, and {live} of it live", task.state));
    }
    if task.state.is_final() != (task.ended != PoolTime::NEVER) {
        return Err(format!("is {}, and ended {:?}", task.state, task.ended));
    }
    if task.attempt == 0 || task.attempt > task.spec.attempts || task.past.len() as u32 + 1 != task.attempt {
        return Err(format!("is at attempt {} of {}, after {}", task.attempt, task.spec.attempts, task.past.len()));
    }
    Ok(())
}
