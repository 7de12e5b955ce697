//! Announced absences: a process says that its machine reboots, shuts down or crashes, and is awaited.
//!
//! Responsible for whether it may, for its next attempt once the machine is back, and for its end when it does not come back. Not for the
//! machine itself: whether it is ready, and in which kernel, is said by MACHINES.

use std::time::Duration;

use muster_model::{Absence, Dpid, PoolTime, ProcessState, Verdict};

use super::super::event::{AbsenceExpected, Event, Placement, ProcessReplaced};
use super::super::input::Announced;
use super::super::job::{Expected, Process};
use super::super::limits::REPORTS_PATIENCE;
use super::super::machine::{Machine, Seen};
use super::super::resources::Resources;
use super::super::state::State;
use super::changes::{Becomes, Changes};

/// Takes an announcement: what was decided is logged before the machine may go away. One that is answered already changes nothing.
pub(super) fn announced(
    state: &State,
    machine: &Machine,
    announced: &Announced,
    now: PoolTime,
    changes: &mut Changes,
) -> Option<Event> {
    let process = state.current(&announced.id)?;
    let id = &machine.seen.machine;
    if process.machine != *id || process.epoch != announced.epoch || process.state.is_final() {
        return None;
    }
    if process.expected.as_ref().is_some_and(|expected| expected.number >= announced.number) {
        return None;
    }
    let dpid = announced.id.dpid;
    let Announced { number, absence, within, boot_id, note, .. } = announced.clone();
    let refused = refusal(state, machine, dpid, announced, changes).unwrap_or_default();
    let expected = Expected { number, absence, within, until: now + within, boot_id, note, refused };
    if expected.is_granted() {
        changes.add(state, dpid, process, away(&expected));
    }
    Some(Event::AbsenceExpected(Box::new(AbsenceExpected { id: announced.id, machine: id.clone(), expected })))
}

/// Why its machine may not go away; none where it may.
fn refusal(state: &State, machine: &Machine, dpid: Dpid, announced: &Announced, changes: &Changes) -> Option<String> {
    let process = &state.processes[&dpid];
    let module = &state.jobs[&dpid.job].spec_of(dpid.process).module;
    let stands = changes.state_of(dpid, process);
    let other = machine.live.iter().map(|other| other.job).find(|job| *job != dpid.job);
    if !module.reboots {
        return Some(format!("the manifest of module {} does not say `reboots = true`", module.name));
    }
    if !(Absence::WITHIN_MIN..=Absence::WITHIN_MAX).contains(&announced.within) {
        return Some("a machine is awaited for 1 s to 24 h".into());
    }
    if stands != ProcessState::Running || process.stop.is_some() {
        return Some(format!(
            "the process is {stands}{}",
            if process.stop.is_some() { ", and was told to stop" } else { "" }
        ));
    }
    if let Some(trouble) = machine.seen.trouble() {
        return Some(format!("the machine is {}", trouble.as_str()));
    }
    if announced.boot_id != machine.seen.boot_id {
        return Some("the machine is in another boot by now".into());
    }
    other.map(|job| format!("job {job} runs on the machine as well, and only its sole user may take it away"))
}

fn away(expected: &Expected) -> Becomes {
    let note = if expected.note.is_empty() { String::new() } else { format!(": {}", expected.note) };
    let reason =
        format!("announced {} of its machine, awaited for {}{note}", expected.absence, seconds(expected.within));
    Becomes { state: ProcessState::Away, verdict: Verdict::None, exit_status: None, reason, pid: 0 }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64().round())
}

/// A word of a process that is away counts where it has ended, or is about to; that it goes on counts once its machine is awaited no longer.
/// Its next attempt is never begun by its agent's word.
pub(super) fn says_too_early(process: &Process, to: ProcessState, now: PoolTime) -> bool {
    let awaited = process.expected.as_ref().is_some_and(|expected| !expected.until.is_due(now));
    process.state == ProcessState::Away
        && match to {
            ProcessState::Starting => true,
            ProcessState::Running | ProcessState::Mia => awaited,
            ProcessState::Fip
            | ProcessState::Finished
            | ProcessState::Dead
            | ProcessState::Lost
            | ProcessState::Away => false,
        }
}

/// Processes whose machine is back from its announced absence, and can be used, begin their next attempt; one that was told to stop
/// meanwhile has ended.
pub(super) fn returned(state: &State, machine: &Machine, after: &Seen, changes: &mut Changes) -> Vec<Event> {
    let mut events = Vec::new();
    if machine.away == 0 || after.removed {
        return events;
    }
    for (dpid, process, expected) in away_on(state, machine) {
        if expected.boot_id == after.boot_id || changes.state_of(dpid, process).is_final() {
            continue;
        }
        if let Some(stop) = &process.stop {
            let reason = format!("{}: stopped while its machine was away", stop.reason.as_str());
            changes.add(state, dpid, process, stopped(reason));
        } else if after.trouble().is_none() {
            let reason = format!("back from its announced {}", expected.absence);
            events.push(next_attempt(state, dpid, process, after, reason));
        }
    }
    events
}

/// The next attempt of a process in the same place.
pub(super) fn next_attempt(state: &State, dpid: Dpid, process: &Process, seen: &Seen, reason: String) -> Event {
    let placement = Placement {
        machine: process.machine.clone(),
        epoch: seen.epoch,
        machine_generation: seen.generation,
        first: dpid.process,
        count: 1,
        resources: Resources::from(process.resources.clone()),
        members: process.member.into_iter().collect(),
    };
    Event::ProcessReplaced(ProcessReplaced { id: state.identity(dpid, process), placement, reason })
}

fn stopped(reason: String) -> Becomes {
    Becomes { state: ProcessState::Finished, verdict: Verdict::None, exit_status: None, reason, pid: 0 }
}

/// What time ends: machines that did not come back, or came back and can not be used. One that never went says so itself; where it does
/// not, the process is running after all.
pub(super) fn due(state: &State, machine: &Machine, now: PoolTime, changes: &mut Changes) {
    if machine.away == 0 {
        return;
    }
    let seen = &machine.seen;
    for (dpid, process, expected) in away_on(state, machine) {
        if !expected.until.is_due(now) {
            continue;
        }
        let (absence, within) = (expected.absence, seconds(expected.within));
        let is_back = expected.boot_id != seen.boot_id;
        if is_back || seen.down {
            let trouble = seen.trouble().map_or("not usable", |trouble| trouble.as_str());
            let reason = match is_back {
                true => format!("its machine came back from its announced {absence}, and is {trouble} after {within}"),
                false => format!("did not come back from its announced {absence} within {within}"),
            };
            changes.add(state, dpid, process, Becomes::ended(ProcessState::Lost, reason));
        } else if (expected.until + REPORTS_PATIENCE).is_due(now) {
            let reason = format!("the announced {absence} did not happen within {within}");
            let goes_on =
                Becomes { state: ProcessState::Running, verdict: Verdict::None, exit_status: None, reason, pid: 0 };
            changes.add(state, dpid, process, goes_on);
        }
    }
}

/// Processes of a machine that announced its absence.
fn away_on<'a>(state: &'a State, machine: &'a Machine) -> impl Iterator<Item = (Dpid, &'a Process, &'a Expected)> + 'a {
    machine.live.iter().filter_map(|dpid| {
        let process = state.processes.get(dpid).filter(|process| process.state == ProcessState::Away)?;
        Some((*dpid, process, process.expected.as_deref()?))
    })
}
