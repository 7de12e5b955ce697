//! Groups: clients are reservations that belong to a master, and end with it.
//!
//! Responsible for what ends and replaces clients. Not for who asked in the master's name (the agent vouches for its process), nor for
//! when a process is over: the scheduler says so.

use std::time::Duration;

use muster_model::{GroupMaster, MachineId, PoolTime, quantity};

use super::event::Event;
use super::limits::{CLIENT_PATIENCE, MASTER_SILENT_AFTER};
use super::machine::{Machine, lost_for_good};
use super::reservation::{End, Grant, Reservation, Stage};
use super::settle::Sight;
use super::state::State;

/// Every client of a master that is over.
pub(super) fn ended(state: &State, master: GroupMaster, reason: &str) -> Vec<Event> {
    let end = |id| Event::Ended { id, end: End::MasterEnded, reason: reason.to_owned() };
    state.clients_of(master).map(end).collect()
}

/// What is due for reservations that have clients: a silent one ends, and so do the clients of one that is over.
pub(super) fn due(state: &State, now: PoolTime) -> Vec<Event> {
    let mut events = Vec::new();
    for master in state.masters() {
        let GroupMaster::Reservation(id) = master else { continue };
        let Some(reservation) = state.reservation(id) else {
            events.extend(ended(state, master, &format!("its master, {master}, is over")));
            continue;
        };
        match &reservation.stage {
            Stage::Ended(over) => {
                events.extend(ended(state, master, &format!("its master, {master}, is over: {}", over.reason)));
            }
            Stage::Ready(grant) if is_silent(state, grant, now) => {
                let silent = quantity::print_duration(MASTER_SILENT_AFTER);
                let reason = format!("its machines have been down for {silent}, and it has clients");
                events.push(Event::Ended { id, end: End::Failed, reason });
                events.extend(ended(state, master, &format!("its master, {master}, has been down for {silent}")));
            }
            Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) => {}
        }
    }
    events
}

/// Nothing is heard of any of its machines. One that is being booted is no silent one.
fn is_silent(state: &State, grant: &Grant, now: PoolTime) -> bool {
    let silent = |id: &MachineId| {
        state.machine(id).is_none_or(|machine| machine.ready && has_been_down(machine, MASTER_SILENT_AFTER, now))
    };
    !grant.machines.is_empty() && grant.machines.iter().all(silent)
}

fn has_been_down(machine: &Machine, time: Duration, now: PoolTime) -> bool {
    machine.down && (machine.down_since + time).is_due(now)
}

/// Clients that will not come back are given up, and others taken for them as soon as there are any.
pub(super) fn give_up(sight: Sight<'_>, reservation: &Reservation, grant: &Grant, now: PoolTime) -> Vec<Event> {
    sight.lost(reservation, grant, |machine| {
        let is_down = machine.is_some_and(|machine| has_been_down(machine, CLIENT_PATIENCE, now));
        let down = || format!("it has been down for {}", quantity::print_duration(CLIENT_PATIENCE));
        lost_for_good(machine).map(str::to_owned).or_else(|| is_down.then(down))
    })
}
