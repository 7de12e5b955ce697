//! Placing tasks of plans: a task is placed whole, through the placement of any start, as soon as there are machines for all of it.

use muster_ledger::{At, Now};
use muster_model::{JobNumber, MachineId, PoolTime, ProcessNumber, Refusal, Selector, TaskState, Verdict};

use super::super::apply;
use super::super::event::{Event, PartPlaced, Placement, PlanTaskPlaced, TaskEnd};
use super::super::fit::{Ask, fitting};
use super::super::input::{Count, CountBy};
use super::super::job::{Job, Member};
use super::super::limits::{PLACED_AT_ONCE_MAX, PROCESSES_MAX, TASKS_PLACED_MAX};
use super::super::module::Module;
use super::super::observed::Observed;
use super::super::plan::{NumberRange, Part, Plan};
use super::super::state::State;
use super::arrange::Wanted;
use super::on_error;

/// Places what can be placed of the tasks that wait for machines. Each counts for the next, so a second one is decided from a state
/// that has the first.
pub(super) fn due(state: &State, observed: &Observed, now: Now) -> Vec<Event> {
    let waiting = waiting(state, now.time);
    let mut events = Vec::new();
    let (mut after, mut processes) = (None::<State>, 0);
    for (index, (job, task)) in waiting.iter().enumerate() {
        let state = after.as_ref().unwrap_or(state);
        let Some(event) = placed(state, observed, (*job, *task), now.time) else { continue };
        if let Event::PlanTaskPlaced(placed) = &event {
            processes += placed.placements().map(|placement| placement.count).sum::<u32>();
            if processes > PLACED_AT_ONCE_MAX && !events.is_empty() {
                break;
            }
        }
        if index + 1 < waiting.len() {
            let mut next = state.clone();
            let at = At { position: now.position, time: now.time, actor: "" };
            apply::apply(&mut next, &event, &at);
            after = Some(next);
        }
        events.push(event);
    }
    events
}

/// Tasks that wait for machines: the first of them in turn, so that none waits behind those for which there are none.
fn waiting(state: &State, now: PoolTime) -> Vec<(JobNumber, usize)> {
    let running = state.jobs.iter().filter(|(_, job)| job.ended == PoolTime::NEVER && !job.stopping);
    let plans = running.filter_map(|(number, job)| Some((*number, job.plan.as_deref()?)));
    let mut all: Vec<_> = plans.flat_map(|(job, plan)| waiting_in(plan).map(move |task| (job, task))).collect();
    if all.len() > TASKS_PLACED_MAX {
        let turn = (now.0.unsigned_abs() / 1_000_000_000) as usize;
        let from = turn * TASKS_PLACED_MAX % all.len();
        all.rotate_left(from);
        all.truncate(TASKS_PLACED_MAX);
    }
    all
}

/// Tasks of a plan that wait for machines, by place.
pub(crate) fn waiting_in(plan: &Plan) -> impl Iterator<Item = usize> {
    let begun = |step: usize| plan.steps[step].begun != PoolTime::NEVER;
    let waits =
        plan.tasks.iter().enumerate().filter(move |(_, task)| task.state == TaskState::Queued && begun(task.step));
    waits.map(|(place, _)| place)
}

/// The event that places a task, or ends it where it can never be placed; none while it waits.
fn placed(state: &State, observed: &Observed, (job, task): (JobNumber, usize), now: PoolTime) -> Option<Event> {
    let found = state.jobs.get(&job)?;
    let parts = place(state, observed, found, task, now).ok()?;
    let plan = found.plan.as_deref()?;
    let count: u64 = parts.iter().flat_map(|part| &part.placements).map(|placement| u64::from(placement.count)).sum();
    let last = parts
        .iter()
        .flat_map(|part| &part.placements)
        .map(|placement| placement.first.0 + placement.count - 1)
        .max()
        .unwrap_or(0);
    if last > PROCESSES_MAX {
        let reason = format!("its {count} processes are more than a plan of {PROCESSES_MAX} has left");
        let end = TaskEnd { task, state: TaskState::Failed, verdict: Verdict::Error, reason };
        return Some(Event::PlanTasksEnded { run: state.run, job, ends: vec![end] });
    }
    let waits = &plan.tasks[task];
    let (attempt, process_attempt) = (waits.attempt, waits.next_attempt);
    let (run, actor) = (state.run, plan.spec.actor.clone());
    Some(Event::PlanTaskPlaced(PlanTaskPlaced { run, job, task, attempt, process_attempt, actor, parts }))
}

/// Where each part of a task goes.
///
/// # Errors
/// Why it waits.
pub(crate) fn place(
    state: &State,
    observed: &Observed,
    job: &Job,
    task: usize,
    now: PoolTime,
) -> Result<Vec<PartPlaced>, Refusal> {
    let Some(plan) = job.plan.as_deref() else { return Ok(Vec::new()) };
    let what = format!("place {}", plan.name_of(task));
    let waits = &plan.tasks[task];
    let has_roles = waits.spec.has_roles();
    let (mut taken, mut seated) = (Vec::new(), 0);
    let (mut parts, mut next) = (Vec::with_capacity(waits.ranges.len()), plan.next_number());
    for (part, range) in waits.spec.parts.iter().zip(&waits.ranges) {
        let mut placements = arrange(state, observed, part, (&what, &taken), now)?;
        let count: u32 = placements.iter().map(|placement| placement.count).sum();
        let first = if count <= range.count { range.first } else { next };
        next = next.max(ProcessNumber(first.0 + count));
        renumber(&mut placements, first);
        match has_roles {
            true => seat(&mut placements, (waits.ranges[0], seated)),
            false => number_gangs(&mut placements, first),
        }
        seated += count;
        if has_roles {
            taken.extend(placements.iter().map(|placement| placement.machine.clone()));
        }
        let module = &part.spec.module;
        let (clients, client_selector) = (part.spec.clients(), module.client_selector.clone());
        parts.push(PartPlaced { module: module.name.clone(), placements, clients, client_selector });
    }
    Ok(parts)
}

/// Places one part, of a task with roles on machines of its own.
fn arrange(
    state: &State,
    observed: &Observed,
    part: &Part,
    (what, taken): (&str, &[MachineId]),
    now: PoolTime,
) -> Result<Vec<Placement>, Refusal> {
    let selector = Selector::parse(&part.selector).map_err(|error| error.into_refusal(what))?;
    let resources = Selector::parse_resources(&part.resource_selector).map_err(|error| error.into_refusal(what))?;
    let reservation = part.spec.reservation;
    // The members of a role are on different machines, like those of a gang.
    let (module, count) = match part.role.is_empty() {
        true => ((part.spec.module).clone(), part.count),
        false => (alike(&part.spec.module, part.count.number), Count { by: CountBy::Job, ..part.count }),
    };
    let ask = Ask { module: &module, selector: &selector, resources: &resources, reservation, without: taken, now };
    let fit = fitting(state, observed, &ask).map_err(|unfit| unfit.into_refusal(what.to_owned(), &ask))?;
    let arranged = Wanted { what, module: &module, count }.arrange(state, fit)?;
    on_error::check(observed, what, &part.spec.on_error, &arranged.placements)?;
    Ok(arranged.placements)
}

/// The module as one of so many roles.
fn alike(module: &Module, machines: u32) -> Module {
    Module { roles: (1..=machines).map(|number| number.to_string()).collect(), ..module.clone() }
}

/// Numbers placements from `first`.
fn renumber(placements: &mut [Placement], first: ProcessNumber) {
    placements.iter_mut().for_each(|placement| placement.first.0 += first.0 - 1);
}

/// Gangs are numbered in the whole job: from the first process number of their part.
fn number_gangs(placements: &mut [Placement], first: ProcessNumber) {
    let members = placements.iter_mut().flat_map(|placement| &mut placement.members);
    members.for_each(|member| member.gang += first.0 - 1);
}

/// The processes of all roles are one gang; `seated` are those of the roles before.
fn seat(placements: &mut [Placement], (range, seated): (NumberRange, u32)) {
    let mut role = seated;
    for placement in placements {
        placement.members.clear();
        for _ in 0..placement.count {
            placement.members.push(Member { gang: range.first.0, role });
            role += 1;
        }
    }
}
