//! What a mix may do: the file, checked.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::quantity::parse_duration;
use serde::Deserialize;

/// Jobs that a file may name, and pulses.
const JOBS_MAX: usize = 256;
/// Processes that a mix may have at once.
const PROCESSES_MAX: u32 = 65_535;
/// The least pause between two decisions.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// What a mix may do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Jobs at once.
    pub(crate) jobs_max: u32,
    /// Processes at once, of all jobs.
    pub(crate) processes_max: u32,
    /// Time between two decisions.
    pub(crate) pause: Range<Duration>,
    /// How often each kind of decision is taken.
    pub(crate) weights: Weights,
    /// Jobs that may be started.
    pub(crate) jobs: Vec<JobPlan>,
    /// Pulses that are defined, again and again.
    pub(crate) pulses: Vec<PulsePlan>,
}

/// A least and a greatest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range<T> {
    pub(crate) least: T,
    pub(crate) most: T,
}

/// How often each kind of decision is taken, against the others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Weights {
    pub(crate) start: u32,
    pub(crate) stop: u32,
    pub(crate) change: u32,
    pub(crate) pulses: u32,
    pub(crate) pulse: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { start: 4, stop: 2, change: 3, pulses: 2, pulse: 2 }
    }
}

/// A job that may be started.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobPlan {
    /// Its name in the mix.
    pub(crate) name: String,
    pub(crate) module: String,
    /// How often it is started, against the others.
    pub(crate) weight: u32,
    /// Selector of machines.
    pub(crate) on: String,
    /// Selector of resources.
    pub(crate) resources: String,
    /// Reservation on whose machines it runs.
    pub(crate) reservation: u64,
    pub(crate) processes: Range<u32>,
    /// Processes of one start are a multiple of this.
    pub(crate) multiple_of: u32,
    /// How long it runs before it is stopped.
    pub(crate) lifetime: Range<Duration>,
    pub(crate) at_once_max: u32,
    /// Parameters of a start, with the values that each may have.
    pub(crate) parameters: BTreeMap<String, Vec<String>>,
    /// Parameters that are changed while it runs, with the values that each may have.
    pub(crate) changes: BTreeMap<String, Vec<String>>,
    /// Pulses of which it may have some.
    pub(crate) pulses: Vec<u8>,
}

/// A pulse that is defined again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PulsePlan {
    pub(crate) number: u8,
    pub(crate) block: Range<Duration>,
    pub(crate) free: Range<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    jobs_max: u32,
    processes_max: u32,
    pause: [String; 2],
    #[serde(default)]
    weights: Weights,
    #[serde(default)]
    job: Vec<JobFile>,
    #[serde(default)]
    pulse: Vec<PulseFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    name: String,
    module: String,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    on: String,
    #[serde(default)]
    resources: String,
    #[serde(default)]
    reservation: u64,
    processes: [u32; 2],
    #[serde(default = "one")]
    multiple_of: u32,
    lifetime: [String; 2],
    #[serde(default = "one")]
    at_once_max: u32,
    #[serde(default)]
    parameters: BTreeMap<String, Values>,
    #[serde(default)]
    changes: BTreeMap<String, Values>,
    #[serde(default)]
    pulses: Vec<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PulseFile {
    number: u8,
    block: [String; 2],
    free: [String; 2],
}

/// One value, or several of which one is taken.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

fn one() -> u32 {
    1
}

/// Reads a file; says in one line what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Plan, String> {
    let file: File = toml::from_str(text).map_err(|error| crate::commands::told(text, &error))?;
    let plan = Plan {
        jobs_max: file.jobs_max,
        processes_max: file.processes_max,
        pause: durations("pause", &file.pause, PAUSE_MIN)?,
        weights: file.weights,
        jobs: file.job.into_iter().map(job).collect::<Result<_, _>>()?,
        pulses: file.pulse.into_iter().map(pulse).collect::<Result<_, _>>()?,
    };
    check(&plan)?;
    Ok(plan)
}

fn check(plan: &Plan) -> Result<(), String> {
    if plan.jobs.is_empty() || plan.jobs.len() > JOBS_MAX {
        return Err(format!("it has {} [[job]] tables; 1 to {JOBS_MAX} are possible", plan.jobs.len()));
    }
    if plan.jobs_max == 0 || !(1..=PROCESSES_MAX).contains(&plan.processes_max) || plan.weights.start == 0 {
        return Err(format!(
            "jobs_max and the weight of start begin with 1, processes_max is 1 to {PROCESSES_MAX}: nothing could be started"
        ));
    }
    for (index, job) in plan.jobs.iter().enumerate() {
        if plan.jobs[..index].iter().any(|other| other.name == job.name) {
            return Err(format!("job `{}` is there twice", job.name));
        }
        if job.processes.least > plan.processes_max {
            return Err(format!("job `{}`: {} processes are more than processes_max", job.name, job.processes.least));
        }
        if let Some(number) = job.pulses.iter().find(|number| !plan.pulses.iter().any(|pulse| pulse.number == **number))
        {
            return Err(format!("job `{}`: pulse {number} has no [[pulse]] table", job.name));
        }
    }
    for (index, pulse) in plan.pulses.iter().enumerate() {
        if plan.pulses[..index].iter().any(|other| other.number == pulse.number) {
            return Err(format!("pulse {} is there twice", pulse.number));
        }
    }
    Ok(())
}

fn job(file: JobFile) -> Result<JobPlan, String> {
    let wrong = |what: &str| format!("job `{}`: {what}", file.name);
    let [least, most] = file.processes;
    let step = file.multiple_of;
    if step == 0 || least == 0 || least > most || !least.is_multiple_of(step) || most > PROCESSES_MAX {
        return Err(wrong("processes are [least, most], from 1, and least is a multiple of multiple_of"));
    }
    if file.weight == 0 || file.at_once_max == 0 {
        return Err(wrong("weight and at_once_max begin with 1"));
    }
    let values = |of: BTreeMap<String, Values>| {
        let several = of.into_iter().map(|(name, values)| match values {
            Values::One(value) => (name, vec![value]),
            Values::Several(values) => (name, values),
        });
        several.collect::<BTreeMap<_, _>>()
    };
    let (parameters, changes) = (values(file.parameters), values(file.changes));
    if let Some((name, _)) = parameters.iter().chain(&changes).find(|(_, values)| values.is_empty()) {
        return Err(wrong(&format!("parameter `{name}` has no values")));
    }
    if let Some((name, _)) = changes.iter().find(|(_, values)| values.len() < 2) {
        return Err(wrong(&format!(
            "parameter `{name}` has one value, so it can not be changed; it belongs to parameters"
        )));
    }
    let lifetime = durations("lifetime", &file.lifetime, PAUSE_MIN).map_err(|why| wrong(&why))?;
    let mut pulses = file.pulses;
    pulses.sort_unstable();
    pulses.dedup();
    Ok(JobPlan {
        name: file.name,
        module: file.module,
        weight: file.weight,
        on: file.on,
        resources: file.resources,
        reservation: file.reservation,
        processes: Range { least, most },
        multiple_of: step,
        lifetime,
        at_once_max: file.at_once_max,
        parameters,
        changes,
        pulses,
    })
}

fn pulse(file: PulseFile) -> Result<PulsePlan, String> {
    let times = |name: &str, given: &[String; 2]| {
        durations(name, given, Duration::from_millis(1)).map_err(|why| format!("pulse {}: {why}", file.number))
    };
    Ok(PulsePlan { number: file.number, block: times("block", &file.block)?, free: times("free", &file.free)? })
}

fn durations(name: &str, given: &[String; 2], least_of_all: Duration) -> Result<Range<Duration>, String> {
    let read = |text: &String| parse_duration(text).map_err(|error| format!("{name}: {error}"));
    let range = Range { least: read(&given[0])?, most: read(&given[1])? };
    if range.least < least_of_all || range.least > range.most {
        return Err(format!("{name} is [least, most], at least {least_of_all:?}"));
    }
    Ok(range)
}
