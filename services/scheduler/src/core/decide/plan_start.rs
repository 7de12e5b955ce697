//! Starting a plan: everything that can be known before it runs is checked now, and named by its step and task.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_ledger::Decision;
use muster_model::{JobNumber, ProcessNumber, Refusal, RefusalCode};

use super::super::JobCore;
use super::super::event::Event;
use super::super::input::{CountBy, PlanAccepted, PlanStart, Reply, RoleStart, StepStart, TaskStart};
use super::super::job::StartSpec;
use super::super::limits::{
    PLAN_NAME_MAX, PROCESSES_MAX, ROLES_MAX, STEPS_MAX, TASK_ATTEMPTS_MAX, TASK_LIMIT_MAX, TASKS_MAX,
};
use super::super::plan::{Part, PlanSpec, StepSpec, TaskSpec};
use super::super::state::State;
use super::{answered, start};

/// Starts a plan, or says that it could be started.
///
/// # Errors
/// What of it can never be done, with the step and task that it is in.
pub(super) fn start(state: &State, plan: &PlanStart) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("start plan {}", plan.name);
    check_name(&what, "the plan", &plan.name)?;
    check_sizes(&what, plan)?;
    let after = order(&what, &plan.steps)?;
    let job = if plan.dry_run { JobNumber(0) } else { state.last_job.next() };
    let mut reader = Reader { state, plan, job, next: 1, parts: 0 };
    let mut steps = Vec::with_capacity(plan.steps.len());
    for (step, after) in plan.steps.iter().zip(after) {
        let tasks = reader.tasks(&what, step)?;
        steps.push(StepSpec { name: step.name.clone(), after, on_failure: step.on_failure, tasks });
    }
    let processes = reader.next - 1;
    if processes > PROCESSES_MAX {
        let why = format!("its tasks have {processes} processes, and a plan has at most {PROCESSES_MAX}");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "make it several plans"));
    }
    let (actor, reservation) = (plan.actor.clone(), plan.reservation);
    let spec = PlanSpec { run: state.run, job, name: plan.name.clone(), actor, reservation, steps };
    let (steps, tasks) = (spec.steps.len() as u32, spec.tasks() as u32);
    let accepted = PlanAccepted { run: state.run, job, name: plan.name.clone(), steps, tasks, processes };
    let events = if plan.dry_run { Vec::new() } else { vec![Event::PlanStarted(Arc::new(spec))] };
    Ok(answered(events, Reply::PlanAccepted(accepted)))
}

/// Reads tasks, and gives process numbers out.
struct Reader<'a> {
    state: &'a State,
    plan: &'a PlanStart,
    job: JobNumber,
    /// The next process number.
    next: u32,
    /// Parts that were read.
    parts: u64,
}

impl Reader<'_> {
    fn tasks(&mut self, plan: &str, step: &StepStart) -> Result<Vec<Arc<TaskSpec>>, Refusal> {
        let what = format!("{plan}: step {}", step.name);
        check_unique(&what, "task", step.tasks.iter().map(|task| task.name.as_str()))?;
        step.tasks.iter().map(|task| self.task(&what, task).map(Arc::new)).collect()
    }

    fn task(&mut self, step: &str, task: &TaskStart) -> Result<TaskSpec, Refusal> {
        let what = format!("{step}, task {}", task.name);
        let invalid = |why: String, next: &str| Err(Refusal::new(RefusalCode::Invalid, &*what, why, next));
        if task.limit > TASK_LIMIT_MAX {
            return invalid("its limit is longer than 30 days".into(), "give a shorter `limit`, or none");
        }
        if task.attempts > TASK_ATTEMPTS_MAX {
            let why = format!("it is to be tried {} times", task.attempts);
            return invalid(why, "give `attempts` from 1 to 3");
        }
        let has_roles = task.roles.iter().any(|role| !role.name.is_empty());
        if has_roles {
            check_roles(&what, task)?;
        } else if task.roles.len() != 1 {
            return invalid("it runs nothing".into(), "give it a `module`, or roles with names");
        }
        let attempts = if task.attempts == 0 { TASK_ATTEMPTS_MAX } else { task.attempts };
        let members: Vec<String> = if has_roles { members(&task.roles) } else { Vec::new() };
        let parts = task.roles.iter().map(|role| self.part(&what, role, &members));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(TaskSpec { name: task.name.clone(), limit: task.limit, attempts, parts })
    }

    fn part(&mut self, task: &str, role: &RoleStart, members: &[String]) -> Result<Part, Refusal> {
        let what = if role.name.is_empty() { task.to_owned() } else { format!("{task}, role {}", role.name) };
        let placed = |refusal: Refusal| Refusal { what: what.clone(), ..refusal };
        let given = &role.start;
        let asked = start::read(self.state, given).map_err(placed)?;
        let mut module = asked.module.clone();
        if !members.is_empty() {
            if !module.roles.is_empty() {
                let why = format!("module {} has roles of its own ({})", module.name, module.roles.join(", "));
                return Err(Refusal::new(RefusalCode::Invalid, what, why, "start it as a task without roles"));
            }
            module.roles = members.to_vec();
        }
        self.parts += 1;
        let seed = if given.seed == 0 {
            start::seed_from(&given.command).rotate_left(self.parts as u32 % 64)
        } else {
            given.seed
        };
        let spec = StartSpec {
            module,
            parameters: asked.parameters,
            seed: seed.max(1),
            reservation: self.plan.reservation,
            actor: self.plan.actor.clone(),
            run: self.state.run,
            job: self.job,
            pulses: asked.pulses,
            on_error: asked.on_error,
            errand_of: None,
            check_out: false,
        };
        let mut part = Part {
            role: role.name.clone(),
            spec: Arc::new(spec),
            selector: given.selector.clone(),
            resource_selector: given.resource_selector.clone(),
            count: given.count,
            first: ProcessNumber(0),
        };
        if let Some(count) = part.fixed_count() {
            part.first = ProcessNumber(self.next);
            self.next = self.next.saturating_add(count);
        }
        Ok(part)
    }
}

fn check_name(what: &str, thing: &str, name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=PLAN_NAME_MAX).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    let why = format!("{thing} can not be named `{name}`");
    let next = format!("a name is 1 to {PLAN_NAME_MAX} of a-z, A-Z, 0-9, `-`, `_` and `.`");
    Err(Refusal::new(RefusalCode::Invalid, what, why, next))
}

fn check_sizes(what: &str, plan: &PlanStart) -> Result<(), Refusal> {
    if plan.steps.is_empty() {
        return Err(Refusal::new(RefusalCode::Invalid, what, "it has no steps", "give it a `[[step]]`"));
    }
    if let Some(empty) = plan.steps.iter().find(|step| step.tasks.is_empty()) {
        let why = format!("step {} has no tasks", empty.name);
        return Err(Refusal::new(RefusalCode::Invalid, what, why, "give it a `[[step.task]]`, or leave it out"));
    }
    check_unique(what, "step", plan.steps.iter().map(|step| step.name.as_str()))?;
    let (steps, tasks) = (plan.steps.len(), plan.steps.iter().map(|step| step.tasks.len()).sum::<usize>());
    if steps > STEPS_MAX || tasks > TASKS_MAX {
        let why = format!("it has {steps} steps and {tasks} tasks; a plan has at most {STEPS_MAX} and {TASKS_MAX}");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "make it several plans"));
    }
    Ok(())
}

/// Names are good, and each is there once.
fn check_unique<'a>(what: &str, noun: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut known = BTreeSet::new();
    for name in names {
        check_name(what, &format!("a {noun}"), name)?;
        if !known.insert(name) {
            let why = format!("two {noun}s are named `{name}`");
            return Err(Refusal::new(RefusalCode::Invalid, what, why, format!("give each {noun} a name of its own")));
        }
    }
    Ok(())
}

/// Roles have names of their own, and are on so many machines that one gang holds them.
fn check_roles(what: &str, task: &TaskStart) -> Result<(), Refusal> {
    check_unique(what, "role", task.roles.iter().map(|role| role.name.as_str()))?;
    if task.roles.iter().any(|role| role.start.count.by != CountBy::Job) {
        let why = "a role is counted by something else than machines";
        return Err(Refusal::new(RefusalCode::Invalid, what, why, "give each role `machines`"));
    }
    let machines: u64 = task.roles.iter().map(|role| u64::from(role.start.count.number)).sum();
    if machines > ROLES_MAX as u64 {
        let why = format!("its roles are on {machines} machines, and may be on {ROLES_MAX}");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "make it several tasks, side by side"));
    }
    Ok(())
}

/// Every member of a task with roles by name: `server`, or `client-1`, `client-2` where a role is on several machines.
fn members(roles: &[RoleStart]) -> Vec<String> {
    let of_role = |role: &RoleStart| match role.start.count.number {
        0 | 1 => vec![role.name.clone()],
        machines => (1..=machines).map(|number| format!("{}-{number}", role.name)).collect(),
    };
    roles.iter().flat_map(of_role).collect()
}

/// Places of the steps that each step comes after; refused where one is not known, or where they go round in a circle.
fn order(what: &str, steps: &[StepStart]) -> Result<Vec<Vec<usize>>, Refusal> {
    let mut after = Vec::with_capacity(steps.len());
    for step in steps {
        let mut places = BTreeSet::new();
        for name in &step.after {
            let Some(place) = steps.iter().position(|other| other.name == *name) else {
                let why = format!("step {} comes after `{name}`, and no step is named so", step.name);
                return Err(Refusal::new(RefusalCode::Invalid, what, why, "name steps of this plan in `after`"));
            };
            places.insert(place);
        }
        after.push(places.into_iter().collect::<Vec<_>>());
    }
    let mut begun = BTreeSet::new();
    while begun.len() < steps.len() {
        let may_begin =
            |step: &usize| !begun.contains(step) && after[*step].iter().all(|before| begun.contains(before));
        let Some(next) = (0..steps.len()).find(may_begin) else {
            let left = (0..steps.len()).filter(|step| !begun.contains(step)).map(|step| steps[step].name.as_str());
            let why = format!("steps wait for each other: {}", left.collect::<Vec<_>>().join(", "));
            return Err(Refusal::new(
                RefusalCode::Invalid,
                what,
                why,
                "let `after` name steps that can be over before",
            ));
        };
        begun.insert(next);
    }
    Ok(after)
}
