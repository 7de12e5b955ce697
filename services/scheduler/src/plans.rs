//! Plans for people: the tree of a plan, and why its tasks wait.

use muster_ledger::View;
use muster_model::{Dpid, JobNumber, PoolTime, Refusal, RefusalCode};
use muster_proto::v1;

use crate::core::job::{Counts, Job};
use crate::core::plan::{NumberRange, Plan};
use crate::core::{JobCore, place_task, tasks_waiting};
use crate::wire::{plans, projection};

/// Tasks that an explanation names.
const TASKS_MAX: usize = 20;

/// A plan with its steps, tasks and attempts.
pub(crate) fn show(view: &View<'_, JobCore>, number: JobNumber) -> Result<v1::PlanRecord, Refusal> {
    let what = format!("show plan {number}");
    let Some(job) = view.state.jobs.get(&number) else {
        let why = format!("no job {number} is known in run {}", view.state.run);
        return Err(Refusal::new(RefusalCode::NotFound, what, why, "`muster jobs --all` shows all"));
    };
    let Some(plan) = job.plan.as_deref() else {
        let why = format!("job {number} is no plan");
        return Err(Refusal::new(RefusalCode::NotFound, what, why, format!("`muster show {number}` shows what it is")));
    };
    let steps = (0..plan.steps.len()).map(|step| {
        let tasks = plan.tasks_of(step).map(|(_, task)| {
            let mut record = plans::task_record(task);
            for (part, range) in record.parts.iter_mut().zip(&task.ranges) {
                part.by_state = projection::by_state(&counts(view, number, range));
            }
            record
        });
        v1::StepRecord { tasks: tasks.collect(), ..plans::step_record(plan, step) }
    });
    Ok(v1::PlanRecord { job: Some(projection::record(job)), steps: steps.collect() })
}

/// Processes of a part by state.
fn counts(view: &View<'_, JobCore>, job: JobNumber, range: &NumberRange) -> Counts {
    let mut counts = Counts::default();
    let from = Dpid { job, process: range.first };
    let found = view.state.processes.range(from..);
    found.take_while(|(dpid, _)| dpid.job == job && range.has(dpid.process)).for_each(|(_, process)| {
        counts.add(process.state);
    });
    counts
}

/// What a plan waits for, in lines.
pub(crate) fn why(view: &View<'_, JobCore>, job: &Job, plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!("plan {} is {}", plan.spec.name, plan.state())];
    for step in (0..plan.steps.len()).filter(|step| !plan.step_state(*step).is_final()) {
        let name = &plan.spec.steps[step].name;
        if plan.steps[step].begun == PoolTime::NEVER {
            let after = plan.spec.steps[step].after.iter().filter(|before| !plan.step_state(**before).is_final());
            let after: Vec<&str> = after.map(|before| plan.spec.steps[*before].name.as_str()).collect();
            let after = if after.is_empty() { "the scheduler".to_owned() } else { after.join(", ") };
            lines.push(format!("step {name} waits for {after}"));
        } else {
            lines.push(format!("step {name} is {}", plan.step_state(step)));
        }
    }
    for task in tasks_waiting(plan).take(TASKS_MAX) {
        let placed = place_task(view.state, view.observed, job, task, view.now.time);
        let why = placed.err().map_or_else(|| "it is about to be".into(), |refusal| refusal.why);
        let name = plan.name_of(task);
        let found = &plan.tasks[task];
        let again = match found.attempt {
            1 => String::new(),
            attempt => format!(" (attempt {attempt}, for {})", found.reason),
        };
        lines.push(format!("task {name} waits to be placed{again}: {why}"));
    }
    lines
}
