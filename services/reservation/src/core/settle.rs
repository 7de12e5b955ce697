//! What follows from state alone: deadlines, machines that are ready or back, and who is next.
//!
//! One function for the hint that woke us and for the full pass: [`settle`] looks at one reservation, [`pass`] at all.

use muster_ledger::Now;
use muster_model::{MachineId, PoolTime, quantity};

use super::MachineSet;
use super::event::Event;
use super::limits::PREPARATION_MAX;
use super::machine::{Machine, Named};
use super::reservation::{End, Ended, Grant, Reservation, Stage};
use super::state::State;

/// Machines as they are with the news that is being decided on.
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

    fn machine(&self, machine: &MachineId) -> Option<&'a Machine> {
        match self.news {
            Some((named, seen)) if named == machine => seen,
            _ => self.state.machine(machine),
        }
    }
}

/// The full pass: every reservation that is open, then the queue.
pub(super) fn pass(state: &State, now: Now) -> Vec<Event> {
    let sight = Sight::of(state);
    let mut events: Vec<Event> = state.open().flat_map(|open| settle(sight, open, now.time)).collect();
    events.extend(grants(state, None, now.time));
    events
}

/// What is due for one reservation.
pub(super) fn settle(sight: Sight<'_>, reservation: &Reservation, now: PoolTime) -> Vec<Event> {
    match &reservation.stage {
        Stage::Queued => Vec::new(),
        Stage::Preparing(grant) => prepare(sight, reservation, grant, now).into_iter().collect(),
        Stage::Ready(grant) => expire(reservation, grant, now).into_iter().collect(),
        Stage::Ended(ended) => come_back(sight, reservation, ended),
    }
}

fn prepare(sight: Sight<'_>, reservation: &Reservation, grant: &Grant, now: PoolTime) -> Option<Event> {
    let id = reservation.id;
    let is_ready = |machine: &&MachineId| sight.machine(machine).is_some_and(|seen| seen.is_ready_for(id));
    let missing: Vec<_> = grant.machines.iter().filter(|machine| !is_ready(machine)).collect();
    if missing.is_empty() {
        return Some(Event::Ready { id, deadline: now + reservation.request.duration });
    }
    let limit = reservation.request.drain + PREPARATION_MAX;
    if now.since(grant.granted) < limit {
        return None;
    }
    let names: Vec<_> = missing.iter().map(|machine| machine.as_str()).collect();
    let reason = format!("not ready within {}: {}", quantity::print_duration(limit), names.join(", "));
    Some(Event::Ended { id, end: End::Failed, reason })
}

fn expire(reservation: &Reservation, grant: &Grant, now: PoolTime) -> Option<Event> {
    let due = grant.deadline.is_due(now);
    due.then(|| Event::Ended { id: reservation.id, end: End::Expired, reason: "its deadline passed".into() })
}

/// Machines that are back: gone, or once under way to it and now the pool's.
fn come_back(sight: Sight<'_>, reservation: &Reservation, ended: &Ended) -> Vec<Event> {
    let arrived = |machine: &MachineId| ended.grant.as_ref().is_some_and(|grant| grant.arrived.contains(machine));
    let is_back = |machine: &&MachineId| match sight.machine(machine) {
        None => true,
        Some(seen) => arrived(machine) && seen.tenure == super::machine::Tenure::Pool,
    };
    let back = ended.returning.iter().filter(is_back);
    back.map(|machine| Event::MachineReturned { id: reservation.id, machine: machine.clone() }).collect()
}

/// Grants what can be granted, first come first: the first that must wait stops all behind it. One that can not be granted at
/// all now, because too few machines that match take part, holds nobody up.
pub(super) fn grants(state: &State, newcomer: Option<&Reservation>, now: PoolTime) -> Vec<Event> {
    let mut events = Vec::new();
    let mut named = MachineSet::new();
    for waiting in state.queue().chain(newcomer) {
        let outlook = Outlook::of(state, waiting, &named);
        if outlook.matching < waiting.request.count as usize {
            continue;
        }
        let Some(machines) = outlook.chosen else { break };
        named.extend(machines.iter().cloned());
        events.push(grant(waiting, machines, now));
    }
    events
}

fn grant(waiting: &Reservation, machines: MachineSet, now: PoolTime) -> Event {
    let (id, drain) = (waiting.id, waiting.request.drain);
    let deadline = now + drain + PREPARATION_MAX + waiting.request.duration;
    Event::Granted { id, user: waiting.request.user.clone(), machines, deadline, drain }
}

/// What a request can hope for.
pub(super) struct Outlook {
    /// Machines that match and take part, taken or not.
    pub(super) matching: usize,
    /// Those of them that are free and work.
    pub(super) free: usize,
    /// The machines that it would get, when there are enough.
    pub(super) chosen: Option<MachineSet>,
}

impl Outlook {
    /// The outlook of one that waits, `named` apart.
    pub(super) fn of(state: &State, waiting: &Reservation, named: &MachineSet) -> Self {
        let wanted = waiting.request.count as usize;
        let (mut matching, mut free, mut chosen) = (0, 0, MachineSet::new());
        for (id, machine) in state.machines() {
            if !machine.takes_part() || !waiting.request.selector.matches(&Named(id, machine)) {
                continue;
            }
            matching += 1;
            if !named.contains(id) && is_free(state, id, machine) {
                free += 1;
                if chosen.len() < wanted {
                    chosen.insert(id.clone());
                }
            }
        }
        Self { matching, free, chosen: (chosen.len() == wanted).then_some(chosen) }
    }
}

fn is_free(state: &State, id: &MachineId, machine: &Machine) -> bool {
    state.holder(id).is_none() && machine.works() && machine.tenure == super::machine::Tenure::Pool
}
