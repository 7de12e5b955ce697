//! Processes that their agent refused: placed again elsewhere, a bounded number of times.

use std::collections::BTreeMap;

use muster_ledger::Now;
use muster_model::{Dpid, JobNumber, MachineId, ProcessNumber, ProcessState, Selector};

use super::super::event::{Event, Placement, ProcessReplaced};
use super::super::fit::{Ask, fitting};
use super::super::input::{AgentRefusal, RefusedProcess};
use super::super::job::Process;
use super::super::limits::ATTEMPTS_MAX;
use super::super::machine::Machine;
use super::super::observed::Observed;
use super::super::placement::{Problem, place};
use super::super::state::State;
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
    let mut again = BTreeMap::<JobNumber, BTreeMap<Dpid, (&Process, String)>>::new();
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
            changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
        } else if process.attempt.0 >= ATTEMPTS_MAX {
            let reason = format!("given up after {ATTEMPTS_MAX} attempts: {reason}");
            changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
        } else {
            again.entry(dpid.job).or_default().insert(dpid, (process, reason));
        }
    }
    let mut events = Vec::new();
    for (job, processes) in again {
        replace(state, observed, (job, processes), now, &mut events, &mut changes);
    }
    events.extend(changes.into_event());
    events
}

fn describe(machine: &MachineId, refusal: &RefusedProcess) -> String {
    let detail = if refusal.detail.is_empty() { String::new() } else { format!(" ({})", refusal.detail) };
    format!("{machine} refused it: {}{detail}", refusal.refusal.as_str())
}

/// Places processes of one job again, together.
fn replace(
    state: &State,
    observed: &Observed,
    (job, processes): (JobNumber, BTreeMap<Dpid, (&Process, String)>),
    now: Now,
    events: &mut Vec<Event>,
    changes: &mut Changes,
) {
    let job = &state.jobs[&job];
    let selector = Selector::parse(&job.selector).unwrap_or_else(|_| Selector::all());
    let ask = Ask { module: &job.spec.module, selector: &selector, reservation: job.spec.reservation, now: now.time };
    let mut machines = fitting(state, observed, &ask).unwrap_or_default();
    machines.retain(|machine| processes.values().all(|(process, _)| may_take(machine, process)));
    let problem =
        Problem { requirements: &job.spec.module.requirements, machines: &machines, processes: processes.len() as u32 };
    let mut places = place(&problem).placements.into_iter().flat_map(single);
    for (dpid, (process, reason)) in processes {
        let id = state.identity(dpid, process);
        match places.next() {
            Some(mut placement) => {
                placement.first = dpid.process;
                events.push(Event::ProcessReplaced(ProcessReplaced { id, placement, reason }));
            }
            None => {
                let reason = format!("{reason}, and no other machine fits");
                changes.add(state, dpid, process, Becomes::ended(ProcessState::Dead, reason));
            }
        }
    }
}

/// Not where it was refused, unless something was heard of that machine since it was placed there.
fn may_take(machine: &Machine, process: &Process) -> bool {
    machine.seen.machine != process.machine || machine.seen.generation > process.machine_generation
}

/// One placement for each process.
fn single(placement: Placement) -> impl Iterator<Item = Placement> {
    let Placement { machine, epoch, machine_generation, processes, .. } = placement;
    processes.into_iter().map(move |resources| Placement {
        machine: machine.clone(),
        epoch,
        machine_generation,
        first: ProcessNumber(0),
        processes: vec![resources],
    })
}
