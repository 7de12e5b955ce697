//! What an event changes: on which machines, and in which jobs.

use std::collections::BTreeSet;

use muster_model::{Dpid, JobNumber, MachineId, ProcessId};

use super::errand;
use super::event::{Event, ProcessChange, SyncArrived};
use super::input::Key;
use super::machine::Seen;
use super::state::State;

/// Keys that an event touches: what it changes is on its machines, and in its jobs. What it makes the state forget is not among them.
pub(super) fn touched(state: &State, event: &Event) -> Vec<Key> {
    match event {
        Event::RunStarted(_) => {
            let armed = state.machines.iter().filter(|(_, machine)| !machine.arms.is_empty());
            armed.map(|(id, _)| Key::Machine(id.clone())).collect()
        }
        Event::ModuleAdded(_) | Event::ModuleRemoved(_) | Event::ReportsTaken(_) | Event::LoadNumberSeen(_) => {
            Vec::new()
        }
        Event::MasterChanged(_) | Event::TestEvent(_) | Event::TestEventsDropped { .. } => Vec::new(),
        Event::JobNumbersPassed(_) => Vec::new(),
        Event::ReservationSeen(..) | Event::GroupEnded { .. } | Event::StartAttached(_) | Event::AttachedEnded(..) => {
            Vec::new()
        }
        Event::JobStarted(started) => {
            let job = started.spec.job;
            let machines = started.placements.iter().map(|placement| placement.machine.clone());
            machines
                .flat_map(|machine| [Key::Part(job, machine.clone()), Key::Machine(machine)])
                .chain([Key::Job(job)])
                .chain(started.spec.errand_of.as_ref().and_then(|of| machine_of(state, of.id.dpid)))
                .collect()
        }
        Event::ErrandRefused(refused) => machine_of(state, refused.id.dpid).into_iter().collect(),
        Event::StopRequested(stop) => {
            let machines = state.jobs.get(&stop.job).into_iter().flat_map(|job| job.parts.keys().cloned());
            machines.map(Key::Machine).chain([Key::Job(stop.job)]).collect()
        }
        Event::ProcessesChanged(changes) => changed(state, changes),
        Event::MachineSeen(seen) => machine_seen(state, &seen.seen),
        Event::TriggerArmed(armed) => armed.machines.iter().map(|(id, _)| Key::Machine(id.clone())).collect(),
        Event::TriggerDisarmed(disarmed) => disarmed.machines.iter().cloned().map(Key::Machine).collect(),
        Event::TriggerFired(_) => Vec::new(),
        Event::SyncArrived(arrived) => arrived_at(state, arrived),
        Event::SyncLeft(left) => parts_of(state, left.job),
        Event::SyncTimedOut { job, .. } => parts_of(state, *job),
        Event::AbsenceExpected(absence) => process(&absence.id, &absence.machine).into(),
        Event::TriggerActed(acted) => vec![Key::Machine(acted.machine.clone())],
        Event::ProcessReplaced(replaced) => {
            let before = state.processes.get(&replaced.id.dpid).map(|process| process.machine.clone());
            let members = replaced.placement.members.iter();
            let gang = members.flat_map(|member| state.gang(replaced.id.dpid.job, *member));
            let mates = gang.map(|(_, mate)| Key::Machine(mate.machine.clone()));
            let machines = [Some(replaced.placement.machine.clone()), before].into_iter().flatten();
            let moved = machines.flat_map(|machine| process(&replaced.id, &machine));
            moved.chain(mates).collect()
        }
        Event::PulseSet(number, _) => state.machines_gated(&[*number]).into_iter().map(Key::Machine).collect(),
        Event::PulsesCleared(numbers) => state.machines_gated(numbers).into_iter().map(Key::Machine).collect(),
        Event::PlanStarted(spec) => vec![Key::Job(spec.job)],
        Event::PlanStepBegun { job, .. } => vec![Key::Job(*job)],
        Event::CheckoutAsked(asked) => vec![Key::Job(asked.job)],
        Event::PlanTasksEnded { job, .. } => vec![Key::Job(*job)],
        Event::PlanTaskPlaced(placed) => {
            let machines = placed.placements().map(|placement| placement.machine.clone());
            machines
                .flat_map(|machine| [Key::Part(placed.job, machine.clone()), Key::Machine(machine)])
                .chain([Key::Job(placed.job)])
                .collect()
        }
        Event::PlanTaskQueued(queued) => {
            let machines = state.jobs.get(&queued.job).into_iter().flat_map(|job| job.parts.keys().cloned());
            machines.map(|machine| Key::Part(queued.job, machine)).chain([Key::Job(queued.job)]).collect()
        }
        Event::JobChanged(changed) => {
            let machines = state.jobs.get(&changed.job).into_iter().flat_map(|job| job.parts.keys().cloned());
            machines.map(Key::Machine).chain([Key::Job(changed.job)]).collect()
        }
    }
}

/// A process, where it is.
fn process(id: &ProcessId, machine: &MachineId) -> [Key; 3] {
    let job = id.dpid.job;
    [Key::Job(job), Key::Part(job, machine.clone()), Key::Machine(machine.clone())]
}

fn changed(state: &State, changes: &[ProcessChange]) -> Vec<Key> {
    let ends = changes.iter().filter(|change| change.to.is_final()).map(|change| change.id.dpid.job);
    let ends: BTreeSet<JobNumber> = ends.collect();
    let released = ends.into_iter().flat_map(|job| released_of(state, job));
    let ended = changes.iter().filter(|change| change.to.is_final()).map(|change| change.id.dpid);
    let errands = ended.flat_map(|dpid| errands_of(state, dpid));
    changes.iter().flat_map(|change| process(&change.id, &change.machine)).chain(released).chain(errands).collect()
}

/// Where a process is.
fn machine_of(state: &State, dpid: Dpid) -> Option<Key> {
    Some(Key::Machine(state.processes.get(&dpid)?.machine.clone()))
}

/// Errands that end with a process, and who has it as an errand.
fn errands_of(state: &State, dpid: Dpid) -> Vec<Key> {
    let bound = errand::bound_to(state, dpid).into_iter();
    let ends = bound.flat_map(|job| parts_of(state, job).into_iter().chain([Key::Job(job)]));
    let asking = errand::asked_by(state, dpid.job).and_then(|of| machine_of(state, of.id.dpid));
    ends.chain(asking).collect()
}

fn machine_seen(state: &State, seen: &Seen) -> Vec<Key> {
    let live = state.machines.get(&seen.machine).filter(|_| seen.down).into_iter().flat_map(|machine| &machine.live);
    let jobs: BTreeSet<JobNumber> = live.map(|dpid| dpid.job).collect();
    let released = jobs.into_iter().flat_map(|job| released_of(state, job));
    released.chain([Key::Machine(seen.machine.clone())]).collect()
}

/// Nobody else is told before a round is over.
fn arrived_at(state: &State, arrived: &SyncArrived) -> Vec<Key> {
    let Some(job) = state.jobs.get(&arrived.job) else { return Vec::new() };
    let round = job.rounds.get(&arrived.round);
    let may_end = !arrived.participants.is_empty() || round.is_none() || job.may_complete(round, arrived.votes.len());
    if may_end {
        return parts_of(state, arrived.job);
    }
    let dpids = arrived.votes.iter().map(|(process, _)| Dpid { job: arrived.job, process: *process });
    dpids.filter_map(|dpid| Some(Key::Machine(state.processes.get(&dpid)?.machine.clone()))).collect()
}

/// Machines on which a job has processes.
fn parts_of(state: &State, job: JobNumber) -> Vec<Key> {
    state.jobs.get(&job).into_iter().flat_map(|job| job.parts.keys().cloned().map(Key::Machine)).collect()
}

/// Machines on which somebody may go on where one of a job ends.
fn released_of(state: &State, job: JobNumber) -> Vec<Key> {
    let waits = state.jobs.get(&job).is_some_and(|job| job.open_rounds().next().is_some());
    if waits { parts_of(state, job) } else { Vec::new() }
}
