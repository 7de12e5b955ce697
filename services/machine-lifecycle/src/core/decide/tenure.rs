//! Change of holder: drain, raise the epoch, await the fence. The same way for check-out, check-in and the end of a deadline.

use std::sync::Arc;

use muster_ledger::Now;
use muster_model::{Epoch, MachineId, PoolTime, ReservationId};

use super::draft::Draft;
use super::preparation;
use crate::core::limits::{FOLLOWED_FACTS_MAX, RETURN_DRAIN};
use crate::core::{Claim, Event, Fact, Grant, Holder, Machine, Preparation, PreparedKernel, Stage, State};

/// reservation granted machines: each drains towards it, or remembers it while it still changes hands.
pub(super) fn granted(state: &State, grant: &Grant, now: Now) -> Vec<Event> {
    let (user, ssh_key) = (grant.user.clone(), grant.ssh_key.clone());
    let next = Holder::Reservation { id: grant.reservation, user, deadline: grant.deadline, ssh_key };
    let claim = Claim { next, drain: grant.drain };
    let kernel = grant.kernel.as_ref().map(|(name, nonce)| PreparedKernel {
        name: name.clone(),
        kernel: state.kernels.get(name).cloned().map(Arc::new),
        nonce: nonce.clone(),
    });
    let is_prepared = kernel.is_some() || grant.image.is_some();
    let (reservation, image) = (grant.reservation, grant.image.clone());
    let preparation = is_prepared.then_some(Preparation { reservation, image, kernel });
    let known = grant.machines.iter().filter_map(|id| Some((id, state.machines.get(id)?)));
    each(known, now, |draft| {
        let machine = draft.machine();
        let claimed = machine.claim.as_ref().is_some_and(|known| known.next.is_same_party(&claim.next));
        if machine.tenure.holder.is_same_party(&claim.next) || claimed {
            return;
        }
        if machine.preparation != preparation {
            draft.push(Fact::PreparationAsked(preparation.clone()));
        }
        if draft.machine().rests_in_pool() {
            follow(draft, &claim);
        } else {
            draft.push(Fact::Claimed(Some(claim.clone())));
        }
    })
}

/// The reservation was extended, or its time began to count when it was handed over.
pub(super) fn deadline_moved(state: &State, reservation: ReservationId, deadline: PoolTime, now: Now) -> Vec<Event> {
    each(concerned(state, reservation), now, |draft| {
        let machine = draft.machine();
        if machine.tenure.holder.reservation() == Some(reservation) && machine.tenure.holder.deadline() != deadline {
            draft.push(Fact::DeadlineMoved { deadline });
            return;
        }
        let Some(mut claim) = machine.claim.clone() else { return };
        if claim.next.reservation() == Some(reservation) && claim.next.deadline() != deadline {
            claim.next.move_deadline(deadline);
            draft.push(Fact::Claimed(Some(claim)));
        }
    })
}

/// The reservation is over: its machines go back to the pool, from wherever they are on the way.
pub(super) fn ended(state: &State, reservation: ReservationId, now: Now) -> Vec<Event> {
    each(concerned(state, reservation), now, |draft| give_back(draft, reservation))
}

/// The reservation goes on without one of its machines: that one goes back.
pub(super) fn dropped(state: &State, reservation: ReservationId, id: &MachineId, now: Now) -> Vec<Event> {
    each(concerned(state, reservation).filter(|(known, _)| *known == id), now, |draft| give_back(draft, reservation))
}

fn give_back(draft: &mut Draft<'_>, reservation: ReservationId) {
    let machine = draft.machine();
    if machine.preparation.as_ref().is_some_and(|asked| asked.reservation == reservation) {
        draft.push(Fact::PreparationAsked(None));
    }
    let machine = draft.machine();
    if machine.claim.as_ref().is_some_and(|claim| claim.next.reservation() == Some(reservation)) {
        draft.push(Fact::Claimed(None));
    }
    if draft.machine().tenure.holder.reservation() == Some(reservation) {
        return_to_pool(draft);
    }
}

/// An agent has reported a fence.
pub(super) fn fence_done(state: &State, id: &MachineId, epoch: Epoch, now: Now) -> Vec<Event> {
    each(state.machines.get_key_value(id), now, |draft| take_fence(draft, epoch))
}

/// Takes a fence into account, if it is the awaited one; a claim that waited for it is followed at once.
pub(super) fn take_fence(draft: &mut Draft<'_>, fenced: Epoch) {
    let machine = draft.machine();
    if machine.tenure.stage != Stage::Fencing || machine.is_new() || fenced < machine.epoch {
        return;
    }
    let epoch = machine.epoch;
    draft.push(Fact::FenceReported { epoch });
    preparation::arrived(draft);
    if draft.machine().rests_in_pool()
        && let Some(claim) = draft.machine().claim.clone()
    {
        draft.push(Fact::Claimed(None));
        follow(draft, &claim);
    }
}

/// The machines that a reservation has, is to get, or has claimed.
fn concerned(state: &State, reservation: ReservationId) -> impl Iterator<Item = (&MachineId, &Machine)> {
    state.machines.iter().filter(move |(_, machine)| {
        let claimed = machine.claim.as_ref().and_then(|claim| claim.next.reservation());
        machine.tenure.holder.reservation() == Some(reservation) || claimed == Some(reservation)
    })
}

/// Begins the way back to the pool.
pub(super) fn return_to_pool(draft: &mut Draft<'_>) {
    let deadline = draft.now().time + RETURN_DRAIN;
    draft.push(Fact::DrainingStarted { next: Holder::Pool, deadline });
}

fn follow(draft: &mut Draft<'_>, claim: &Claim) {
    let deadline = draft.now().time + claim.drain;
    draft.push(Fact::DrainingStarted { next: claim.next.clone(), deadline });
}

/// Lets `change` decide about each machine, as far as fits into a message. What was decided needs nothing more: asked again, it goes on
/// where it ended.
fn each<'a>(
    machines: impl IntoIterator<Item = (&'a MachineId, &'a Machine)>,
    now: Now,
    change: impl Fn(&mut Draft<'_>),
) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, machine) in machines {
        if events.len() >= FOLLOWED_FACTS_MAX {
            break;
        }
        let mut draft = Draft::new(id, machine.clone(), now);
        change(&mut draft);
        events.extend(draft.into_events());
    }
    events
}
