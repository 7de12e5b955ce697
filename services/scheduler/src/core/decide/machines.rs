//! What follows from MACHINES: what the scheduler sees of machines, and what that does to processes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::{JobNumber, MachineId, Position, ProcessNumber, ProcessState};

use super::super::event::{Event, MachineSeen, StopRequested, UsableResource};
use super::super::facts::MachineFact;
use super::super::job::{Process, StopReason};
use super::super::machine::{LoadNumbers, Machine, Seen};
use super::super::state::State;
use super::away;
use super::changes::{Becomes, Changes};

/// Folds one message of MACHINES.
pub(super) fn machines(state: &State, position: Position, facts: &[MachineFact]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut loads = state.loads.clone();
    let mut seen = BTreeMap::<MachineId, Seen>::new();
    for fact in facts {
        match fact {
            MachineFact::LoadNumber(number) => {
                loads.insert((number.kind, number.device_type.clone()), number.load);
                events.push(Event::LoadNumberSeen(number.clone()));
            }
            MachineFact::Of(id, fact) => {
                let now = || state.machines.get(id).map_or_else(|| Seen::new(id.clone()), |known| known.seen.clone());
                seen.entry(id.clone()).or_insert_with(now).fold(fact, position);
            }
        }
    }
    let (mut stops, mut changes) = (Stops::default(), Changes::default());
    let mut returned = Vec::new();
    for after in seen.into_values() {
        if let Some(machine) = state.machines.get(&after.machine) {
            lose(state, machine, &after, &mut changes);
            returned.extend(away::returned(state, machine, &after, &mut changes));
            stop_what_must_go(state, machine, &after, &changes, &mut stops);
        }
        events.push(machine_seen(after, &loads));
    }
    events.extend(stops.into_events());
    events.extend(changes.into_event());
    events.extend(returned);
    events
}

fn machine_seen(seen: Seen, loads: &LoadNumbers) -> Event {
    let places = if seen.trouble().is_none() { seen.places(loads) } else { Vec::new() };
    let usable = places.into_iter().map(|place| UsableResource { id: place.id, kind: place.kind, load: place.load });
    Event::MachineSeen(Box::new(MachineSeen { usable: usable.collect(), seen }))
}

/// Everything on a machine that booted unannounced, or was removed, is lost. Who is away was announced.
fn lose(state: &State, machine: &Machine, after: &Seen, changes: &mut Changes) {
    let before = &machine.seen;
    let booted = !before.boot_id.is_empty() && after.boot_id != before.boot_id;
    let reason = match (after.removed, booted) {
        (true, _) => "its machine was removed".to_owned(),
        (false, true) => format!("its machine rebooted unannounced (boot {})", after.boot_id),
        (false, false) => return,
    };
    for dpid in &machine.live {
        let process = &state.processes[dpid];
        if after.removed || process.state != ProcessState::Away {
            changes.add(state, *dpid, process, Becomes::ended(ProcessState::Lost, reason.clone()));
        }
    }
}

/// Processes on a machine that changes hands or is booted, and on what became protected or is prepared, are told to stop.
fn stop_what_must_go(state: &State, machine: &Machine, after: &Seen, changes: &Changes, stops: &mut Stops) {
    let shield =
        |seen: &Seen| (seen.machine_protected, seen.protected.clone(), seen.released.clone(), seen.signed.clone());
    let shield_changed = shield(after) != shield(&machine.seen);
    for dpid in &machine.live {
        let process = &state.processes[dpid];
        if changes.has_ended(&state.identity(*dpid, process)) {
            continue;
        }
        let grace = state.jobs[&dpid.job].spec_of(dpid.process).module.stop_grace;
        if after.draining || process.epoch < after.epoch {
            stops.add(dpid.job, dpid.process, process, StopReason::Draining, grace);
        } else if after.is_booting() && process.state != ProcessState::Away {
            stops.add(dpid.job, dpid.process, process, StopReason::Boot, grace);
        } else if after.machine_protected
            || (shield_changed && process.resources.iter().any(|id| after.is_protected(id)))
        {
            stops.add(dpid.job, dpid.process, process, StopReason::Protected, grace);
        } else if process.resources.iter().any(|id| after.preparing.contains(id)) {
            stops.add(dpid.job, dpid.process, process, StopReason::Prepared, grace);
        }
    }
}

/// Stops by job and reason.
#[derive(Default)]
struct Stops(BTreeMap<(JobNumber, &'static str), (StopReason, Duration, BTreeSet<ProcessNumber>)>);

impl Stops {
    fn add(&mut self, job: JobNumber, number: ProcessNumber, process: &Process, reason: StopReason, grace: Duration) {
        if process.stop.as_ref().is_some_and(|order| order.grace <= grace) {
            return;
        }
        let stop = self.0.entry((job, reason.as_str())).or_insert((reason, grace, BTreeSet::new()));
        // Processes of a plan are of several modules.
        stop.1 = stop.1.max(grace);
        stop.2.insert(number);
    }

    fn into_events(self) -> impl Iterator<Item = Event> {
        self.0.into_iter().map(|((job, _), (reason, grace, processes))| {
            Event::StopRequested(StopRequested { job, processes: processes.into_iter().collect(), grace, reason })
        })
    }
}
