//! The file of a plan: read, and turned into what the scheduler is asked for. What it names is known to the scheduler alone.

use std::collections::BTreeMap;

use muster_model::OnFailure;
use muster_model::milliseconds;
use muster_model::quantity::parse_duration;
use muster_proto::v1;
use serde::Deserialize;

#[cfg(test)]
mod tests;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    reservation: u64,
    #[serde(default)]
    step: Vec<StepFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    name: String,
    after: Option<Vec<String>>,
    #[serde(default)]
    on_failure: Option<String>,
    #[serde(default)]
    task: Vec<TaskFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    name: String,
    limit: Option<String>,
    attempts: Option<u32>,
    module: Option<String>,
    processes: Option<u32>,
    per_machine: Option<u32>,
    per_disk: Option<u32>,
    per_cpu: Option<u32>,
    #[serde(default)]
    on: String,
    #[serde(default)]
    resources: String,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    pulses: Vec<u32>,
    #[serde(default)]
    on_error: String,
    #[serde(default)]
    role: Vec<RoleFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleFile {
    name: String,
    module: String,
    #[serde(default = "one")]
    machines: u32,
    #[serde(default)]
    on: String,
    #[serde(default)]
    resources: String,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    pulses: Vec<u32>,
    #[serde(default)]
    on_error: String,
}

fn one() -> u32 {
    1
}

/// What a parameter may be written as; the module says what it is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Reads a file; says in one line what is wrong with it. A plan without a name has that of its file.
///
/// # Errors
/// What is wrong, with the line, or with the step and task.
pub(crate) fn parse(text: &str, file_name: &str) -> Result<v1::StartPlan, String> {
    let file: File = toml::from_str(text).map_err(|error| crate::commands::told(text, &error))?;
    if file.step.is_empty() {
        return Err("it has no [[step]]".into());
    }
    let mut steps = Vec::<v1::PlanStep>::with_capacity(file.step.len());
    for step in file.step {
        let before = steps.last().map(|before| before.name.clone());
        let name = step.name.clone();
        steps.push(self::step(step, before).map_err(|why| format!("step {name}: {why}"))?);
    }
    let name = file.name.unwrap_or_else(|| file_name.to_owned());
    Ok(v1::StartPlan { name, steps, reservation: file.reservation, dry_run: false })
}

/// A step that does not say what it comes after comes after the one before it.
fn step(step: StepFile, before: Option<String>) -> Result<v1::PlanStep, String> {
    if step.task.is_empty() {
        return Err("it has no [[step.task]]".into());
    }
    let word = step.on_failure.as_deref().unwrap_or("stop");
    let on_failure = OnFailure::ALL.into_iter().find(|known| known.as_str() == word);
    let on_failure = on_failure.ok_or_else(|| format!("on_failure is stop, continue or checkout, not `{word}`"))?;
    let tasks = step.task.into_iter().map(|task| {
        let name = task.name.clone();
        self::task(task).map_err(|why| format!("task {name}: {why}"))
    });
    Ok(v1::PlanStep {
        tasks: tasks.collect::<Result<_, _>>()?,
        name: step.name,
        after: step.after.unwrap_or_else(|| before.into_iter().collect()),
        on_failure: v1::OnFailure::from(on_failure).into(),
    })
}

fn task(task: TaskFile) -> Result<v1::PlanTask, String> {
    let limit = task.limit.as_deref().map(parse_duration).transpose().map_err(|why| format!("limit: {why}"))?;
    if task.attempts == Some(0) {
        return Err("attempts begin with 1".into());
    }
    if limit.is_some_and(|limit| limit.is_zero()) {
        return Err("limit is longer than nothing; leave it out for none".into());
    }
    let limit_ms = limit.map_or(0, milliseconds);
    let (name, attempts) = (task.name.clone(), task.attempts.unwrap_or(0));
    let roles = if task.role.is_empty() { vec![alone(task)?] } else { of_roles(task)? };
    Ok(v1::PlanTask { name, limit_ms, attempts, roles })
}

/// A task without roles: a start like any.
fn alone(task: TaskFile) -> Result<v1::PlanRole, String> {
    let module = task.module.ok_or("it has neither a module nor a [[step.task.role]]")?;
    let given = [
        (task.processes, v1::CountBy::Unspecified),
        (task.per_machine, v1::CountBy::Machine),
        (task.per_disk, v1::CountBy::Disk),
        (task.per_cpu, v1::CountBy::Cpu),
    ];
    let given: Vec<_> = given.into_iter().filter_map(|(number, by)| Some((number?, by))).collect();
    let [(processes, by)] = given[..] else {
        return Err("give one of processes, per_machine, per_disk and per_cpu".into());
    };
    let start = v1::Start {
        module,
        processes,
        count_by: by.into(),
        selector: task.on,
        resource_selector: task.resources,
        parameters: pairs(&task.parameters),
        seed: task.seed,
        pulses: task.pulses,
        on_error: task.on_error,
        ..v1::Start::default()
    };
    Ok(v1::PlanRole { name: String::new(), start: Some(start) })
}

/// A task of roles: what it would run alone is said by each of them.
fn of_roles(task: TaskFile) -> Result<Vec<v1::PlanRole>, String> {
    let counts = [task.processes, task.per_machine, task.per_disk, task.per_cpu];
    let is_plain = task.module.is_none()
        && counts.iter().all(Option::is_none)
        && task.parameters.is_empty()
        && task.pulses.is_empty()
        && [&task.on, &task.resources, &task.on_error].iter().all(|text| text.is_empty())
        && task.seed == 0;
    if !is_plain {
        return Err("it has roles: say module, machines, on, parameters and the like of each role".into());
    }
    let role = |role: RoleFile| v1::PlanRole {
        name: role.name,
        start: Some(v1::Start {
            module: role.module,
            processes: role.machines,
            selector: role.on,
            resource_selector: role.resources,
            parameters: pairs(&role.parameters),
            seed: role.seed,
            pulses: role.pulses,
            on_error: role.on_error,
            ..v1::Start::default()
        }),
    };
    Ok(task.role.into_iter().map(role).collect())
}

fn pairs(parameters: &BTreeMap<String, Value>) -> Vec<v1::KeyValue> {
    parameters.iter().map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.to_string() }).collect()
}
