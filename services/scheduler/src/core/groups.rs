//! Processes that have clients: reservations that are to end with them.
//!
//! Responsible for whose clients there are, and for saying that a process with clients is over. Not for the clients themselves: reservation
//! follows this log and ends them. (decision 23)

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Dpid, GroupMaster, MachineId, ReservationId, RunId};

use super::event::Event;
use super::limits::GROUPS_DUE_MAX;
use super::state::State;

/// Processes with clients that are not over.
pub type Groups = BTreeMap<(RunId, Dpid), Group>;

/// What a process has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its clients that are not over.
    pub clients: BTreeSet<ReservationId>,
    /// It was said that the process is over.
    pub ended: bool,
}

impl State {
    /// A reservation was asked for as a client. Who is over already is said to be so again.
    pub(super) fn see_client(&mut self, id: ReservationId, master: (RunId, Dpid)) {
        let group = self.groups.entry(master).or_default();
        group.clients.insert(id);
        group.ended = false;
    }

    /// A reservation is over.
    pub(super) fn forget_client(&mut self, id: ReservationId) {
        let master = self.groups.iter().find(|(_, group)| group.clients.contains(&id)).map(|(master, _)| *master);
        let Some(master) = master else { return };
        if let Some(group) = self.groups.get_mut(&master) {
            group.clients.remove(&id);
            if group.clients.is_empty() {
                self.groups.remove(&master);
            }
        }
    }

    pub(super) fn end_group(&mut self, master: (RunId, Dpid)) {
        if let Some(group) = self.groups.get_mut(&master) {
            group.ended = true;
        }
    }

    /// A process has clients.
    pub(super) fn is_master(&self, dpid: Dpid) -> bool {
        self.groups.contains_key(&(self.run, dpid))
    }

    /// The client of a process that has a machine, so that the process may use it.
    pub(super) fn client_with(&self, dpid: Dpid, machine: &MachineId) -> Option<ReservationId> {
        let group = self.groups.get(&(self.run, dpid)).filter(|group| !group.ended)?;
        let holder = self.machines.get(machine)?.seen.reservation;
        group.clients.get(&holder).copied()
    }

    /// A reservation is a client of some process.
    pub(super) fn is_client(&self, id: ReservationId) -> bool {
        self.groups.values().any(|group| group.clients.contains(&id))
    }
}

/// Processes with clients that are over, and of which that was not said.
pub(super) fn due(state: &State) -> Vec<Event> {
    let untold = state.groups.iter().filter(|(_, group)| !group.ended);
    let over =
        untold.filter_map(|((run, dpid), _)| Some((GroupMaster::Process(*run, *dpid), why(state, *run, *dpid)?)));
    over.take(GROUPS_DUE_MAX).map(|(master, reason)| Event::GroupEnded { master, reason }).collect()
}

/// Why a process is no master any more; none while it lives.
fn why(state: &State, run: RunId, dpid: Dpid) -> Option<String> {
    let process = (run == state.run).then(|| state.processes.get(&dpid)).flatten();
    let Some(process) = process else { return Some(format!("its master, process {run}/{dpid}, is not known")) };
    if !process.state.is_final() {
        return None;
    }
    let ended = process.state.as_str();
    let reason = if process.reason.is_empty() { String::new() } else { format!(": {}", process.reason) };
    Some(format!("its master, process {run}/{dpid}, is {ended}{reason}"))
}
