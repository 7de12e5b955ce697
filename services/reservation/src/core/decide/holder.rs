//! The holder of a reservation: told that it is ready, shows up or does not, keeps it without a deadline, or loses it.

use muster_ledger::Now;
use muster_model::{PoolTime, Refusal, RefusalCode, ReservationId};

use super::commands::{Decided, RESERVATIONS_HINT, already, decided, owned};
use crate::core::event::Event;
use crate::core::limits::REASON_SIZE_MAX;
use crate::core::notice::{Delivery, Notice, Recipient};
use crate::core::reservation::{End, Reservation, Stage};
use crate::core::state::State;

/// An attempt to tell somebody.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Attempted<'a> {
    /// Attempts before it.
    pub(in crate::core) attempts: u32,
    /// The deadline that was told.
    pub(in crate::core) deadline: Option<PoolTime>,
    /// Why it failed; none where they were told.
    pub(in crate::core) failed: Option<&'a str>,
}

/// Takes what came of an attempt to tell somebody; one that is known already, or told of an end that has moved, is passed over.
pub(in crate::core) fn noticed(
    state: &State,
    id: ReservationId,
    (notice, recipient): (Notice, Recipient),
    attempt: Attempted<'_>,
    now: Now,
) -> Vec<Event> {
    let Some(reservation) = state.reservation(id) else { return Vec::new() };
    let before = reservation.notices.get(&(notice, recipient));
    let known = before.map_or(0, |before| before.attempts) != attempt.attempts;
    let is_warning = matches!(notice, Notice::EndsSoon | Notice::EndsVerySoon);
    let moved = is_warning && reservation.grant().map(|grant| grant.deadline) != attempt.deadline;
    if known || moved || before.is_some_and(Delivery::is_settled) {
        return Vec::new();
    }
    let delivery = Delivery::after(before, attempt.failed, now.time);
    vec![Event::Noticed { id, notice, recipient, delivery }]
}

/// A job runs on its machines: its holder is there.
pub(in crate::core) fn used(state: &State, id: ReservationId) -> Vec<Event> {
    state.reservation(id).and_then(|found| shows_up(found, "a job was started")).into_iter().collect()
}

/// What the first sign of a holder comes to; nothing before it is ready, and once they were there.
pub(super) fn shows_up(reservation: &Reservation, by: &str) -> Option<Event> {
    match &reservation.stage {
        Stage::Ready(grant) if grant.taken_up.is_none() => {
            Some(Event::TakenUp { id: reservation.id, by: by.to_owned() })
        }
        Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) | Stage::Ended(_) => None,
    }
}

pub(super) fn accept(state: &State, user: &str, id: ReservationId, now: Now) -> Decided {
    let what = format!("accept reservation {id}");
    let reservation = owned(state, user, id, &what)?;
    let refused = |why: String, next: &str| Err(Refusal::new(RefusalCode::Refused, what.clone(), why, next));
    match &reservation.stage {
        Stage::Queued | Stage::Preparing(_) => refused("it is not ready yet".into(), "wait until it is"),
        Stage::Ended(ended) => refused(already(ended), "reserve machines anew"),
        Stage::Ready(_) => {
            let events = shows_up(reservation, "it was accepted").into_iter().collect();
            Ok(decided(state, reservation.clone(), events, now))
        }
    }
}

pub(super) fn revoke(state: &State, user: &str, id: ReservationId, reason: &str, now: Now) -> Decided {
    let what = format!("revoke reservation {id}");
    let Some(reservation) = state.reservation(id) else {
        let why = format!("there is no reservation {id}");
        return Err(Refusal::new(RefusalCode::NotFound, what, why, RESERVATIONS_HINT));
    };
    if let Stage::Ended(ended) = &reservation.stage {
        return Err(Refusal::new(RefusalCode::Refused, what, already(ended), RESERVATIONS_HINT));
    }
    if reason.trim().is_empty() || reason.len() > REASON_SIZE_MAX {
        let why = format!("its user is told why, in 1 to {REASON_SIZE_MAX} bytes");
        return Err(Refusal::new(RefusalCode::Invalid, what, why, "say --reason, in a few words"));
    }
    let reason = format!("{user}: {}", reason.trim());
    Ok(decided(state, reservation.clone(), vec![Event::Ended { id, end: End::Revoked, reason }], now))
}

/// Its deadline is taken away, where its user may have that.
pub(super) fn without_deadline(state: &State, reservation: &Reservation, what: &str, now: Now) -> Decided {
    let id = reservation.id;
    let refused = |why: &str, next: &str| Err(Refusal::new(RefusalCode::Refused, what, why, next));
    let Stage::Ready(grant) = &reservation.stage else {
        return refused("it is not ready yet, and its time has not begun", "extend it when it is ready");
    };
    if grant.deadline == PoolTime::NEVER {
        return refused("it has no deadline already", "say until when, to give it one");
    }
    if reservation.request.master.is_some() {
        return refused("it is a client, and ends with its master", "extend it by a time");
    }
    if !state.quotas().permits_no_deadline(&reservation.request.user) {
        let why = "no quota permits its user a reservation without a deadline";
        return refused(
            why,
            "ask an administrator for `muster quota set NAME no-deadline=yes`, or extend it by a time",
        );
    }
    let mut events = vec![Event::Extended { id, deadline: PoolTime::NEVER }];
    events.extend(shows_up(reservation, "it was extended"));
    Ok(decided(state, reservation.clone(), events, now))
}
