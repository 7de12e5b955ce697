//! Why a job or process is where it is, in lines for people.

use std::time::Duration;

use muster_ledger::View;
use muster_model::quantity::print_duration;
use muster_model::{
    Dpid, JobNumber, PoolTime, ProcessNumber, ProcessState, Refusal, RefusalCode, Verdict, describe_exit,
};

use crate::core::JobCore;
use crate::core::errand::Errand;
use crate::core::job::{Job, Process};
use crate::core::machine::Machine;
use crate::core::sync::{Round, RoundKey};
use crate::plans;

/// Machines that an explanation of a job names.
const MACHINES_MAX: usize = 20;
/// Processes that an explanation of a job names.
const PROCESSES_MAX: usize = 5;

/// An errand of a process.
fn errand_line(name: &str, errand: &Errand) -> String {
    let place = &errand.machine;
    match (&errand.started, &errand.end) {
        (Err(why), _) => format!("its errand {name} on {place} was not started: {why}"),
        (Ok(dpid), None) => format!("its errand {name} is {dpid} on {place}"),
        (Ok(dpid), Some(end)) => format!("its errand {name} was {dpid} on {place}: {}, {}", end.state, end.verdict),
    }
}

/// Explains a process, or a whole job where the process number is 0.
pub(crate) fn why(view: &View<'_, JobCore>, dpid: Dpid) -> Result<Vec<String>, Refusal> {
    if dpid.process == ProcessNumber(0) {
        let job = view.state.jobs.get(&dpid.job).ok_or_else(|| unknown(view, format!("job {}", dpid.job)))?;
        return Ok(job_lines(view, dpid, job));
    }
    let process = view.state.processes.get(&dpid).ok_or_else(|| unknown(view, format!("process {dpid}")))?;
    Ok(process_lines(view, dpid, process))
}

fn unknown(view: &View<'_, JobCore>, thing: String) -> Refusal {
    let why = format!("no {thing} is known in run {}", view.state.run);
    let next = "`muster jobs --all` and `muster ps --all` show what there is in this run";
    Refusal::new(RefusalCode::NotFound, format!("explain {thing}"), why, next)
}

fn job_lines(view: &View<'_, JobCore>, dpid: Dpid, job: &Job) -> Vec<String> {
    let now = view.now.time;
    let states = ProcessState::ALL.into_iter().filter(|state| job.by_state.of(*state) > 0);
    let counts: Vec<String> = states.map(|state| format!("{} {state}", job.by_state.of(state))).collect();
    let counts = if counts.is_empty() { "none placed".to_owned() } else { counts.join(", ") };
    let mut lines = vec![format!(
        "job {} ({}) was started {} ago by {}: {} processes, {}",
        dpid.job,
        job.spec.module.name,
        age(now, job.started),
        job.spec.actor,
        job.processes,
        counts
    )];
    if job.ended != PoolTime::NEVER {
        let verdicts = Verdict::ALL.into_iter().filter(|verdict| job.by_verdict[*verdict as usize] > 0);
        let verdicts: Vec<String> = verdicts.map(|v| format!("{} {v}", job.by_verdict[v as usize])).collect();
        lines.push(format!("it ended {} ago; verdicts: {}", age(now, job.ended), verdicts.join(", ")));
    }
    if let Some(plan) = job.plan.as_deref() {
        lines.extend(plans::why(view, job, plan));
    }
    if let Some(of) = &job.spec.errand_of {
        let ends = if of.detached { "goes on without it" } else { "ends with it" };
        lines.push(format!("it is the errand {} of {}, and {ends}", of.name, of.id.dpid));
    }
    let stalled = view.observed.stalled_of(view.state, dpid.job);
    if stalled > 0 {
        lines.push(format!("{stalled} of its running processes are stalled: their iterations do not change"));
    }
    lines.extend(job.open_rounds().map(|(key, round)| round_line(view, dpid.job, (key, round))));
    let waiting = |process: &Process| !matches!(process.state, ProcessState::Running) && !process.state.is_final();
    let parts = job.parts.iter().filter(|(_, part)| part.live() > part.of(ProcessState::Running));
    for (machine, part) in parts.clone().take(MACHINES_MAX) {
        let states = ProcessState::ALL.into_iter().filter(|state| part.of(*state) > 0);
        let counts: Vec<String> = states.map(|state| format!("{} {state}", part.of(state))).collect();
        let first =
            view.state.processes_of(dpid.job).find(|(_, process)| process.machine == *machine && waiting(process));
        let reason = first.map_or_else(String::new, |(_, process)| format!(": {}", waits_for(view, process)));
        lines.push(format!("{machine}: {}{reason}", counts.join(", ")));
    }
    let more = parts.count().saturating_sub(MACHINES_MAX);
    if more > 0 {
        lines.push(format!("and {more} more machines"));
    }
    let troubled = |process: &Process| matches!(process.state, ProcessState::Dead | ProcessState::Lost);
    for (dpid, process) in
        view.state.processes_of(dpid.job).filter(|(_, process)| troubled(process)).take(PROCESSES_MAX)
    {
        lines.push(format!("{dpid} on {} is {}: {}", process.machine, process.state, waits_for(view, process)));
    }
    lines
}

fn process_lines(view: &View<'_, JobCore>, dpid: Dpid, process: &Process) -> Vec<String> {
    let now = view.now.time;
    let job = &view.state.jobs[&dpid.job];
    let mut lines = vec![format!(
        "{dpid} ({}) on {} is {} since {}",
        job.spec_of(dpid.process).module.name,
        process.machine,
        process.state,
        age(now, process.since)
    )];
    lines.push(waits_for(view, process));
    lines.extend(waits_in(view, dpid, process));
    if let Some(unchanged) = view.observed.stall_of(view.state, dpid, process) {
        lines.push(format!("stalled: iterations unchanged for {} s", unchanged.as_secs()));
    }
    if process.attempt.0 > 1 {
        lines.push(format!("this is attempt {}: {}", process.attempt, process.reason));
    }
    if let Some(member) = process.member {
        let gang = view.state.gang(dpid.job, member).zip(&job.spec_of(dpid.process).module.roles);
        let mates = gang
            .map(|((mate, found), role)| format!("{role} {} on {} is {}", mate.process, found.machine, found.state));
        lines.push(format!("its gang {}: {}", member.gang, mates.collect::<Vec<_>>().join(", ")));
    }
    lines.extend(process.errands.iter().map(|(name, errand)| errand_line(name, errand)));
    if !process.resources.is_empty() {
        let resources: Vec<String> = process.resources.iter().map(ToString::to_string).collect();
        lines.push(format!("it was placed {} ago on {}", age(now, process.placed), resources.join(", ")));
    }
    lines
}

/// Who is awaited at a sync point, and for how long.
fn round_line(view: &View<'_, JobCore>, job: JobNumber, (key, round): (&RoundKey, &Round)) -> String {
    let name = |process: &ProcessNumber| {
        let dpid = Dpid { job, process: *process };
        let found = view.state.processes.get(&dpid);
        found.map_or_else(String::new, |found| format!("{dpid} ({} on {})", found.state, found.machine))
    };
    let awaited: Vec<ProcessNumber> = view.state.awaited(job, round).collect();
    let named: Vec<String> = awaited.iter().take(PROCESSES_MAX).map(name).collect();
    let more = awaited.len().saturating_sub(PROCESSES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let now = view.now.time;
    let left = if round.until.is_due(now) { Duration::ZERO } else { round.until.since(now) };
    let (voted, left) = (round.votes.len(), short(left));
    format!("sync point {key}: {voted} have arrived, and wait {left} more for {}{more}", named.join(", "))
}

/// The round that a process waits in; none where it does not.
fn waits_in(view: &View<'_, JobCore>, dpid: Dpid, process: &Process) -> Option<String> {
    let arrival = process.arrival.as_ref().filter(|arrival| arrival.refused.is_empty())?;
    let round = view.state.jobs.get(&dpid.job)?.rounds.get(&arrival.round).filter(|round| round.is_open())?;
    Some(round_line(view, dpid.job, (&arrival.round, round)))
}

/// What a process waits for, or why it ended.
fn waits_for(view: &View<'_, JobCore>, process: &Process) -> String {
    if process.state.is_final() {
        return ended_because(process);
    }
    let Some(machine) = view.state.machines.get(&process.machine) else {
        return "its machine is not known any more".into();
    };
    let now = view.now.time;
    if process.state == ProcessState::Away && machine_trouble(view, machine).is_some() {
        return awaited(process, now);
    }
    let agent = view.observed.agent(&process.machine);
    let acknowledged = agent.and_then(|agent| agent.acknowledged).unwrap_or_default();
    let trouble = machine_trouble(view, machine);
    if acknowledged < process.changed {
        let ordered = process.stop.as_ref().map_or(process.since, |stop| stop.at);
        let refusal = agent.map(|agent| agent.refusal.as_str()).filter(|refusal| !refusal.is_empty());
        let why = match (trouble, refusal) {
            (Some(trouble), _) => trouble,
            (None, Some(refusal)) => format!("it says: {refusal}"),
            (None, None) => format!("it is at {acknowledged}, the order is {}", process.changed),
        };
        let order = if process.stop.is_some() { "take the order to stop" } else { "take its order" };
        return format!("waiting for agent {} to {order} since {}: {why}", process.machine, age(now, ordered));
    }
    if let Some(trouble) = trouble {
        return format!("waiting for agent {}: {trouble}", process.machine);
    }
    match (process.state, &process.stop) {
        (_, Some(stop)) => {
            let left = stop.grace.saturating_sub(now.since(stop.at));
            format!(
                "it was told to stop {} ago ({}); it is killed in {}",
                age(now, stop.at),
                stop.reason.describe(),
                short(left)
            )
        }
        (ProcessState::Starting, None) => {
            let (machine, since) = (&process.machine, age(now, process.since));
            format!("waiting for it to answer its first ping: agent {machine} has its order, placed {since} ago")
        }
        (ProcessState::Mia, None) => "it misses pings; it runs on if it answers again".into(),
        (ProcessState::Away, None) => awaited(process, now),
        (_, None) => format!("it answers its pings, pid {}", process.pid),
    }
}

/// What is awaited of a process that is away, and for how long.
fn awaited(process: &Process, now: PoolTime) -> String {
    let Some(expected) = &process.expected else { return "its machine is away".into() };
    let (absence, note) = (expected.absence, &expected.note);
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    let left = if expected.until.is_due(now) { Duration::ZERO } else { expected.until.since(now) };
    let stopped = if process.stop.is_some() { "; it was told to stop, and ends then" } else { "" };
    format!(
        "waiting for its machine to come back from the {absence} that it announced{note}, for {} more{stopped}",
        short(left)
    )
}

fn machine_trouble(view: &View<'_, JobCore>, machine: &Machine) -> Option<String> {
    let now = view.now.time;
    if machine.down_since != PoolTime::NEVER {
        return Some(format!("its machine is down since {}", age(now, machine.down_since)));
    }
    match view.observed.agent(&machine.seen.machine) {
        None => Some("not heard since this scheduler leads".into()),
        Some(agent) if !agent.is_heard(now) => Some(format!("not heard since {}", age(now, agent.heard))),
        Some(agent) if agent.incarnation != machine.seen.incarnation => Some("it is about to say hello".into()),
        Some(_) => None,
    }
}

/// The status in words, where the reason does not say it already.
fn ended_because(process: &Process) -> String {
    let reason = if process.reason.is_empty() { "no reason was given" } else { &process.reason };
    let status = process.exit_status.map(describe_exit).filter(|status| !reason.contains(status));
    let status = status.map_or_else(String::new, |status| format!(", {status}"));
    format!("{reason}{status}, verdict {}", process.verdict)
}

fn age(now: PoolTime, then: PoolTime) -> String {
    short(now.since(then))
}

/// A duration without what nobody reads: milliseconds below ten seconds, seconds above.
fn short(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        print_duration(Duration::from_millis(duration.as_millis() as u64))
    } else {
        print_duration(Duration::from_secs(duration.as_secs()))
    }
}
