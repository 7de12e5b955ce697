//! Pulses: defined, taken away, and given to jobs that run. Said twice, it changes nothing.

use std::collections::BTreeSet;

use muster_ledger::Decision;
use muster_model::pulse::PULSES_OF_JOB_MAX;
use muster_model::{PoolTime, Pulse, PulseNumber, Refusal, RefusalCode};

use super::super::JobCore;
use super::super::event::{Event, JobChanged};
use super::super::input::{ChangeJob, ClearPulses, PulseUse, Reply};
use super::super::parameters;
use super::super::state::State;
use super::answered;
use super::stop::find_job;

/// Defines a pulse.
pub(super) fn set(state: &State, number: PulseNumber, pulse: Pulse) -> Decision<JobCore> {
    let unchanged = state.pulses.get(&number) == Some(&pulse);
    let events = if unchanged { Vec::new() } else { vec![Event::PulseSet(number, pulse)] };
    answered(events, Reply::Pulses(vec![state.pulse_use(number, pulse)]))
}

/// Takes definitions away: who had them goes on free of them.
pub(super) fn clear(state: &State, clear: &ClearPulses) -> Result<Decision<JobCore>, Refusal> {
    let what = match clear.numbers.as_slice() {
        _ if clear.all => "clear all pulses".to_owned(),
        [number] => format!("clear pulse {number}"),
        numbers => format!("clear {} pulses", numbers.len()),
    };
    let numbers: Vec<PulseNumber> = if clear.all {
        state.pulses.keys().copied().collect()
    } else if clear.numbers.is_empty() {
        let next = "name pulses, or give --all";
        return Err(Refusal::new(RefusalCode::Invalid, what, "nothing was named", next));
    } else {
        defined(state, &what, &clear.numbers)?.into_iter().collect()
    };
    let cleared = numbers.iter().map(|number| {
        let used = state.pulse_use(*number, state.pulses[number]);
        PulseUse { cleared: true, ..used }
    });
    let reply = Reply::Pulses(cleared.collect());
    let events = if numbers.is_empty() { Vec::new() } else { vec![Event::PulsesCleared(numbers)] };
    Ok(answered(events, reply))
}

/// Gives a job that runs other pulses or parameters. The answer says all that it has then.
pub(super) fn change_job(state: &State, change: &ChangeJob) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("change job {}", change.job);
    let job = find_job(state, change.job, &what)?;
    if job.ended != PoolTime::NEVER {
        let why = "all of its processes have ended";
        return Err(Refusal::new(RefusalCode::Refused, what, why, "`muster jobs` shows what runs"));
    }
    if job.plan.is_some() {
        let why = "it is a plan, and what its tasks have is in its file";
        return Err(Refusal::new(RefusalCode::Refused, what, why, "change the file, and start it again"));
    }
    if change.pulses.is_none() && change.parameters.is_empty() {
        let next = "give parameters as `name=value`, --pulse N[,M...], or --pulse none";
        return Err(Refusal::new(RefusalCode::Invalid, what, "nothing was said to change", next));
    }
    let spec = &job.spec;
    let pulses = change.pulses.as_ref().map(|pulses| read(state, &what, pulses)).transpose()?;
    let parameters = parameters::changed(&what, &spec.module, &spec.parameters, &change.parameters)?;
    let event = JobChanged {
        job: change.job,
        pulses: pulses.filter(|pulses| *pulses != spec.pulses),
        parameters: if parameters == spec.parameters { Vec::new() } else { parameters.clone() },
    };
    let unchanged = event.pulses.is_none() && event.parameters.is_empty();
    let pulses = Some(event.pulses.clone().unwrap_or_else(|| spec.pulses.clone()));
    let reply = Reply::JobChanged(JobChanged { job: change.job, pulses, parameters });
    Ok(answered(if unchanged { Vec::new() } else { vec![Event::JobChanged(event)] }, reply))
}

/// Pulses as they were given to a job: defined ones, and not too many; sorted.
pub(super) fn read(state: &State, what: &str, given: &[u32]) -> Result<Vec<PulseNumber>, Refusal> {
    let numbers = defined(state, what, given)?;
    if numbers.len() > PULSES_OF_JOB_MAX {
        let why = format!("{} pulses are given, and a job may have {PULSES_OF_JOB_MAX}", numbers.len());
        return Err(Refusal::new(
            RefusalCode::Limit,
            what,
            why,
            "give fewer; a job is free when all of its pulses are",
        ));
    }
    Ok(numbers.into_iter().collect())
}

/// Numbers of pulses that are all defined.
fn defined(state: &State, what: &str, given: &[u32]) -> Result<BTreeSet<PulseNumber>, Refusal> {
    let mut numbers = BTreeSet::new();
    for number in given {
        let number = PulseNumber::try_from(*number).map_err(|error| {
            Refusal::new(RefusalCode::Invalid, what, error.to_string(), "give a number of 0 to 255")
        })?;
        if !state.pulses.contains_key(&number) {
            let why = format!("pulse {number} is not defined");
            let next =
                format!("`muster pulse set {number} --block 2s --free 3s` defines it, `muster pulse list` shows all");
            return Err(Refusal::new(RefusalCode::NotFound, what, why, next));
        }
        numbers.insert(number);
    }
    Ok(numbers)
}
