//! What an agent knows against what the log says: at its hello, and when its digest differs.

use std::collections::BTreeSet;

use muster_model::{Incarnation, MachineId, Position, ProcessId, ProcessState, Verdict};

use super::super::event::Event;
use super::super::input::{Hello, KnownProcess};
use super::super::state::State;
use super::changes::{Becomes, Changes};

/// A process that an agent reported once and does not know any more is lost. One that it never reported is in the answer:
/// without an intent on its disk it was never begun (invariant I6: nothing is repeated).
pub(super) fn hello(state: &State, hello: &Hello) -> Vec<Event> {
    let Some(machine) = state.machines.get(&hello.machine) else { return Vec::new() };
    if hello.incarnation < machine.seen.incarnation {
        return Vec::new();
    }
    let known: BTreeSet<ProcessId> = hello.known.iter().map(|process| process.id).collect();
    let mut changes = Changes::default();
    for dpid in &machine.live {
        let process = &state.processes[dpid];
        if process.state != ProcessState::Starting && !known.contains(&state.identity(*dpid, process)) {
            changes.add(state, *dpid, process, Becomes::ended(ProcessState::Lost, UNKNOWN));
        }
    }
    changes.into_event().into_iter().collect()
}

/// Why such a process is lost.
const UNKNOWN: &str = "unknown to its agent";

/// The same, of an agent that has this generation: it has had every order up to it.
pub(super) fn inventory(
    state: &State,
    machine: &MachineId,
    (incarnation, generation): (Incarnation, Position),
    known: &[KnownProcess],
) -> Vec<Event> {
    let Some(machine) = state.machines.get(machine) else { return Vec::new() };
    if incarnation != machine.seen.incarnation {
        return Vec::new();
    }
    let known: BTreeSet<ProcessId> = known.iter().map(|process| process.id).collect();
    let mut changes = Changes::default();
    for dpid in &machine.live {
        let process = &state.processes[dpid];
        if process.changed > generation || known.contains(&state.identity(*dpid, process)) {
            continue;
        }
        let never_began = process.state == ProcessState::Starting && process.stop.is_some();
        let becomes = if never_began { never_started() } else { Becomes::ended(ProcessState::Lost, UNKNOWN) };
        changes.add(state, *dpid, process, becomes);
    }
    changes.into_event().into_iter().collect()
}

/// A process was stopped before its agent had begun it: nobody's trouble.
pub(super) fn never_started() -> Becomes {
    Becomes {
        state: ProcessState::Dead,
        verdict: Verdict::None,
        exit_status: None,
        reason: "stopped before it was started".into(),
        pid: 0,
    }
}
