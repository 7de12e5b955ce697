//! What follows from state alone: deadlines, machines that are ready or back, and who is next.
//!
//! One function for the hint that woke us and for the full pass: [`settle`] looks at one reservation, [`pass`] at all.

use muster_ledger::Now;
use muster_model::{MachineId, PoolTime, ReservationId, quantity};

use super::MachineSet;
use super::event::Event;
use super::limits::AGED_AFTER;
use super::machine::Machine;
use super::reservation::{End, Ended, Grant, Reservation, Stage};
use super::state::State;
use super::{grants, group, image, rollout};

/// What is looked at: every machine of a reservation, or the one of which there is news, as it is after them.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) state: &'a State,
    /// A machine of which there is news, and what it is after them.
    pub(super) news: Option<(&'a MachineId, Option<&'a Machine>)>,
}

impl<'a> Sight<'a> {
    /// The state as it is.
    pub(super) fn of(state: &'a State) -> Self {
        Self { state, news: None }
    }

    /// A machine is what a reservation asked for.
    pub(super) fn serves(&self, machine: &MachineId, reservation: &Reservation) -> bool {
        self.machine(machine).is_some_and(|seen| reservation.is_served_by(seen))
    }

    pub(super) fn machine(&self, machine: &MachineId) -> Option<&'a Machine> {
        match self.news {
            Some((named, seen)) if named == machine => seen,
            _ => self.state.machine(machine),
        }
    }

    /// How many of a reservation's machines are what it asked for. Not counted anew: a rollout has thousands.
    pub(super) fn serving(&self, reservation: &Reservation, grant: &Grant) -> usize {
        let known = self.state.serving(reservation.id);
        let count = known.map_or(0, MachineSet::len);
        let Some((named, _)) = self.news else { return count };
        let serves = grant.machines.contains(named) && self.serves(named, reservation);
        count + usize::from(serves) - usize::from(known.is_some_and(|known| known.contains(named)))
    }

    /// Goes on without the machines that are looked at and that `trouble` names a reason for.
    pub(super) fn lost(
        self,
        reservation: &Reservation,
        grant: &Grant,
        trouble: impl Fn(Option<&Machine>) -> Option<String>,
    ) -> Vec<Event> {
        let looked = self.look(grant.machines.iter(), |machine| grant.machines.contains(machine));
        let lost = looked.filter_map(|machine| {
            let reason = trouble(self.machine(machine))?;
            Some(Event::Dropped { id: reservation.id, machine: machine.clone(), reason })
        });
        lost.collect()
    }

    /// Those of some machines that are looked at.
    pub(super) fn look<'b>(
        self,
        all: impl Iterator<Item = &'b MachineId>,
        has: impl Fn(&MachineId) -> bool,
    ) -> impl Iterator<Item = &'b MachineId>
    where
        'a: 'b,
    {
        let named = self.news.map(|(named, _)| named);
        let all = all.take(if named.is_some() { 0 } else { usize::MAX });
        all.chain(named.filter(|named| has(named)))
    }
}

/// The full pass: every reservation that is open, then the queue.
pub(super) fn pass(state: &State, now: Now) -> Vec<Event> {
    let sight = Sight::of(state);
    let mut events: Vec<Event> = state.open().flat_map(|open| settle(sight, open, now.time)).collect();
    events.extend(due_of_groups(state, &events, now.time));
    events.extend(state.queue().filter_map(|waiting| wait(waiting, now.time)));
    let granted = grants::grants(state, None, &events, now.time);
    events.extend(granted);
    events
}

/// What is due for groups, those apart that end anyway.
fn due_of_groups(state: &State, before: &[Event], now: PoolTime) -> Vec<Event> {
    let ends = |event: &Event| matches!(event, Event::Ended { .. }).then(|| event.reservation()).flatten();
    let ending: std::collections::BTreeSet<_> = before.iter().filter_map(ends).collect();
    let mut events = group::due(state, now);
    events.retain(|event| event.reservation().is_none_or(|id| !ending.contains(&id)));
    events
}

/// What is due for one that waits.
fn wait(waiting: &Reservation, now: PoolTime) -> Option<Event> {
    let id = waiting.id;
    if waiting.request.until.is_some_and(|until| until.is_due(now)) {
        let reason = "no machines were free before the time until which it wanted them".into();
        return Some(Event::Ended { id, end: End::Expired, reason });
    }
    let aged = (waiting.queued + AGED_AFTER).is_due(now) && !waiting.aged;
    rollout::given_up(waiting, now).or_else(|| aged.then_some(Event::Aged { id }))
}

/// What is due for one reservation.
pub(super) fn settle(sight: Sight<'_>, reservation: &Reservation, now: PoolTime) -> Vec<Event> {
    match &reservation.stage {
        Stage::Queued => Vec::new(),
        Stage::Preparing(grant) => {
            let mut events = match &reservation.request.rollout {
                Some(quorum) => rollout::advance(sight, reservation, (quorum, grant), now),
                None => prepare(sight, reservation, grant, now),
            };
            events.extend(come_back(sight, reservation.id, dropped(sight, grant), &grant.arrived));
            events
        }
        Stage::Ready(grant) => {
            let back = come_back(sight, reservation.id, dropped(sight, grant), &grant.arrived);
            let lost = replaced(sight, reservation, grant, now);
            let expired = expire(reservation, grant, now);
            lost.into_iter().chain(expired).chain(back).collect()
        }
        Stage::Ended(Ended { returning, grant: Some(grant), .. }) => {
            let looked = sight.look(returning.iter(), |machine| returning.contains(machine));
            come_back(sight, reservation.id, looked, &grant.arrived).collect()
        }
        Stage::Ended(_) => Vec::new(),
    }
}

/// Machines that a rollout went on without, and that are looked at.
fn dropped<'a>(sight: Sight<'a>, grant: &'a Grant) -> impl Iterator<Item = &'a MachineId> {
    sight.look(grant.returning.keys(), |machine| grant.returning.contains_key(machine))
}

/// Machines that a group goes on without.
fn replaced(sight: Sight<'_>, reservation: &Reservation, grant: &Grant, now: PoolTime) -> Vec<Event> {
    if reservation.is_kept_full() { group::give_up(sight, reservation, grant, now) } else { Vec::new() }
}

/// Machines that one which is being prepared goes on without.
fn unprepared(sight: Sight<'_>, reservation: &Reservation, grant: &Grant, now: PoolTime) -> Vec<Event> {
    match reservation.request.image {
        Some(_) if !reservation.is_kept_full() => image::give_up(sight, reservation, grant),
        _ => replaced(sight, reservation, grant, now),
    }
}

fn prepare(sight: Sight<'_>, reservation: &Reservation, grant: &Grant, now: PoolTime) -> Vec<Event> {
    let id = reservation.id;
    let lost = unprepared(sight, reservation, grant, now);
    let wanted = if reservation.is_kept_full() { reservation.request.count } else { reservation.count_min() };
    let lacks = grant.machines.len() < wanted as usize;
    if sight.serving(reservation, grant) == grant.machines.len() && !lacks && lost.is_empty() {
        let machines = grant.machines.clone();
        return vec![Event::Ready { id, machines, deadline: reservation.deadline_from(now) }];
    }
    let limit = reservation.request.drain + reservation.request.preparation_max();
    if now.since(grant.granted) < limit {
        return lost;
    }
    let missing = grant.machines.iter().filter(|machine| !sight.serves(machine, reservation)).chain(&grant.dropped);
    let names: Vec<_> = missing.map(MachineId::as_str).collect();
    let reason = format!("not ready within {}: {}", quantity::print_duration(limit), names.join(", "));
    vec![Event::Ended { id, end: End::Failed, reason }]
}

fn expire(reservation: &Reservation, grant: &Grant, now: PoolTime) -> Option<Event> {
    let id = reservation.id;
    if grant.deadline.is_due(now) {
        return Some(Event::Ended { id, end: End::Expired, reason: "its deadline passed".into() });
    }
    reservation.no_show_at(grant).filter(|at| at.is_due(now))?;
    let within = quantity::print_duration(reservation.request.no_show.unwrap_or_default());
    Some(Event::Ended { id, end: End::NoShow, reason: format!("nobody showed up within {within}") })
}

/// Machines that are back: gone, or once under way to it and now the pool's.
fn come_back<'a>(
    sight: Sight<'a>,
    id: ReservationId,
    returning: impl Iterator<Item = &'a MachineId>,
    arrived: &'a MachineSet,
) -> impl Iterator<Item = Event> {
    let is_back = move |machine: &&MachineId| match sight.machine(machine) {
        None => true,
        Some(seen) => arrived.contains(*machine) && seen.tenure == super::machine::Tenure::Pool,
    };
    returning.filter(is_back).map(move |machine| Event::MachineReturned { id, machine: machine.clone() })
}
