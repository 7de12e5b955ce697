//! What an agent knows against what the log says: at its hello, and when its digest differs.
//!
//! Reports are the way in which the log learns of processes. Where they are lost for good (the agent's spool overflowed, or they
//! aged out of the stream), what the agent knows by itself takes their place, so that every process reaches its end (invariant I2).

use std::collections::BTreeSet;

use muster_model::{Incarnation, MachineId, PoolTime, Position, ProcessId, ProcessState, Verdict};

use super::super::event::Event;
use super::super::input::{Hello, KnownProcess};
use super::super::limits::{JOBS_AHEAD_MAX, REPORTS_PATIENCE};
use super::super::machine::Machine;
use super::super::observed::Observed;
use super::super::state::State;
use super::changes::{Becomes, Changes};
use super::reports;

/// A process that an agent reported once and does not know any more is lost. One that it never reported is in the answer:
/// without an intent on its disk it was never begun (invariant I6: nothing is repeated), unless that disk is older than it.
pub(super) fn hello(state: &State, hello: &Hello, now: PoolTime) -> Vec<Event> {
    let Some(machine) = state.machines.get(&hello.machine) else { return Vec::new() };
    if hello.incarnation < machine.seen.incarnation {
        return Vec::new();
    }
    let known: BTreeSet<ProcessId> = hello.known.iter().map(|process| process.id).collect();
    let went_back = went_back(machine, hello);
    let reason = if went_back { WENT_BACK } else { UNKNOWN };
    let mut changes = Changes::default();
    for dpid in &machine.live {
        let process = &state.processes[dpid];
        let may_have_begun = process.state != ProcessState::Starting || went_back;
        if may_have_begun && !known.contains(&state.identity(*dpid, process)) {
            changes.add(state, *dpid, process, Becomes::ended(ProcessState::Lost, reason));
        }
    }
    catch_up(state, machine, (&hello.known, hello.last_batch), Over { is_over: false, now }, &mut changes);
    changes.into_event().into_iter().chain(passed(state, &hello.known)).collect()
}

/// A log that was rebuilt from something older than an agent's disk does not know its last jobs: their numbers are not given again.
/// What is further above its last than any log was ever behind is not believed: numbers would end.
fn passed(state: &State, known: &[KnownProcess]) -> Option<Event> {
    let of_this_run = known.iter().filter(|process| process.id.run == state.run);
    let believed = state.last_job.0.saturating_add(JOBS_AHEAD_MAX);
    let last = of_this_run.map(|process| process.id.dpid.job).filter(|job| job.0 <= believed).max()?;
    (last > state.last_job).then_some(Event::JobNumbersPassed(last))
}

/// Why a process is lost that its agent does not know.
const UNKNOWN: &str = "unknown to its agent";
/// Why it is where the agent's disk is older than what it has already reported.
const WENT_BACK: &str = "its machine went back to an older state, in which it is unknown";

/// A machine whose agent has written fewer batches than were taken of it was taken back by a snapshot, or has another disk.
fn went_back(machine: &Machine, hello: &Hello) -> bool {
    hello.last_batch < machine.reported.1
}

/// All that an agent says it knows.
pub(super) struct List<'a> {
    pub(super) incarnation: Incarnation,
    /// Generation that it has: it has had every order up to it.
    pub(super) generation: Position,
    pub(super) known: &'a [KnownProcess],
    /// Number of the newest batch of reports that it has written.
    pub(super) last_batch: u64,
}

/// The same, of an agent that was asked.
pub(super) fn inventory(
    state: &State,
    observed: &Observed,
    machine: &MachineId,
    list: &List<'_>,
    now: PoolTime,
) -> Vec<Event> {
    let stored = observed.agent(machine).map(|agent| agent.stored);
    let Some(machine) = state.machines.get(machine) else { return Vec::new() };
    if list.incarnation != machine.seen.incarnation {
        return Vec::new();
    }
    let known: BTreeSet<ProcessId> = list.known.iter().map(|process| process.id).collect();
    let mut changes = Changes::default();
    for dpid in &machine.live {
        let process = &state.processes[dpid];
        if process.changed > list.generation || known.contains(&state.identity(*dpid, process)) {
            continue;
        }
        let never_began = process.state == ProcessState::Starting && process.stop.is_some();
        let becomes = if never_began { never_started() } else { Becomes::ended(ProcessState::Lost, UNKNOWN) };
        changes.add(state, *dpid, process, becomes);
    }
    let is_over =
        stored.is_some_and(|(batch, since)| batch >= list.last_batch && (since + REPORTS_PATIENCE).is_due(now));
    catch_up(state, machine, (list.known, list.last_batch), Over { is_over, now }, &mut changes);
    changes.into_event().into_iter().collect()
}

/// Whether anything is still to come of an agent's reports, at a time.
struct Over {
    is_over: bool,
    now: PoolTime,
}

/// Takes processes to where their agent has them, once no report can say it any more: its newest batch was taken, or `is_over`,
/// nothing of it is to come. An end is an end; of what goes on, the list counts only when nothing newer was taken.
fn catch_up(
    state: &State,
    machine: &Machine,
    (known, last_batch): (&[KnownProcess], u64),
    Over { is_over, now }: Over,
    changes: &mut Changes,
) {
    let taken = machine.reported.1;
    if taken < last_batch && !is_over {
        return;
    }
    for process in known {
        if process.state.is_final() || taken <= last_batch {
            reports::process(state, &machine.seen.machine, process, now, changes);
        }
    }
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
