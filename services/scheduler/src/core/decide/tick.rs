//! Due timers.

use std::time::Duration;

use muster_model::{PoolTime, ProcessState};

use super::super::event::Event;
use super::super::job::Process;
use super::super::limits::{FENCE_PATIENCE, LOST_AFTER, MASTER_LOST_AFTER, TICK_CHANGES_MAX};
use super::super::machine::Machine;
use super::super::state::State;
use super::away;
use super::changes::{Becomes, Changes};

/// Processes on machines that have been down for too long, or were fenced without a last word of their agent, are lost.
pub(super) fn tick(state: &State, now: PoolTime) -> Vec<Event> {
    let mut changes = Changes::default();
    for machine in state.machines.values().filter(|machine| !machine.live.is_empty()) {
        away::due(state, machine, now, &mut changes);
        let is_gone = |after| machine.down_since != PoolTime::NEVER && (machine.down_since + after).is_due(now);
        let fenced = machine.fenced_at != PoolTime::NEVER && (machine.fenced_at + FENCE_PATIENCE).is_due(now);
        if !is_gone(MASTER_LOST_AFTER) && !fenced {
            continue;
        }
        for dpid in &machine.live {
            if changes.len() >= TICK_CHANGES_MAX {
                return changes.into_event().into_iter().collect();
            }
            let process = &state.processes[dpid];
            let lost_after = if state.is_master(*dpid) { MASTER_LOST_AFTER } else { LOST_AFTER };
            let gone = is_gone(lost_after).then_some(lost_after);
            if let Some(reason) = why_lost(machine, process, gone, fenced) {
                changes.add(state, *dpid, process, Becomes::ended(ProcessState::Lost, reason));
            }
        }
    }
    changes.into_event().into_iter().collect()
}

fn why_lost(machine: &Machine, process: &Process, gone: Option<Duration>, fenced: bool) -> Option<String> {
    let fence = machine.seen.fenced_epoch;
    if fenced && process.epoch < fence {
        return Some(format!("its machine changed hands (epoch {fence} is fenced)"));
    }
    // Who is away is awaited until its own time.
    gone.filter(|_| process.state != ProcessState::Away)
        .map(|after| format!("its machine has been down for {} s", after.as_secs()))
}
