//! Deciding on one input.

mod commands;
mod groups;
mod holder;

use muster_ledger::Now;
use muster_model::{MachineId, PoolTime, Position};

use super::event::Event;
use super::machine::{Machine, News, Tenure};
use super::reservation::Stage;
use super::settle::{self, Sight};
use super::state::State;

pub(super) use commands::command;
pub(super) use groups::{checkout_asked, clients_wanted};
pub(super) use holder::{Attempted, noticed, used};

/// News of a machine: what it is now, and what follows for the reservation that has it.
pub(super) fn machine(state: &State, id: &MachineId, news: &News, now: Now) -> Vec<Event> {
    let before = state.machine(id);
    let after = Machine::after(before, news).map(|after| since_when(before, after, now.time));
    if before == after.as_ref() {
        return Vec::new();
    }
    let sight = Sight { state, news: Some((id, after.as_ref())) };
    let holder = state.holder(id).and_then(|holder| state.reservation(holder));
    let follows = holder.map(|reservation| settle::settle(sight, reservation, now.time)).unwrap_or_default();
    let mut events = vec![Event::MachineSeen { machine: id.clone(), seen: after }];
    events.extend(follows);
    events
}

/// Since when it is down goes with it.
fn since_when(before: Option<&Machine>, mut after: Machine, now: PoolTime) -> Machine {
    after.down_since = match before {
        _ if !after.down => PoolTime::NEVER,
        Some(before) if before.down => before.down_since,
        Some(_) | None => now,
    };
    after
}

/// machine-lifecycle has taken our log up to `position`: a machine that still is the pool's then, although its reservation ended
/// before, never went to it and is free.
pub(super) fn taken(state: &State, position: Position) -> Vec<Event> {
    let mut events = Vec::new();
    let is_pool = |id: &&MachineId| state.machine(id).is_none_or(|machine| machine.tenure == Tenure::Pool);
    for reservation in state.open() {
        let known: Vec<_> = match &reservation.stage {
            Stage::Ended(ended) if ended.position <= position => ended.returning.iter().collect(),
            Stage::Preparing(grant) | Stage::Ready(grant) => {
                grant.returning.iter().filter(|(_, dropped)| **dropped <= position).map(|(id, _)| id).collect()
            }
            Stage::Queued | Stage::Ended(_) => Vec::new(),
        };
        let back = known.into_iter().filter(is_pool);
        events.extend(back.map(|id| Event::MachineReturned { id: reservation.id, machine: id.clone() }));
    }
    events
}
