//! Folding events. Panics where an event contradicts the log before it: then the log is not ours.

use std::time::Duration;

use muster_ledger::At;
use muster_model::{MachineId, PoolTime, ReservationId};

use super::event::Event;
use super::limits::ENDED_KEPT;
use super::machine::Machine;
use super::notice::{Delivery, Notice, Notices, Recipient};
use super::reservation::{End, Ended, Grant, Reservation, Stage};
use super::state::State;

/// Folds one event.
pub(super) fn apply(state: &mut State, event: &Event, at: &At<'_>) {
    match event {
        Event::Queued { id, request } => {
            assert!(*id > state.last, "the numbers of reservations rise");
            state.last = *id;
            let (request, queued) = (request.clone(), at.time);
            state.matching.begin(&request.selector, &state.machines);
            let reservation =
                Reservation { id: *id, request, queued, aged: false, stage: Stage::Queued, notices: Notices::new() };
            state.reservations.insert(*id, reservation);
            state.index(*id);
        }
        Event::QuotaSet { name, quota } if quota.is_empty() => drop(state.quotas.0.remove(name)),
        Event::QuotaSet { name, quota } => drop(state.quotas.0.insert(name.clone(), quota.clone())),
        Event::MachineSeen { machine, seen } => see(state, machine, seen.as_ref()),
        Event::Granted { id, .. }
        | Event::Ready { id, .. }
        | Event::Extended { id, .. }
        | Event::Ended { id, .. }
        | Event::Dropped { id, .. }
        | Event::Dismissed { id, .. }
        | Event::Countdown { id, .. }
        | Event::Aged { id }
        | Event::Noticed { id, .. }
        | Event::TakenUp { id, .. }
        | Event::MachineReturned { id, .. } => {
            let reservation = state.reservations.get_mut(id).expect("an event follows the one that queued it");
            let charged = reservation.charged();
            fold(reservation, event, at);
            if reservation.charged() != charged {
                state.usage.give_back(&reservation.request.user, charged);
                state.usage.charge(&reservation.request.user, reservation.charged());
            }
            index(state, *id, event);
            // Memory is bounded (I12): of those that are settled, only the newest are remembered.
            state.forget_beyond(ENDED_KEPT);
        }
    }
}

/// Brings up to date what is derived: all of it only where machines come or go by the thousand.
fn index(state: &mut State, id: ReservationId, event: &Event) {
    match event {
        Event::MachineReturned { machine, .. } => {
            state.give_back(machine);
            state.index_stage(id);
        }
        Event::Dropped { machine, .. } | Event::Dismissed { machine, .. } => {
            state.index_stage(id);
            state.index_machine(id, machine);
        }
        Event::Aged { .. } | Event::Noticed { .. } => state.index_stage(id),
        Event::Extended { .. } | Event::Countdown { .. } | Event::TakenUp { .. } => {}
        Event::Queued { .. } | Event::MachineSeen { .. } | Event::QuotaSet { .. } => {}
        Event::Granted { .. } | Event::Ready { .. } => state.index(id),
        Event::Ended { .. } => {
            state.index(id);
            if let Some(reservation) = state.reservations.get(&id) {
                state.matching.end(&reservation.request.selector);
            }
        }
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
                let (ready, told) = (Some(at.time), reservation.request.notify.user.is_none().then_some(at.time));
                let grant = Grant { deadline: *deadline, countdown: None, ready, told, ..grant.clone() };
                reservation.stage = Stage::Ready(grant);
            }
        }
        Event::Extended { deadline, .. } => {
            let never = |time: PoolTime| time == PoolTime::NEVER;
            if let Some(grant) = reservation.grant_mut() {
                let by = if never(grant.deadline) { Duration::ZERO } else { deadline.since(grant.deadline) };
                grant.deadline = *deadline;
                reservation.request.duration += by;
                reservation.request.until = reservation.request.until.map(|_| *deadline).filter(|until| !never(*until));
                // What was told of another end is no warning of this one.
                reservation.notices.retain(|(notice, _), _| !matches!(notice, Notice::EndsSoon | Notice::EndsVerySoon));
            }
        }
        Event::Noticed { notice, recipient, delivery, .. } => {
            notice_taken(reservation, (*notice, *recipient), delivery, at);
        }
        Event::TakenUp { .. } => {
            if let Some(grant) = reservation.grant_mut() {
                grant.taken_up = grant.taken_up.or(Some(at.time));
            }
        }
        Event::Ended { end, reason, .. } => end_it(reservation, *end, reason, at),
        Event::Dropped { machine, .. } => drop_machine(reservation, machine, at),
        Event::Dismissed { machine, .. } => {
            drop_machine(reservation, machine, at);
            reservation.request.count -= 1;
            reservation.request.minimum = reservation.request.minimum.min(reservation.request.count);
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
        Event::Aged { .. } => reservation.aged = true,
        Event::Queued { .. } | Event::MachineSeen { .. } | Event::QuotaSet { .. } => {}
    }
}

fn drop_machine(reservation: &mut Reservation, machine: &MachineId, at: &At<'_>) {
    if let Some(grant) = reservation.grant_mut()
        && grant.machines.remove(machine)
    {
        grant.dropped.insert(machine.clone());
        grant.returning.insert(machine.clone(), at.position);
    }
}

fn notice_taken(reservation: &mut Reservation, which: (Notice, Recipient), delivery: &Delivery, at: &At<'_>) {
    reservation.notices.insert(which, delivery.clone());
    if which == (Notice::Ready, Recipient::User)
        && delivery.is_settled()
        && let Some(grant) = reservation.grant_mut()
    {
        grant.told = grant.told.or(Some(at.time));
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
    let before = match seen {
        Some(seen) => state.machines.insert(machine.clone(), seen.clone()),
        None => state.machines.remove(machine),
    };
    state.matching.see(machine, before.as_ref(), seen);
    state.index_free(machine);
    if let Some(id) = holder {
        state.index_machine(id, machine);
    }
}

fn grant_of(state: &mut State, id: ReservationId) -> Option<&mut Grant> {
    state.reservations.get_mut(&id).and_then(Reservation::grant_mut)
}
