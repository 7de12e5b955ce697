//! Folding events. Panics where an event contradicts the log before it: then the log is not ours.

use muster_ledger::At;
use muster_model::{MachineId, ReservationId};

use super::event::Event;
use super::limits::ENDED_KEPT;
use super::machine::Machine;
use super::reservation::{End, Ended, Grant, Reservation, Stage};
use super::state::State;

/// Folds one event.
pub(super) fn apply(state: &mut State, event: &Event, at: &At<'_>) {
    match event {
        Event::Queued { id, request } => {
            assert!(*id > state.last, "the numbers of reservations rise");
            state.last = *id;
            let reservation = Reservation { id: *id, request: request.clone(), queued: at.time, stage: Stage::Queued };
            state.reservations.insert(*id, reservation);
            state.index(*id);
        }
        Event::MachineSeen { machine, seen } => see(state, machine, seen.as_ref()),
        Event::Granted { id, .. }
        | Event::Ready { id, .. }
        | Event::Extended { id, .. }
        | Event::Ended { id, .. }
        | Event::Dropped { id, .. }
        | Event::Countdown { id, .. }
        | Event::MachineReturned { id, .. } => {
            let reservation = state.reservations.get_mut(id).expect("an event follows the one that queued it");
            fold(reservation, event, at);
            index(state, *id, event);
            if state.reservations.get(id).is_some_and(Reservation::is_settled) {
                forget_oldest(state);
            }
        }
    }
}

/// Brings up to date what is derived: all of it only where machines come or go by the thousand.
fn index(state: &mut State, id: ReservationId, event: &Event) {
    match event {
        Event::MachineReturned { machine, .. } => {
            state.taken.remove(machine);
            state.index_stage(id);
        }
        Event::Dropped { machine, .. } => state.index_machine(id, machine),
        Event::Extended { .. } | Event::Countdown { .. } | Event::Queued { .. } | Event::MachineSeen { .. } => {}
        Event::Granted { .. } | Event::Ready { .. } | Event::Ended { .. } => state.index(id),
    }
}

/// What an event makes of its reservation; used by commands too, to say what comes of them.
pub(super) fn fold(reservation: &mut Reservation, event: &Event, at: &At<'_>) {
    match event {
        Event::Granted { machines, deadline, .. } => match reservation.grant_mut() {
            Some(grant) => grant.machines.extend(machines.iter().cloned()),
            None => reservation.stage = Stage::Preparing(Grant::of(machines.clone(), *deadline, at.time)),
        },
        Event::Ready { deadline, .. } => {
            if let Stage::Preparing(grant) = &reservation.stage {
                reservation.stage = Stage::Ready(Grant { deadline: *deadline, countdown: None, ..grant.clone() });
            }
        }
        Event::Extended { deadline, .. } => {
            if let Some(grant) = reservation.grant_mut() {
                let by = deadline.since(grant.deadline);
                grant.deadline = *deadline;
                reservation.request.duration += by;
            }
        }
        Event::Ended { end, reason, .. } => end_it(reservation, *end, reason, at),
        Event::Dropped { machine, .. } => {
            if let Some(grant) = reservation.grant_mut()
                && grant.machines.remove(machine)
            {
                grant.dropped.insert(machine.clone());
                grant.returning.insert(machine.clone(), at.position);
            }
        }
        Event::Countdown { ends, .. } => {
            if let Some(grant) = reservation.grant_mut() {
                grant.countdown = *ends;
            }
        }
        Event::MachineReturned { machine, .. } => match &mut reservation.stage {
            Stage::Queued => {}
            Stage::Preparing(grant) | Stage::Ready(grant) => drop(grant.returning.remove(machine)),
            Stage::Ended(ended) => drop(ended.returning.take(machine)),
        },
        Event::Queued { .. } | Event::MachineSeen { .. } => {}
    }
}

fn end_it(reservation: &mut Reservation, end: End, reason: &str, at: &At<'_>) {
    let grant = reservation.grant().cloned();
    let returning = reservation.outstanding().cloned().collect();
    let ended = Ended { end, reason: reason.to_owned(), time: at.time, position: at.position, grant, returning };
    reservation.stage = Stage::Ended(ended);
}

fn see(state: &mut State, machine: &MachineId, seen: Option<&Machine>) {
    let holder = state.holder(machine);
    let arrived = seen.is_none_or(|seen| seen.goes_to().is_some() && seen.goes_to() == holder);
    if arrived && let Some(grant) = holder.and_then(|id| grant_of(state, id)) {
        grant.arrived.insert(machine.clone());
    }
    match seen {
        Some(seen) => state.machines.insert(machine.clone(), seen.clone()),
        None => state.machines.remove(machine),
    };
    if let Some(id) = holder {
        state.index_machine(id, machine);
    }
}

fn grant_of(state: &mut State, id: ReservationId) -> Option<&mut Grant> {
    state.reservations.get_mut(&id).and_then(Reservation::grant_mut)
}

/// Memory is bounded (I12): of those that are settled, only the newest are remembered.
fn forget_oldest(state: &mut State) {
    let unsettled = state.queue.len() + state.open.len();
    if state.reservations.len() <= unsettled + ENDED_KEPT {
        return;
    }
    let oldest = state.reservations.values().find(|reservation| reservation.is_settled()).map(|found| found.id);
    if let Some(id) = oldest {
        state.reservations.remove(&id);
    }
}
