//! The state as a snapshot: deterministic, without what is derived.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::{Attempt, Dpid, Epoch, Incarnation, JobNumber, PoolTime, ProcessNumber, RunId};
use muster_proto::{WireError, v1};
use prost::Message;

use super::events::stop_reason;
use super::spec::member;
use super::{
    attached, away, errands, groups, machine_id, milliseconds, plans, position, pulses, resource_ids, sync,
    test_events, triggers,
};
use crate::core::State;
use crate::core::event::LoadNumber;
use crate::core::job::{Job, Process, StopOrder};
use crate::core::machine::Machine;
use crate::core::module::Module;

/// Encodes a state. Every list comes from an ordered map.
pub fn encode(state: &State) -> Bytes {
    let loads = state.loads.iter().map(|((kind, device_type), load)| {
        (&LoadNumber { kind: *kind, device_type: device_type.clone(), load: *load }).into()
    });
    let snapshot = v1::JobSnapshot {
        run: state.run.0,
        last_job: state.last_job.0,
        modules: state.modules.values().map(|module| (&**module).into()).collect(),
        machines: state.machines.values().map(machine_to_wire).collect(),
        load_numbers: loads.collect(),
        jobs: state.jobs.iter().map(|(number, job)| job_to_wire(state, *number, job)).collect(),
        pulses: state.pulses.iter().map(|(number, pulse)| pulses::to_wire(*number, pulse)).collect(),
        master: state.master.as_ref().map(Into::into),
        arms: triggers::arms(state),
        firings: state.firings.iter().map(triggers::firing).collect(),
        reservations: attached::followed_to_wire(state),
        groups: groups::to_wire(&state.groups),
        test_events: test_events::remembered_to_wire(&state.test_events),
        test_event_newest: state.test_events.newest,
    };
    snapshot.encode_to_vec().into()
}

/// Decodes a state, and derives what was left out.
pub fn decode(bytes: &Bytes) -> Result<State, String> {
    let snapshot = v1::JobSnapshot::decode(bytes.clone()).map_err(|error| error.to_string())?;
    restore(snapshot).map_err(|error| error.to_string())
}

fn restore(snapshot: v1::JobSnapshot) -> Result<State, WireError> {
    let mut state = State::empty(RunId(snapshot.run), JobNumber(snapshot.last_job));
    state.master = snapshot.master.map(TryInto::try_into).transpose()?;
    for module in snapshot.modules {
        let module = Module::try_from(module)?;
        state.modules.insert(module.name.clone(), Arc::new(module));
    }
    for number in snapshot.load_numbers {
        let number = LoadNumber::try_from(number)?;
        state.loads.insert((number.kind, number.device_type), number.load);
    }
    for machine in snapshot.machines {
        let machine = machine_from_wire(machine)?;
        state.restore_machine(machine);
    }
    for job in snapshot.jobs {
        let (job, processes) = job_from_wire(job)?;
        for (_, process) in &processes {
            if !state.machines.contains_key(&process.machine) {
                return Err(WireError::invalid("SnapshotProcess", "machine", &process.machine));
            }
        }
        state.restore_job(job, processes);
    }
    for pulse in &snapshot.pulses {
        let (number, pulse) = pulses::from_wire(pulse)?;
        state.pulses.insert(number, pulse);
    }
    triggers::restore_arms(&mut state, snapshot.arms)?;
    state.reservations =
        snapshot.reservations.into_iter().map(attached::followed_from_wire).collect::<Result<_, _>>()?;
    state.groups = groups::from_wire(snapshot.groups)?;
    state.test_events = test_events::remembered_from_wire(snapshot.test_events, snapshot.test_event_newest)?;
    state.firings = snapshot.firings.into_iter().map(triggers::remembered).collect::<Result<_, _>>()?;
    Ok(state)
}

fn machine_to_wire(machine: &Machine) -> v1::SnapshotMachine {
    v1::SnapshotMachine {
        seen: Some((&machine.seen).into()),
        generation: Some(machine.generation.into()),
        incarnation: machine.reported.0.0,
        batch: machine.reported.1,
        down_since_ns: machine.down_since.0,
        fenced_ns: machine.fenced_at.0,
    }
}

fn machine_from_wire(machine: v1::SnapshotMachine) -> Result<Machine, WireError> {
    let seen = machine.seen.ok_or_else(|| WireError::missing("SnapshotMachine", "seen"))?;
    let mut restored = Machine::new(seen.try_into()?);
    restored.generation = position(machine.generation);
    restored.reported = (Incarnation(machine.incarnation), machine.batch);
    restored.down_since = PoolTime(machine.down_since_ns);
    restored.fenced_at = PoolTime(machine.fenced_ns);
    Ok(restored)
}

fn job_to_wire(state: &State, number: JobNumber, job: &Job) -> v1::SnapshotJob {
    v1::SnapshotJob {
        spec: Some((&*job.spec).into()),
        selector: job.selector.clone(),
        started_ns: job.started.0,
        all_running_ns: job.all_running.0,
        ended_ns: job.ended.0,
        stopping: job.stopping,
        processes: state.processes_of(number).map(|(dpid, process)| process_to_wire(dpid, process)).collect(),
        resource_selector: job.resource_selector.clone(),
        rounds: job.rounds.iter().map(sync::round_to_wire).collect(),
        left: job.left.iter().map(|process| process.0).collect(),
        plan: job.plan.as_deref().map(plans::plan_to_wire),
    }
}

fn job_from_wire(job: v1::SnapshotJob) -> Result<(Job, Vec<(Dpid, Process)>), WireError> {
    let spec = job.spec.ok_or_else(|| WireError::missing("SnapshotJob", "spec"))?;
    let mut restored =
        Job::new(Arc::new(spec.try_into()?), (job.selector, job.resource_selector), PoolTime(job.started_ns));
    restored.all_running = PoolTime(job.all_running_ns);
    restored.ended = PoolTime(job.ended_ns);
    restored.stopping = job.stopping;
    restored.rounds = job.rounds.into_iter().map(sync::round_from_wire).collect::<Result<_, _>>()?;
    restored.left = job.left.into_iter().map(ProcessNumber).collect();
    if let Some(plan) = job.plan.map(plans::plan_from_wire).transpose()? {
        restored.spec = Arc::new(plan.spec.common());
        restored.plan = Some(Box::new(plan));
    }
    let number = restored.spec.job;
    let processes = job.processes.into_iter().map(|process| process_from_wire(number, process));
    Ok((restored, processes.collect::<Result<_, _>>()?))
}

fn process_to_wire(dpid: Dpid, process: &Process) -> v1::SnapshotProcess {
    let stop = process.stop.as_ref();
    v1::SnapshotProcess {
        process: dpid.process.0,
        attempt: process.attempt.0,
        machine: process.machine.to_string(),
        epoch: process.epoch.0,
        machine_generation: Some(process.machine_generation.into()),
        resources: process.resources.iter().map(ToString::to_string).collect(),
        state: v1::ProcessState::from(process.state).into(),
        verdict: v1::Verdict::from(process.verdict).into(),
        placed_ns: process.placed.0,
        since_ns: process.since.0,
        running_ns: process.running.0,
        ended_ns: process.ended.0,
        exit_status: process.exit_status.unwrap_or(0),
        exited: process.exit_status.is_some(),
        reason: process.reason.clone(),
        pid: process.pid,
        stop: stop.is_some(),
        grace_ms: stop.map_or(0, |stop| milliseconds(stop.grace)),
        stop_ns: stop.map_or(0, |stop| stop.at.0),
        stop_reason: stop.map_or_else(String::new, |stop| stop.reason.as_str().to_owned()),
        changed: Some(process.changed.into()),
        gang: process.member.map_or(0, |member| member.gang),
        role: process.member.map_or(0, |member| member.role),
        expected: process.expected.as_deref().map(away::expected_to_wire),
        returns: process.returns,
        arrival: process.arrival.as_deref().map(sync::arrival_to_wire),
        errands: errands::all_to_wire(&process.errands),
    }
}

fn process_from_wire(job: JobNumber, process: v1::SnapshotProcess) -> Result<(Dpid, Process), WireError> {
    const MESSAGE: &str = "SnapshotProcess";
    let stop = match process.stop {
        false => None,
        true => Some(StopOrder {
            grace: Duration::from_millis(process.grace_ms),
            at: PoolTime(process.stop_ns),
            reason: stop_reason(&process.stop_reason)?,
        }),
    };
    let restored = Process {
        attempt: Attempt(process.attempt),
        epoch: Epoch(process.epoch),
        state: process.state().try_into()?,
        verdict: process.verdict().into(),
        machine: machine_id(MESSAGE, &process.machine)?,
        machine_generation: position(process.machine_generation),
        resources: resource_ids(MESSAGE, &process.resources)?,
        member: (process.gang > 0).then(|| member(MESSAGE, process.gang, process.role)).transpose()?,
        placed: PoolTime(process.placed_ns),
        since: PoolTime(process.since_ns),
        running: PoolTime(process.running_ns),
        ended: PoolTime(process.ended_ns),
        exit_status: process.exited.then_some(process.exit_status),
        reason: process.reason,
        pid: process.pid,
        stop,
        expected: process.expected.map(|expected| away::expected_from_wire(expected).map(Box::new)).transpose()?,
        returns: process.returns,
        arrival: process.arrival.map(|arrival| sync::arrival_from_wire(arrival).map(Box::new)).transpose()?,
        errands: errands::all_from_wire(process.errands)?,
        changed: position(process.changed),
    };
    Ok((Dpid { job, process: ProcessNumber(process.process) }, restored))
}
