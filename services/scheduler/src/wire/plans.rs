//! Plans: as they are asked for, in the log, in snapshots, and as they are shown.

use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    Attempt, CommandId, JobNumber, MachineId, ModuleName, PoolTime, ProcessNumber, Refusal, ReservationId, RunId,
    TaskState,
};
use muster_proto::{WireError, v1};

use super::attached::count_by_to_wire;
use super::requests::{self, count_by};
use super::{machine_id, milliseconds};
use crate::core::event::{CheckoutAsked, PartPlaced, PlanTaskPlaced, PlanTaskQueued, TaskEnd};
use crate::core::input::{Count, PlanAccepted, PlanStart, RoleStart, StepStart, TaskStart};
use crate::core::plan::{NumberRange, Part, PastAttempt, Plan, PlanSpec, Step, StepSpec, Task, TaskSpec};

/// What is to be started.
pub(super) fn start(id: CommandId, actor: &str, plan: v1::StartPlan) -> Result<PlanStart, Refusal> {
    let reservation = plan.reservation;
    let role = |role: v1::PlanRole| {
        let start = v1::Start { reservation, again: None, ..role.start.unwrap_or_default() };
        Ok(RoleStart { name: role.name, start: requests::start(id, actor, start)? })
    };
    let task = |task: v1::PlanTask| {
        Ok(TaskStart {
            name: task.name,
            limit: Duration::from_millis(task.limit_ms),
            attempts: task.attempts,
            roles: task.roles.into_iter().map(role).collect::<Result<_, Refusal>>()?,
        })
    };
    let step = |step: v1::PlanStep| {
        Ok(StepStart {
            on_failure: step.on_failure().into(),
            name: step.name,
            after: step.after,
            tasks: step.tasks.into_iter().map(task).collect::<Result<_, Refusal>>()?,
        })
    };
    Ok(PlanStart {
        actor: actor.to_owned(),
        name: plan.name,
        steps: plan.steps.into_iter().map(step).collect::<Result<_, Refusal>>()?,
        reservation: ReservationId(reservation),
        dry_run: plan.dry_run,
    })
}

/// What became of a start.
pub(super) fn accepted(accepted: &PlanAccepted) -> v1::PlanAccepted {
    v1::PlanAccepted {
        run: accepted.run.0,
        job: accepted.job.0,
        name: accepted.name.clone(),
        steps: accepted.steps,
        tasks: accepted.tasks,
        processes: accepted.processes,
    }
}

/// A plan as it was accepted.
pub(super) fn spec_to_wire(spec: &PlanSpec) -> v1::PlanStarted {
    let part = |part: &Part| v1::PlannedPart {
        role: part.role.clone(),
        spec: Some((&*part.spec).into()),
        selector: part.selector.clone(),
        resource_selector: part.resource_selector.clone(),
        processes: part.count.number,
        count_by: count_by_to_wire(part.count.by).into(),
        first: part.first.0,
    };
    let task = |task: &Arc<TaskSpec>| v1::PlannedTask {
        name: task.name.clone(),
        limit_ms: milliseconds(task.limit),
        attempts: task.attempts,
        parts: task.parts.iter().map(part).collect(),
    };
    let step = |step: &StepSpec| v1::PlannedStep {
        name: step.name.clone(),
        after: step.after.iter().map(|place| *place as u32).collect(),
        on_failure: v1::OnFailure::from(step.on_failure).into(),
        tasks: step.tasks.iter().map(task).collect(),
    };
    v1::PlanStarted {
        run: spec.run.0,
        job: spec.job.0,
        name: spec.name.clone(),
        actor: spec.actor.clone(),
        reservation: spec.reservation.0,
        steps: spec.steps.iter().map(step).collect(),
    }
}

pub(super) fn spec_from_wire(wire: v1::PlanStarted) -> Result<PlanSpec, WireError> {
    let steps = wire.steps.len();
    let step = |step: v1::PlannedStep| {
        let after: Vec<usize> = step.after.iter().map(|place| *place as usize).collect();
        if after.iter().any(|place| *place >= steps) {
            return Err(WireError::invalid("PlannedStep", "after", "no step has this place"));
        }
        Ok(StepSpec {
            on_failure: step.on_failure().into(),
            name: step.name,
            after,
            tasks: step.tasks.into_iter().map(task_from_wire).collect::<Result<_, _>>()?,
        })
    };
    Ok(PlanSpec {
        run: RunId(wire.run),
        job: JobNumber(wire.job),
        name: wire.name,
        actor: wire.actor,
        reservation: ReservationId(wire.reservation),
        steps: wire.steps.into_iter().map(step).collect::<Result<_, _>>()?,
    })
}

fn task_from_wire(task: v1::PlannedTask) -> Result<Arc<TaskSpec>, WireError> {
    let part = |part: v1::PlannedPart| {
        let by = count_by(part.count_by).map_err(|error| WireError::invalid("PlannedPart", "count_by", error))?;
        let spec = part.spec.ok_or_else(|| WireError::missing("PlannedPart", "spec"))?;
        Ok(Part {
            role: part.role,
            spec: Arc::new(spec.try_into()?),
            selector: part.selector,
            resource_selector: part.resource_selector,
            count: Count { number: part.processes, by },
            first: ProcessNumber(part.first),
        })
    };
    Ok(Arc::new(TaskSpec {
        name: task.name,
        limit: Duration::from_millis(task.limit_ms),
        attempts: task.attempts,
        parts: task.parts.into_iter().map(part).collect::<Result<_, WireError>>()?,
    }))
}

/// The placement of a task.
pub(super) fn placed_to_wire(placed: &PlanTaskPlaced) -> v1::PlanTaskPlaced {
    let part = |part: &PartPlaced| v1::PartPlacement {
        placements: part.placements.iter().map(Into::into).collect(),
        module: part.module.to_string(),
        clients: part.clients,
        client_selector: part.client_selector.clone(),
    };
    v1::PlanTaskPlaced {
        job: placed.job.0,
        task: placed.task as u32,
        attempt: placed.attempt,
        process_attempt: placed.process_attempt.0,
        parts: placed.parts.iter().map(part).collect(),
        run: placed.run.0,
        actor: placed.actor.clone(),
    }
}

pub(super) fn placed_from_wire(wire: v1::PlanTaskPlaced) -> Result<PlanTaskPlaced, WireError> {
    let part = |part: v1::PartPlacement| {
        Ok(PartPlaced {
            module: ModuleName::new(&part.module)
                .map_err(|error| WireError::invalid("PartPlacement", "module", error))?,
            placements: part.placements.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            clients: part.clients,
            client_selector: part.client_selector,
        })
    };
    Ok(PlanTaskPlaced {
        run: RunId(wire.run),
        job: JobNumber(wire.job),
        task: wire.task as usize,
        attempt: wire.attempt,
        process_attempt: Attempt(wire.process_attempt),
        actor: wire.actor,
        parts: wire.parts.into_iter().map(part).collect::<Result<_, WireError>>()?,
    })
}

/// A task that waits again.
pub(super) fn queued_to_wire(queued: &PlanTaskQueued) -> v1::PlanTaskQueued {
    let (job, task, attempt) = (queued.job.0, queued.task as u32, queued.attempt);
    v1::PlanTaskQueued { run: queued.run.0, job, task, attempt, reason: queued.reason.clone() }
}

pub(super) fn queued_from_wire(wire: v1::PlanTaskQueued) -> PlanTaskQueued {
    let (job, task, attempt) = (JobNumber(wire.job), wire.task as usize, wire.attempt);
    PlanTaskQueued { run: RunId(wire.run), job, task, attempt, reason: wire.reason }
}

/// Tasks that are over.
pub(super) fn ends_to_wire(run: RunId, job: JobNumber, ends: &[TaskEnd]) -> v1::PlanTasksEnded {
    let end = |end: &TaskEnd| v1::PlanTaskEnd {
        task: end.task as u32,
        state: v1::TaskState::from(end.state).into(),
        verdict: v1::Verdict::from(end.verdict).into(),
        reason: end.reason.clone(),
    };
    v1::PlanTasksEnded { run: run.0, job: job.0, ends: ends.iter().map(end).collect() }
}

pub(super) fn ends_from_wire(wire: v1::PlanTasksEnded) -> Result<(RunId, JobNumber, Vec<TaskEnd>), WireError> {
    let end = |end: v1::PlanTaskEnd| {
        let state = TaskState::try_from(end.state())?;
        if !state.is_final() {
            return Err(WireError::invalid("PlanTaskEnd", "state", state));
        }
        Ok(TaskEnd { task: end.task as usize, state, verdict: end.verdict().into(), reason: end.reason })
    };
    Ok((RunId(wire.run), JobNumber(wire.job), wire.ends.into_iter().map(end).collect::<Result<_, _>>()?))
}

/// A task that keeps its machines.
pub(super) fn checkout_to_wire(asked: &CheckoutAsked) -> v1::CheckoutAsked {
    let machines = asked.machines.iter().map(ToString::to_string).collect();
    v1::CheckoutAsked { job: asked.job.0, task: asked.task as u32, machines, owner: asked.owner.clone() }
}

pub(super) fn checkout_from_wire(wire: v1::CheckoutAsked) -> Result<CheckoutAsked, WireError> {
    let machines = machines("CheckoutAsked", &wire.machines)?;
    Ok(CheckoutAsked { job: JobNumber(wire.job), task: wire.task as usize, machines, owner: wire.owner })
}

fn machines(message: &'static str, names: &[String]) -> Result<Vec<MachineId>, WireError> {
    names.iter().map(|name| machine_id(message, name)).collect()
}

/// A plan of a snapshot.
pub(super) fn plan_to_wire(plan: &Plan) -> v1::SnapshotPlan {
    let step = |step: &Step| v1::SnapshotStep { begun_ns: step.begun.0, ended_ns: step.ended.0 };
    let range = |range: &NumberRange| v1::NumberRange { first: range.first.0, count: range.count };
    let task = |task: &Task| v1::SnapshotTask {
        state: v1::TaskState::from(task.state).into(),
        attempt: task.attempt,
        verdict: v1::Verdict::from(task.verdict).into(),
        reason: task.reason.clone(),
        placed_ns: task.placed.0,
        ended_ns: task.ended.0,
        ranges: task.ranges.iter().map(range).collect(),
        next_attempt: task.next_attempt.0,
        past: task.past.iter().map(past_to_wire).collect(),
        kept: task.kept.iter().map(ToString::to_string).collect(),
    };
    v1::SnapshotPlan {
        started: Some(spec_to_wire(&plan.spec)),
        steps: plan.steps.iter().map(step).collect(),
        tasks: plan.tasks.iter().map(task).collect(),
    }
}

fn past_to_wire(past: &PastAttempt) -> v1::PastAttempt {
    let (placed_ns, ended_ns) = (past.placed.0, past.ended.0);
    v1::PastAttempt { attempt: past.attempt, placed_ns, ended_ns, reason: past.reason.clone() }
}

pub(super) fn plan_from_wire(wire: v1::SnapshotPlan) -> Result<Plan, WireError> {
    const MESSAGE: &str = "SnapshotPlan";
    let started = wire.started.ok_or_else(|| WireError::missing(MESSAGE, "started"))?;
    let mut plan = Plan::new(Arc::new(spec_from_wire(started)?));
    if wire.steps.len() != plan.steps.len() || wire.tasks.len() != plan.tasks.len() {
        return Err(WireError::invalid(MESSAGE, "tasks", "not those of the plan"));
    }
    for (step, wire) in plan.steps.iter_mut().zip(wire.steps) {
        *step = Step { begun: PoolTime(wire.begun_ns), ended: PoolTime(wire.ended_ns) };
    }
    for (task, wire) in plan.tasks.iter_mut().zip(wire.tasks) {
        restore(task, wire)?;
    }
    plan.index();
    Ok(plan)
}

fn restore(task: &mut Task, wire: v1::SnapshotTask) -> Result<(), WireError> {
    if wire.ranges.len() != task.ranges.len() {
        return Err(WireError::invalid("SnapshotTask", "ranges", "not those of its parts"));
    }
    (task.state, task.verdict) = (wire.state().try_into()?, wire.verdict().into());
    (task.attempt, task.next_attempt) = (wire.attempt, Attempt(wire.next_attempt));
    (task.placed, task.ended) = (PoolTime(wire.placed_ns), PoolTime(wire.ended_ns));
    task.reason = wire.reason;
    task.kept = machines("SnapshotTask", &wire.kept)?;
    for (range, wire) in task.ranges.iter_mut().zip(wire.ranges) {
        *range = NumberRange { first: ProcessNumber(wire.first), count: wire.count };
    }
    let past = |past: v1::PastAttempt| PastAttempt {
        attempt: past.attempt,
        placed: PoolTime(past.placed_ns),
        ended: PoolTime(past.ended_ns),
        reason: past.reason,
    };
    task.past = wire.past.into_iter().map(past).collect();
    Ok(())
}

/// Where a plan stands, in short.
pub(super) fn summary(plan: &Plan) -> v1::PlanSummary {
    let ended = plan.steps.iter().filter(|step| step.ended != PoolTime::NEVER).count() as u32;
    let count = |state| plan.tasks.iter().filter(|task| task.state == state).count() as u32;
    v1::PlanSummary {
        name: plan.spec.name.clone(),
        state: v1::TaskState::from(plan.state()).into(),
        steps_ended: ended,
        steps: plan.steps.len() as u32,
        tasks: [0].into_iter().chain(TaskState::ALL.map(count)).collect(),
    }
}

/// All that is known of a step; tasks are left out.
pub(crate) fn step_record(plan: &Plan, place: usize) -> v1::StepRecord {
    let (step, spec) = (&plan.steps[place], &plan.spec.steps[place]);
    v1::StepRecord {
        name: spec.name.clone(),
        after: spec.after.iter().map(|before| plan.spec.steps[*before].name.clone()).collect(),
        on_failure: v1::OnFailure::from(spec.on_failure).into(),
        state: v1::TaskState::from(plan.step_state(place)).into(),
        begun_ns: step.begun.0,
        ended_ns: step.ended.0,
        tasks: Vec::new(),
    }
}

/// All that is known of a task; counts of processes are left out.
pub(crate) fn task_record(task: &Task) -> v1::TaskRecord {
    let part = |(part, range): (&Part, &NumberRange)| v1::PartRecord {
        role: part.role.clone(),
        module: part.spec.module.name.to_string(),
        first: range.first.0,
        count: range.count,
        by_state: Vec::new(),
    };
    v1::TaskRecord {
        name: task.spec.name.clone(),
        state: v1::TaskState::from(task.state).into(),
        verdict: v1::Verdict::from(task.verdict).into(),
        attempt: task.attempt,
        attempts: task.spec.attempts,
        reason: task.reason.clone(),
        placed_ns: task.placed.0,
        ended_ns: task.ended.0,
        limit_ms: milliseconds(task.spec.limit),
        parts: task.spec.parts.iter().zip(&task.ranges).map(part).collect(),
        past: task.past.iter().map(past_to_wire).collect(),
        kept: task.kept.iter().map(ToString::to_string).collect(),
    }
}
