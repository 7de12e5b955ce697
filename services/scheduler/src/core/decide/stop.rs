//! Stopping what runs. Said twice, it changes nothing; a shorter grace shortens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_ledger::Decision;
use muster_model::{Dpid, JobNumber, PoolTime, ProcessNumber, Refusal, RefusalCode};

use super::super::JobCore;
use super::super::event::{Event, StopRequested};
use super::super::input::{Reply, Stop};
use super::super::job::{Job, Process, StopReason};
use super::super::limits::GRACE_MAX;
use super::super::state::State;
use super::answered;

pub(super) fn stop(state: &State, stop: &Stop) -> Result<Decision<JobCore>, Refusal> {
    let what = describe(stop);
    if stop.grace > GRACE_MAX {
        let why = "a grace may last 24 h at most".to_owned();
        return Err(Refusal::new(RefusalCode::Invalid, what, why, "give a shorter --grace"));
    }
    let targets = targets(state, stop, &what)?;
    let mut events = Vec::new();
    let (mut told, mut jobs) = (0, Vec::new());
    for (number, wanted) in targets {
        jobs.push(number);
        let job = &state.jobs[&number];
        let grace = if stop.grace.is_zero() { job.spec.module.stop_grace } else { stop.grace };
        let processes = to_tell(state, number, wanted.as_ref(), grace);
        // A plan of which nothing runs is stopped all the same.
        let ends_plan = job.plan.is_some() && wanted.is_none() && !job.stopping && job.ended == PoolTime::NEVER;
        if processes.is_empty() && !ends_plan {
            continue;
        }
        told += processes.len() as u32;
        let whole = wanted.is_none() || (job.plan.is_none() && processes.len() as u32 == job.processes);
        let processes = if whole { Vec::new() } else { processes };
        events.push(Event::StopRequested(StopRequested { job: number, processes, grace, reason: StopReason::User }));
    }
    Ok(answered(events, Reply::Stopped { processes: told, jobs }))
}

/// Jobs to stop, and which of their processes; none means all.
type Targets = BTreeMap<JobNumber, Option<BTreeSet<ProcessNumber>>>;

fn targets(state: &State, stop: &Stop, what: &str) -> Result<Targets, Refusal> {
    let mut targets = Targets::new();
    if stop.all {
        let running = state.jobs.iter().filter(|(_, job)| job.ended == PoolTime::NEVER);
        targets.extend(running.map(|(number, _)| (*number, None)));
        return Ok(targets);
    }
    if stop.jobs.is_empty() && stop.dpids.is_empty() {
        let next = "name a job, a DPID, or --all";
        return Err(Refusal::new(RefusalCode::Invalid, what, "nothing was named", next));
    }
    for dpid in &stop.dpids {
        if !state.processes.contains_key(dpid) {
            let why = format!("no process {dpid} is known in run {}", state.run);
            return Err(Refusal::new(RefusalCode::NotFound, what, why, "`muster ps` shows what runs"));
        }
        targets.entry(dpid.job).or_insert_with(|| Some(BTreeSet::new())).get_or_insert_default().insert(dpid.process);
    }
    for number in &stop.jobs {
        find_job(state, *number, what)?;
        targets.insert(*number, None);
    }
    Ok(targets)
}

/// A job, or the refusal that says which there are.
pub(super) fn find_job<'a>(state: &'a State, number: JobNumber, what: &str) -> Result<&'a Job, Refusal> {
    state.jobs.get(&number).ok_or_else(|| {
        let why = match state.last_job {
            JobNumber(0) => format!("run {} has no jobs yet", state.run),
            last if (JobNumber(1)..=last).contains(&number) => format!("job {number} ended long ago"),
            last => format!("job {number} is not known; run {} has jobs 1 to {last}", state.run),
        };
        Refusal::new(RefusalCode::NotFound, what, why, "`muster jobs` shows what runs")
    })
}

/// Processes that are not final, and were not told to stop within this grace already.
fn to_tell(
    state: &State,
    job: JobNumber,
    wanted: Option<&BTreeSet<ProcessNumber>>,
    grace: Duration,
) -> Vec<ProcessNumber> {
    let told = |process: &Process| process.stop.as_ref().is_some_and(|order| order.grace <= grace);
    let news = |process: &Process| !process.state.is_final() && !told(process);
    match wanted {
        None => state.processes_of(job).filter(|(_, process)| news(process)).map(|(dpid, _)| dpid.process).collect(),
        Some(numbers) => {
            let found =
                numbers.iter().filter(|number| state.processes.get(&Dpid { job, process: **number }).is_some_and(news));
            found.copied().collect()
        }
    }
}

fn describe(stop: &Stop) -> String {
    if stop.all {
        return "stop all".into();
    }
    match (stop.jobs.as_slice(), stop.dpids.as_slice()) {
        ([job], []) => format!("stop job {job}"),
        ([], [dpid]) => format!("stop {dpid}"),
        (jobs, dpids) => format!("stop {} jobs and {} processes", jobs.len(), dpids.len()),
    }
}
