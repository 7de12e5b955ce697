//! Processes that their agent refused: placed again elsewhere, a bounded number of times. A member of a gang goes to a machine that is
//! not one of its mates'; where it can not be placed, its mates are stopped.

use std::collections::{BTreeMap, BTreeSet};

use muster_ledger::Now;
use muster_model::{Dpid, JobNumber, MachineId, ProcessNumber, ProcessState, Selector};

use super::super::event::{Event, Placement, ProcessReplaced, StopRequested};
use super::super::fit::{Ask, fitting};
use super::super::input::{AgentRefusal, RefusedProcess};
use super::super::job::{Job, Process, StopReason};
use super::super::limits::ATTEMPTS_MAX;
use super::super::observed::Observed;
use super::super::placement::How;
use super::super::placement::offer::Offer;
use super::super::placement::step::Stepper;
use super::super::state::State;
use super::away;
use super::changes::{Becomes, Changes};
use super::hello::never_started;

pub(super) fn refused(
    state: &State,
    observed: &Observed,
    machine: &MachineId,
    refused: &[RefusedProcess],
    now: Now,
) -> Vec<Event> {
    let mut changes = Changes::default();
    let (mut unplaced, mut returned) = (BTreeSet::new(), Vec::new());
    let mut again = BTreeMap::<(JobNumber, Option<(usize, usize)>), BTreeMap<Dpid, (&Process, String)>>::new();
    for refusal in refused {
        let Some(process) = state.current(&refusal.id) else { continue };
        // Only what was never begun can be refused: anything else is an old answer.
        if process.machine != *machine || process.state != ProcessState::Starting {
            continue;
        }
        let dpid = refusal.id.dpid;
        let reason = describe(machine, refusal);
        if process.stop.is_some() {
            changes.add(state, dpid, process, never_started());
        } else if refusal.refusal == AgentRefusal::Invalid {
            unplaced.insert(dpid);
            changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
        } else if attempts_here(state, dpid, process) >= ATTEMPTS_MAX {
            let reason = format!("given up after {ATTEMPTS_MAX} attempts: {reason}");
            unplaced.insert(dpid);
            changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
        } else if process.returns > 0 {
            // What it saved is on this machine.
            let seen = &state.machines[machine].seen;
            match seen.trouble() {
                None => returned.push(away::next_attempt(state, dpid, process, seen, reason)),
                Some(trouble) => {
                    let reason = format!("{reason}, the machine is {}, and its saved state is there", trouble.as_str());
                    unplaced.insert(dpid);
                    changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
                }
            }
        } else {
            again.entry(alike(state, dpid)).or_default().insert(dpid, (process, reason));
        }
    }
    let mut events = returned;
    for ((job, _), processes) in again {
        let left = replace(state, observed, (&state.jobs[&job], processes), now, &mut events);
        for (dpid, (process, reason)) in left {
            let reason = format!("{reason}, and no other machine fits");
            unplaced.insert(dpid);
            changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
        }
    }
    events.extend(stop_mates(state, &unplaced, &changes));
    events.extend(changes.into_event());
    events
}

fn describe(machine: &MachineId, refusal: &RefusedProcess) -> String {
    let detail = if refusal.detail.is_empty() { String::new() } else { format!(" ({})", refusal.detail) };
    format!("{machine} refused it: {}{detail}", refusal.refusal.as_str())
}

/// What the processes that are placed again together have in common: their job, and of a plan the part of a task.
fn alike(state: &State, dpid: Dpid) -> (JobNumber, Option<(usize, usize)>) {
    (dpid.job, state.jobs[&dpid.job].plan.as_ref().and_then(|plan| plan.place_of(dpid.process)))
}

/// How often it was placed, without what began because its machine came back or because its task was tried again.
fn attempts_here(state: &State, dpid: Dpid, process: &Process) -> u32 {
    let plan = state.jobs[&dpid.job].plan.as_ref();
    let task = plan.and_then(|plan| Some(&plan.tasks[plan.place_of(dpid.process)?.0]));
    let before = task.map_or(0, |task| task.next_attempt.0 - 1);
    process.attempt.0.saturating_sub(process.returns + before)
}

/// Processes of one job, and why each is to be placed again.
type Again<'a> = BTreeMap<Dpid, (&'a Process, String)>;

/// Places processes of one job again, together; returns those for which there is no place.
fn replace<'a>(
    state: &State,
    observed: &Observed,
    (job, processes): (&Job, Again<'a>),
    now: Now,
    events: &mut Vec<Event>,
) -> Again<'a> {
    let Some(first) = processes.keys().next().map(|dpid| dpid.process) else { return processes };
    let module = &job.spec_of(first).module;
    let (selector, resource_selector) = job.selectors_of(first);
    let selector = Selector::parse(selector).unwrap_or_else(|_| Selector::all());
    let resources = Selector::parse_resources(resource_selector).unwrap_or_else(|_| Selector::all());
    let reservation = job.spec.reservation;
    let ask = Ask { module, selector: &selector, resources: &resources, reservation, without: &[], now: now.time };
    let Ok(fit) = fitting(state, observed, &ask) else { return processes };
    let offers = state.pool.offers(&fit.ordinals);
    let paths = state.paths_among(&offers);
    let how = How { requirements: &module.requirements, open: &|offer, place| fit.open.has(offer, place) };
    let mut stepper = Stepper::new(&offers, fit.loads.clone(), paths, how);
    let mut left = Again::new();
    for (dpid, (process, reason)) in processes {
        let Some(placement) = stepper.seat(must_avoid(state, dpid, process)) else {
            left.insert(dpid, (process, reason));
            continue;
        };
        let members = process.member.into_iter().collect();
        let placement = Placement { first: dpid.process, members, ..placement };
        events.push(Event::ProcessReplaced(ProcessReplaced { id: state.identity(dpid, process), placement, reason }));
    }
    left
}

/// What a process must avoid: where it was refused, unless something was heard of that machine since it was placed there; and the
/// machines of its mates.
fn must_avoid<'a>(state: &'a State, dpid: Dpid, process: &'a Process) -> impl Fn(&Offer<'_>) -> bool + 'a {
    let mates: Vec<&MachineId> = mates(state, dpid, process).map(|(_, mate)| &mate.machine).collect();
    move |offer| {
        let id = offer.machine;
        (*id == process.machine && offer.generation <= process.machine_generation) || mates.contains(&id)
    }
}

/// The other members of a process's gang.
fn mates<'a>(state: &'a State, dpid: Dpid, process: &Process) -> impl Iterator<Item = (Dpid, &'a Process)> {
    let gang = process.member.into_iter().flat_map(move |member| state.gang(dpid.job, member));
    gang.filter(move |(mate, _)| *mate != dpid)
}

/// Mates of members that could not be placed are told to stop.
fn stop_mates(state: &State, unplaced: &BTreeSet<Dpid>, changes: &Changes) -> Vec<Event> {
    let mut stops = BTreeMap::<JobNumber, BTreeSet<ProcessNumber>>::new();
    for dpid in unplaced {
        for (mate, found) in mates(state, *dpid, &state.processes[dpid]) {
            if !changes.state_of(mate, found).is_final() && found.stop.is_none() {
                stops.entry(mate.job).or_default().insert(mate.process);
            }
        }
    }
    let stop = |(job, processes): (JobNumber, BTreeSet<ProcessNumber>)| {
        let job_of = &state.jobs[&job];
        let graces = processes.iter().map(|process| job_of.spec_of(*process).module.stop_grace);
        let grace = graces.max().unwrap_or_default();
        let processes = processes.into_iter().collect();
        Event::StopRequested(StopRequested { job, processes, grace, reason: StopReason::Gang })
    };
    stops.into_iter().map(stop).collect()
}
