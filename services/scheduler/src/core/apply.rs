//! Folding events into the state. Whatever the log holds was decided and is taken as it stands; only a transition that is not
//! listed (invariant I8) stops the service, because no release of it can have decided that.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_ledger::At;
use muster_model::{Dpid, Epoch, GroupMaster, JobNumber, PoolTime, ProcessNumber, ProcessState};

use super::errand;
use super::event::{
    AbsenceExpected, Event, JobChanged, JobStarted, MachineSeen, Placement, ProcessChange, ProcessReplaced,
    StopRequested,
};
use super::job::{Job, Member, Process, StopOrder};
use super::limits::{ENDED_JOBS_MAX, ENDED_PROCESSES_MAX};
use super::state::{EndedLimits, State, dpids_of};
use super::test_event::TestEvents;

/// Folds one event.
pub(super) fn apply(state: &mut State, event: &Event, at: &At<'_>) {
    state.forgotten.0.clear();
    match event {
        Event::RunStarted(run) => {
            state.forget_all_jobs();
            let machines: Vec<_> = state.machines.keys().cloned().collect();
            machines.iter().for_each(|machine| state.disarm_all(machine, at));
            state.firings.clear();
            state.test_events = TestEvents::default();
            state.run = *run;
            state.last_job = JobNumber(0);
        }
        Event::ModuleAdded(module) => {
            state.modules.insert(module.name.clone(), Arc::new((**module).clone()));
        }
        Event::ModuleRemoved(name) => {
            state.modules.remove(name);
        }
        Event::JobStarted(started) => start(state, started, at),
        Event::StopRequested(stop) => stop_processes(state, stop, at),
        Event::ProcessesChanged(changes) => changes.iter().for_each(|change| transition(state, change, at)),
        Event::ReportsTaken(taken) => {
            if let Some(machine) = state.machines.get_mut(&taken.machine) {
                machine.reported = (taken.incarnation, taken.batch);
            }
        }
        Event::MachineSeen(seen) => see(state, seen, at),
        Event::LoadNumberSeen(number) => {
            state.loads.insert((number.kind, number.device_type.clone()), number.load);
            let machines: Vec<_> = state.machines.keys().cloned().collect();
            machines.iter().for_each(|machine| state.derive_places(machine));
        }
        Event::ProcessReplaced(replaced) => replace(state, replaced, at),
        Event::PulseSet(number, pulse) => {
            state.pulses.insert(*number, *pulse);
            state.tell_gated(&[*number], at.position);
        }
        Event::PulsesCleared(numbers) => {
            state.pulses.retain(|number, _| !numbers.contains(number));
            state.tell_gated(numbers, at.position);
        }
        Event::JobChanged(changed) => change_job(state, changed, at),
        Event::MasterChanged(changed) => state.master.clone_from(&changed.master),
        Event::ReservationSeen(id, news) => state.see_reservation(*id, news, at),
        Event::StartAttached(start) => state.attach_start(start),
        Event::JobNumbersPassed(last) => state.last_job = state.last_job.max(*last),
        Event::GroupEnded { master: GroupMaster::Process(run, dpid), .. } => state.end_group((*run, *dpid)),
        Event::GroupEnded { master: GroupMaster::Reservation(_), .. } => {}
        Event::AttachedEnded(id, outcome) => state.end_attached(*id, outcome),
        Event::TriggerArmed(armed) => state.arm(armed, at),
        Event::TriggerDisarmed(disarmed) => state.disarm(disarmed, at),
        Event::TriggerFired(firing) => state.note_fired(firing),
        Event::TriggerActed(acted) => state.note_acted(acted, at),
        Event::AbsenceExpected(absence) => expect(state, absence, at),
        Event::SyncArrived(arrived) => state.arrive(arrived, at),
        Event::SyncLeft(left) => state.leave(left.job, &left.processes, at),
        Event::TestEvent(event) => state.test_events.take(event, at),
        Event::TestEventsDropped { .. } => {}
        Event::ErrandRefused(refused) => errand::refused(state, refused, at),
        Event::SyncTimedOut { job, round } => state.time_out(*job, round, at),
        Event::PlanStarted(spec) => state.start_plan(spec, at),
        Event::PlanStepBegun { job, step } => state.begin_step(*job, *step, at),
        Event::PlanTaskPlaced(placed) => state.place_task(placed, at),
        Event::PlanTaskQueued(queued) => state.queue_task(queued, at),
        Event::PlanTasksEnded { job, ends, .. } => state.end_tasks(*job, ends, at),
        Event::CheckoutAsked(asked) => state.keep_machines(asked),
    }
}

fn start(state: &mut State, started: &JobStarted, at: &At<'_>) {
    let number = started.spec.job;
    state.last_job = number;
    let selectors = (started.selector.clone(), started.resource_selector.clone());
    state.insert_job(Job::new(started.spec.clone(), selectors, at.time));
    for placement in started.placements.iter() {
        for (index, process) in placed(placement, at).enumerate() {
            let process_number = ProcessNumber(placement.first.0 + index as u32);
            state.insert_process(Dpid { job: number, process: process_number }, process);
        }
        if let Some(machine) = state.machines.get_mut(&placement.machine) {
            machine.generation = at.position;
        }
    }
    errand::began(state, started, at);
}

/// The processes of a placement, before anything was heard of them.
pub(super) fn placed<'a>(placement: &'a Placement, at: &'a At<'_>) -> impl Iterator<Item = Process> + 'a {
    (0..placement.count as usize).map(|index| Process {
        attempt: muster_model::Attempt(1),
        machine: placement.machine.clone(),
        epoch: placement.epoch,
        machine_generation: placement.machine_generation,
        resources: placement.resources_of(index).to_vec(),
        member: placement.members.get(index).copied(),
        state: ProcessState::Starting,
        verdict: Default::default(),
        placed: at.time,
        since: at.time,
        running: PoolTime::NEVER,
        ended: PoolTime::NEVER,
        exit_status: None,
        reason: String::new(),
        pid: 0,
        stop: None,
        expected: None,
        returns: 0,
        arrival: None,
        errands: BTreeMap::new(),
        changed: at.position,
    })
}

/// Processes of a job are told to stop.
pub(super) fn stop_processes(state: &mut State, stop: &StopRequested, at: &At<'_>) {
    let whole = stop.processes.is_empty();
    if let Some(job) = state.jobs.get_mut(&stop.job) {
        job.stopping |= whole;
    }
    let dpids: Vec<Dpid> = if whole {
        state.processes.range(dpids_of(stop.job)).map(|(dpid, _)| *dpid).collect()
    } else {
        stop.processes.iter().map(|process| Dpid { job: stop.job, process: *process }).collect()
    };
    for dpid in dpids {
        let Some(process) = state.processes.get_mut(&dpid) else { continue };
        if process.state.is_final() || process.stop.as_ref().is_some_and(|order| order.grace <= stop.grace) {
            continue;
        }
        process.stop = Some(StopOrder { grace: stop.grace, at: at.time, reason: stop.reason });
        state.reorder(dpid, at.position);
    }
}

/// Every live process of a job is told what it has now.
fn change_job(state: &mut State, changed: &JobChanged, at: &At<'_>) {
    let Some(job) = state.jobs.get_mut(&changed.job) else { return };
    let spec = Arc::make_mut(&mut job.spec);
    if let Some(pulses) = &changed.pulses {
        spec.pulses.clone_from(pulses);
    }
    if !changed.parameters.is_empty() {
        spec.parameters.clone_from(&changed.parameters);
    }
    let live = state.processes_of(changed.job).filter(|(_, process)| !process.state.is_final());
    let live: Vec<Dpid> = live.map(|(dpid, _)| dpid).collect();
    live.into_iter().for_each(|dpid| state.reorder(dpid, at.position));
}

/// One transition.
fn transition(state: &mut State, change: &ProcessChange, at: &At<'_>) {
    let dpid = change.id.dpid;
    let Some(before) = state.current(&change.id).cloned() else { return };
    assert!(
        before.state.may_become(change.to),
        "{} {} -> {} is not a listed transition",
        change.id,
        before.state,
        change.to
    );
    let first_run = change.to == ProcessState::Running && before.running == PoolTime::NEVER;
    let process = state.processes.get_mut(&dpid).expect("looked up above");
    process.state = change.to;
    process.since = at.time;
    process.reason.clone_from(&change.reason);
    if change.pid != 0 {
        process.pid = change.pid;
    }
    if before.state == ProcessState::Away {
        process.expected = None;
    }
    if first_run {
        process.running = at.time;
    }
    if change.to.is_final() {
        process.ended = at.time;
        process.verdict = change.verdict;
        process.exit_status = change.exit_status;
    }
    let job = state.jobs.get_mut(&dpid.job).expect("every process has its job");
    let part = job.parts.get_mut(&before.machine).expect("every process is counted on its machine");
    for counts in [&mut job.by_state, part] {
        counts.remove(before.state);
        counts.add(change.to);
    }
    job.ran += u32::from(first_run);
    for (state_of, came) in [(before.state, false), (change.to, true)] {
        if state_of == ProcessState::Away {
            state.count_away(&before.machine, came);
        }
    }
    let job = state.jobs.get_mut(&dpid.job).expect("every process has its job");
    if first_run && job.ran == job.processes && job.plan.is_none() {
        job.all_running = at.time;
    }
    if change.to.is_final() {
        job.by_verdict[change.verdict as usize] += 1;
        end_process(state, dpid, &before, at);
    }
}

/// A process announced that its machine goes away, and its agent is told whether it may.
fn expect(state: &mut State, absence: &AbsenceExpected, at: &At<'_>) {
    let dpid = absence.id.dpid;
    if state.current(&absence.id).is_none_or(|process| process.state.is_final()) {
        return;
    }
    if let Some(process) = state.processes.get_mut(&dpid) {
        process.expected = Some(Box::new(absence.expected.clone()));
    }
    state.reorder(dpid, at.position);
}

/// A process is final: its place is free, its agent may forget it, and its job may have ended.
fn end_process(state: &mut State, dpid: Dpid, before: &Process, at: &At<'_>) {
    state.end_on_machine(dpid, before);
    state.reorder(dpid, at.position);
    let end = state.processes[&dpid].state;
    state.release(dpid, end.as_str(), at);
    errand::ended(state, dpid, at);
    // A plan ends with its last task.
    if state.jobs[&dpid.job].plan.is_none() {
        end_job_if_over(state, dpid.job, at);
    }
}

/// A job of which nothing is left ends, once.
pub(super) fn end_job_if_over(state: &mut State, number: JobNumber, at: &At<'_>) {
    let Some(job) = state.jobs.get_mut(&number).filter(|job| job.ended == PoolTime::NEVER && job.is_over()) else {
        return;
    };
    job.ended = at.time;
    job.rounds.clear();
    state.note_ended(number, EndedLimits { jobs: ENDED_JOBS_MAX, processes: ENDED_PROCESSES_MAX });
}

fn see(state: &mut State, seen: &MachineSeen, at: &At<'_>) {
    let id = &seen.seen.machine;
    let before = state.machines.get(id).map(|machine| {
        let seen = &machine.seen;
        (seen.down, seen.fenced_epoch, seen.epoch)
    });
    let (was_down, was_fenced, was_of) = before.unwrap_or((false, Epoch(0), Epoch(0)));
    state.see(seen.seen.clone());
    let Some(machine) = state.machines.get(id) else { return };
    if machine.seen.epoch > was_of || machine.seen.removed {
        state.disarm_all(id, at);
    }
    let Some(machine) = state.machines.get_mut(id) else { return };
    if machine.seen.down != was_down {
        machine.down_since = if machine.seen.down { at.time } else { PoolTime::NEVER };
    }
    if machine.seen.fenced_epoch > was_fenced {
        machine.fenced_at = at.time;
    }
    if machine.seen.down && !was_down {
        let id = id.clone();
        state.release_on(&id, at);
    }
}

/// The next attempt, with everything that belonged to the last one empty.
fn replace(state: &mut State, replaced: &ProcessReplaced, at: &At<'_>) {
    let dpid = replaced.id.dpid;
    let Some(before) = state.current(&replaced.id).cloned() else { return };
    state.end_on_machine(dpid, &before);
    let returns = before.state == ProcessState::Away;
    if returns {
        state.count_away(&before.machine, false);
    }
    if let Some(machine) = state.machines.get_mut(&before.machine) {
        machine.orders.remove(&(before.changed, dpid));
        machine.generation = at.position;
    }
    let Some(mut process) = placed(&replaced.placement, at).next() else { return };
    process.attempt = before.attempt.next();
    process.placed = before.placed;
    // The job has seen this process run, in whichever attempt.
    process.running = before.running;
    process.reason.clone_from(&replaced.reason);
    process.stop.clone_from(&before.stop);
    process.returns = before.returns + u32::from(returns);
    process.errands.clone_from(&before.errands);
    let job = state.jobs.get_mut(&dpid.job).expect("every process has its job");
    job.left.remove(&dpid.process);
    let part = job.parts.entry(before.machine.clone()).or_default();
    part.remove(before.state);
    if part.0.iter().all(|count| *count == 0) {
        job.parts.remove(&before.machine);
    }
    job.by_state.remove(before.state);
    job.by_state.add(process.state);
    job.parts.entry(process.machine.clone()).or_default().add(process.state);
    state.attach(dpid, &process);
    if let Some(machine) = state.machines.get_mut(&process.machine) {
        machine.generation = at.position;
    }
    let member = process.member;
    state.processes.insert(dpid, process);
    if let Some(member) = member {
        tell_mates(state, dpid, member, at);
    }
}

/// The living mates of a member that moved are told where it is now.
fn tell_mates(state: &mut State, moved: Dpid, member: Member, at: &At<'_>) {
    let mates = state.gang(moved.job, member).filter(|(dpid, mate)| *dpid != moved && !mate.state.is_final());
    for dpid in mates.map(|(dpid, _)| dpid).collect::<Vec<_>>() {
        state.reorder(dpid, at.position);
    }
}
