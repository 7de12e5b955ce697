//! Transitions that are being decided: several of one process in one input build on each other.

use std::collections::BTreeMap;

use muster_model::{Dpid, ProcessId, ProcessState, Verdict};

use super::super::event::{Event, ProcessChange};
use super::super::job::Process;
use super::super::state::State;

/// Collects transitions; those that are not listed (invariant I8) are left out.
#[derive(Debug, Default)]
pub(super) struct Changes {
    now: BTreeMap<Dpid, ProcessState>,
    changes: Vec<ProcessChange>,
}

/// How a process ends, or what it becomes.
#[derive(Debug, Clone)]
pub(super) struct Becomes {
    pub(super) state: ProcessState,
    pub(super) verdict: Verdict,
    pub(super) exit_status: Option<i32>,
    pub(super) reason: String,
    pub(super) pid: u32,
}

impl Becomes {
    /// It ends without its agent knowing how: trouble of the infrastructure, not a failure of the product.
    pub(super) fn ended(state: ProcessState, reason: impl Into<String>) -> Self {
        Self { state, verdict: Verdict::Error, exit_status: None, reason: reason.into(), pid: 0 }
    }
}

impl Changes {
    /// Where a process stands after what was collected.
    pub(super) fn state_of(&self, dpid: Dpid, process: &Process) -> ProcessState {
        self.now.get(&dpid).copied().unwrap_or(process.state)
    }

    /// Adds a transition of the current attempt of a process, if it is listed.
    pub(super) fn add(&mut self, state: &State, dpid: Dpid, process: &Process, becomes: Becomes) {
        let from = self.state_of(dpid, process);
        if !from.may_become(becomes.state) {
            return;
        }
        self.now.insert(dpid, becomes.state);
        self.changes.push(ProcessChange {
            id: state.identity(dpid, process),
            machine: process.machine.clone(),
            from,
            to: becomes.state,
            verdict: becomes.verdict,
            exit_status: becomes.exit_status,
            reason: becomes.reason,
            pid: becomes.pid,
        });
    }

    /// Identities that are final after what was collected.
    pub(super) fn has_ended(&self, id: &ProcessId) -> bool {
        self.now.get(&id.dpid).is_some_and(|state| state.is_final())
    }

    /// How many were collected.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// One event for all of them; none when nothing changes.
    pub(super) fn into_event(self) -> Option<Event> {
        (!self.changes.is_empty()).then_some(Event::ProcessesChanged(self.changes))
    }
}
