//! The course of a rollout: machines that fail are replaced while others are free, until its quorum starts it or it gives up.
//!
//! Responsible for its machines and its count. Not for how a machine is booted (machine-lifecycle), nor for the rule of the quorum
//! (`quorum`).

use muster_model::{MachineId, PoolTime, quantity};

use super::MachineSet;
use super::event::Event;
use super::machine::{Machine, lost_for_good};
use super::outlook::{Outlook, Promised};
use super::quorum::{Due, Rollout, Standing};
use super::reservation::{End, Grant, Reservation, Stage};
use super::settle::Sight;
use super::state::State;

/// What is due while machines are prepared.
pub(super) fn advance(
    sight: Sight<'_>,
    reservation: &Reservation,
    (rollout, grant): (&Rollout, &Grant),
    now: PoolTime,
) -> Vec<Event> {
    let id = reservation.id;
    let mut events = sight.lost(reservation, grant, trouble);
    let is_ready = |machine: &&MachineId| sight.serves(machine, reservation);
    let ready = sight.serving(reservation, grant);
    let standing = Standing {
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        target: reservation.request.count,
        asked: reservation.queued,
        countdown: grant.countdown,
    };
    match rollout.due(standing, now) {
        Due::Wait => {}
        Due::CountDown(ends) => events.push(Event::Countdown { id, ends: Some(ends) }),
        Due::Cancel => events.push(Event::Countdown { id, ends: None }),
        Due::Start => {
            let late = grant.machines.iter().filter(|machine| !is_ready(machine));
            let late = late.filter(|machine| trouble(sight.machine(machine)).is_none());
            let reason = "it was not ready when the rollout started";
            events.extend(late.map(|machine| Event::Dropped { id, machine: machine.clone(), reason: reason.into() }));
            let machines = grant.machines.iter().filter(is_ready).cloned().collect();
            events.push(Event::Ready { id, machines, deadline: reservation.deadline_from(now) });
        }
        Due::GiveUp => events.push(give_up(reservation, rollout, ready)),
    }
    events
}

/// A rollout that never got enough machines gives up as well.
pub(super) fn given_up(waiting: &Reservation, now: PoolTime) -> Option<Event> {
    let rollout = waiting.request.rollout.as_ref().filter(|_| waiting.stage == Stage::Queued)?;
    let standing = Standing { ready: 0, target: waiting.request.count, asked: waiting.queued, countdown: None };
    (rollout.due(standing, now) == Due::GiveUp).then(|| give_up(waiting, rollout, 0))
}

fn give_up(reservation: &Reservation, rollout: &Rollout, ready: usize) -> Event {
    let within = quantity::print_duration(rollout.give_up);
    let reason = format!("{ready} machines were ready within {within}, and {} is the minimum", rollout.minimum);
    Event::Ended { id: reservation.id, end: End::Failed, reason }
}

/// Further machines for a rollout or a group that lacks some, `most` at most.
pub(super) fn further(state: &State, open: &Reservation, promised: &Promised, most: usize) -> Option<MachineSet> {
    let lacks =
        open.may_be_granted_more() && open.machines().is_some_and(|had| had.len() < open.request.count as usize);
    let chosen = if lacks { Outlook::of(state, open).choose(promised, most, |_| true) } else { MachineSet::new() };
    (!chosen.is_empty()).then_some(chosen)
}

/// Why a rollout goes on without a machine.
fn trouble(machine: Option<&Machine>) -> Option<String> {
    let bootable = machine.is_none_or(|machine| machine.bootable);
    let why = lost_for_good(machine).or_else(|| (!bootable).then_some("it has no boot driver any more"));
    why.map(str::to_owned)
}
