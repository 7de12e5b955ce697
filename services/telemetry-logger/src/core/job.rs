//! Events of JOBS -> runs, jobs, processes and their history.

use muster_model::{
    Attempt, Dpid, JobNumber, PoolTime, Position, ProcessId, ProcessNumber, ProcessState, RunId, Verdict,
};
use muster_proto::v1;
use muster_proto::v1::job_event::Kind;
use muster_telemetry::records::{Job, ProcessChange, Records, StateChange};

use super::plan;

/// Type name of the events of JOBS.
pub(super) const EVENT_TYPE: &str = "muster.v1.JobEvent";
/// State of an attempt that never started because the next one was placed elsewhere.
const REPLACED: &str = "replaced";
/// Processes of one placement at most: a start has no more (docs: limits).
pub(super) const PROCESSES_MAX: u32 = 65_535;

/// Takes one event. What is not about runs, jobs or processes adds nothing.
///
/// # Errors
/// When the event lacks what it must have.
pub(super) fn take(event: v1::JobEvent, position: Position, at: PoolTime, records: &mut Records) -> Result<(), String> {
    match event.kind.ok_or("it is of a kind that this version does not know")? {
        Kind::RunStarted(run) => {
            records.runs.entry(run.run).or_insert(at);
            Ok(())
        }
        Kind::JobStarted(started) => job_started(started, at, records),
        Kind::PlanStarted(started) => {
            plan::started(started, at, records);
            Ok(())
        }
        Kind::PlanTaskPlaced(placed) => plan::placed(placed, at, records),
        Kind::PlanTaskQueued(queued) => plan::queued(queued, records),
        Kind::PlanTasksEnded(ended) => plan::ended(ended, at, records),
        Kind::ProcessesChanged(changed) => processes_changed(changed, position, at, records),
        Kind::ProcessReplaced(replaced) => process_replaced(replaced, at, records),
        // The catalogue and what the scheduler knows of machines: kept as events, not as rows of their own.
        _ => Ok(()),
    }
}

fn job_started(started: v1::JobStarted, at: PoolTime, records: &mut Records) -> Result<(), String> {
    let spec = started.spec.ok_or("the job has no spec")?;
    let module = spec.module.unwrap_or_default();
    let processes: u64 = started.placements.iter().map(|placement| u64::from(placement.count)).sum();
    let processes = u32::try_from(processes).ok().filter(|count| *count <= PROCESSES_MAX);
    let processes = processes.ok_or("the job has more processes than a start may have")?;
    for placement in &started.placements {
        let id = |process| ProcessId {
            run: RunId(spec.run),
            dpid: Dpid { job: JobNumber(spec.job), process: ProcessNumber(process) },
            attempt: Attempt(1),
        };
        for nth in 0..placement.count {
            let process = placement.first.checked_add(nth).ok_or("a process number is beyond 32 bits")?;
            let change = ProcessChange { module: Some(module.name.clone()), ..placed(placement, nth, at) };
            merge(records.processes.entry(id(process)).or_default(), change);
        }
    }
    records.jobs.push(Job {
        run: spec.run,
        job: spec.job,
        module: module.name,
        module_version: module.version,
        selector: started.selector,
        actor: spec.actor,
        seed: spec.seed,
        reservation: spec.reservation,
        parameters: spec.parameters.into_iter().map(|parameter| (parameter.key, parameter.value)).collect(),
        processes,
        started: at,
    });
    Ok(())
}

/// The change by which the `nth` process of a placement begins.
pub(super) fn placed(placement: &v1::MachinePlacement, nth: u32, at: PoolTime) -> ProcessChange {
    let each = placement.resources_each as usize;
    let resources = placement.resources.iter().skip(each * nth as usize).take(each).cloned().collect();
    ProcessChange {
        machine: Some(placement.machine.clone()),
        epoch: Some(placement.epoch),
        resources: Some(resources),
        state: Some(ProcessState::Starting.as_str()),
        placed: Some(at),
        ..ProcessChange::default()
    }
}

fn processes_changed(
    changed: v1::ProcessesChanged,
    position: Position,
    at: PoolTime,
    records: &mut Records,
) -> Result<(), String> {
    for change in changed.changes {
        let id = ProcessId::from(change.id.ok_or("a change names no process")?);
        let to = ProcessState::try_from(change.to()).map_err(|_| "a change has no new state")?;
        let from = ProcessState::try_from(change.from()).map_or("", ProcessState::as_str);
        let verdict = Some(Verdict::from(change.verdict())).filter(|verdict| *verdict != Verdict::None);
        let ordinal = records.states.iter().rev().take_while(|state| state.position == position).count();
        records.states.push(StateChange {
            id,
            position,
            ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
            at,
            from,
            to: to.as_str(),
            machine: change.machine.clone(),
            reason: change.reason.clone(),
        });
        let learned = ProcessChange {
            machine: Some(change.machine).filter(|machine| !machine.is_empty()),
            state: Some(to.as_str()),
            verdict,
            running: (to == ProcessState::Running).then_some(at),
            ended: to.is_final().then_some(at),
            exit_status: change.exited.then_some(change.exit_status),
            reason: Some(change.reason),
            pid: Some(change.pid).filter(|pid| *pid != 0),
            ..ProcessChange::default()
        };
        merge(records.processes.entry(id).or_default(), learned);
    }
    Ok(())
}

fn process_replaced(replaced: v1::ProcessReplaced, at: PoolTime, records: &mut Records) -> Result<(), String> {
    let old = ProcessId::from(replaced.id.ok_or("a replacement names no process")?);
    let placement = replaced.placement.ok_or("a replacement has no placement")?;
    let over = ProcessChange { state: Some(REPLACED), reason: Some(replaced.reason), ..ProcessChange::default() };
    let before = records.processes.entry(old).or_default();
    merge(before, over);
    let module = before.module.clone();
    let attempt = old.attempt.0.checked_add(1).map(Attempt).ok_or("a replacement is beyond the last attempt")?;
    let new = ProcessId { attempt, ..old };
    let change = ProcessChange { module, ..placed(&placement, 0, at) };
    merge(records.processes.entry(new).or_default(), change);
    Ok(())
}

/// Adds what is newer: the latest word counts, but moments are set once.
pub(super) fn merge(known: &mut ProcessChange, newer: ProcessChange) {
    let known_before = std::mem::take(known);
    *known = ProcessChange {
        module: newer.module.or(known_before.module),
        machine: newer.machine.or(known_before.machine),
        epoch: newer.epoch.or(known_before.epoch),
        resources: newer.resources.or(known_before.resources),
        state: newer.state.or(known_before.state),
        verdict: newer.verdict.or(known_before.verdict),
        placed: known_before.placed.or(newer.placed),
        running: known_before.running.or(newer.running),
        ended: known_before.ended.or(newer.ended),
        exit_status: newer.exit_status.or(known_before.exit_status),
        reason: newer.reason.or(known_before.reason),
        pid: newer.pid.or(known_before.pid),
    };
}
