//! What follows from state alone: deadlines, machines that are ready or back, and who is next.
//!
//! One function for the hint that woke us and for the full pass: [`settle`] looks at one reservation, [`pass`] at all.

use std::collections::BTreeSet;

use muster_ledger::Now;
use muster_model::{MachineId, PoolTime, ReservationId, quantity};

use super::MachineSet;
use super::event::Event;
use super::limits::PREPARATION_MAX;
use super::machine::{Machine, Named};
use super::reservation::{End, Ended, Grant, Reservation, Stage};
use super::rollout;
use super::state::State;

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
    let given_up = |waiting: &Reservation| rollout::given_up(waiting, now.time);
    events.extend(state.queue().filter_map(given_up));
    let ended: BTreeSet<_> = events.iter().filter_map(ended_by).collect();
    events.extend(grants(state, None, &ended, now.time));
    events
}

/// The reservation that an event leaves without need of machines.
fn ended_by(event: &Event) -> Option<ReservationId> {
    match event {
        Event::Ended { id, .. } | Event::Ready { id, .. } => Some(*id),
        Event::Queued { .. }
        | Event::Granted { .. }
        | Event::Extended { .. }
        | Event::Dropped { .. }
        | Event::Countdown { .. }
        | Event::MachineReturned { .. }
        | Event::MachineSeen { .. } => None,
    }
}

/// What is due for one reservation.
pub(super) fn settle(sight: Sight<'_>, reservation: &Reservation, now: PoolTime) -> Vec<Event> {
    match &reservation.stage {
        Stage::Queued => Vec::new(),
        Stage::Preparing(grant) => {
            let mut events = match &reservation.request.rollout {
                Some(quorum) => rollout::advance(sight, reservation, (quorum, grant), now),
                None => prepare(sight, reservation, grant, now).into_iter().collect(),
            };
            events.extend(come_back(sight, reservation.id, dropped(sight, grant), &grant.arrived));
            events
        }
        Stage::Ready(grant) => {
            let back = come_back(sight, reservation.id, dropped(sight, grant), &grant.arrived);
            expire(reservation, grant, now).into_iter().chain(back).collect()
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

fn prepare(sight: Sight<'_>, reservation: &Reservation, grant: &Grant, now: PoolTime) -> Option<Event> {
    let id = reservation.id;
    if sight.serving(reservation, grant) == grant.machines.len() {
        let machines = grant.machines.clone();
        return Some(Event::Ready { id, machines, deadline: now + reservation.request.duration });
    }
    let limit = reservation.request.drain + PREPARATION_MAX;
    if now.since(grant.granted) < limit {
        return None;
    }
    let missing = grant.machines.iter().filter(|machine| !sight.serves(machine, reservation));
    let names: Vec<_> = missing.map(MachineId::as_str).collect();
    let reason = format!("not ready within {}: {}", quantity::print_duration(limit), names.join(", "));
    Some(Event::Ended { id, end: End::Failed, reason })
}

fn expire(reservation: &Reservation, grant: &Grant, now: PoolTime) -> Option<Event> {
    let due = grant.deadline.is_due(now);
    due.then(|| Event::Ended { id: reservation.id, end: End::Expired, reason: "its deadline passed".into() })
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

/// Grants what can be granted: first to rollouts that are under way, then first come first: the first that must wait stops all
/// behind it. One that can not be granted at all now, because too few machines that match take part, holds nobody up. Those of
/// `ended` need nothing any more.
pub(super) fn grants(
    state: &State,
    newcomer: Option<&Reservation>,
    ended: &BTreeSet<ReservationId>,
    now: PoolTime,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut named = MachineSet::new();
    for open in state.open().filter(|open| !ended.contains(&open.id)) {
        if let Some(machines) = rollout::further(state, open, &named) {
            named.extend(machines.iter().cloned());
            events.push(grant(open, machines, now));
        }
    }
    for waiting in state.queue().filter(|waiting| !ended.contains(&waiting.id)).chain(newcomer) {
        let outlook = Outlook::of(state, waiting, &named);
        if outlook.matching < waiting.count_min() as usize {
            continue;
        }
        if outlook.chosen.len() < waiting.count_min() as usize {
            break;
        }
        named.extend(outlook.chosen.iter().cloned());
        events.push(grant(waiting, outlook.chosen, now));
    }
    events
}

fn grant(reservation: &Reservation, machines: MachineSet, now: PoolTime) -> Event {
    let request = &reservation.request;
    let rollout = request.rollout.as_ref();
    let preparation = rollout.map_or(PREPARATION_MAX, |rollout| rollout.give_up + rollout.countdown);
    let deadline = match reservation.grant() {
        Some(grant) => grant.deadline,
        None => now + request.drain + preparation + request.duration,
    };
    let kernel = rollout.map(|rollout| (rollout.kernel.clone(), rollout.nonce.clone()));
    Event::Granted { id: reservation.id, user: request.user.clone(), machines, kernel, deadline, drain: request.drain }
}

/// What a request can hope for.
pub(super) struct Outlook {
    /// Machines that match and take part, taken or not.
    pub(super) matching: usize,
    /// Those of them that are free and work.
    pub(super) free: usize,
    /// The machines that it would get: as many as it lacks, or fewer.
    pub(super) chosen: MachineSet,
}

impl Outlook {
    /// The outlook of one that waits or lacks machines, `named` apart.
    pub(super) fn of(state: &State, waiting: &Reservation, named: &MachineSet) -> Self {
        let (had, dropped) = waiting.grant().map_or((0, None), |grant| (grant.machines.len(), Some(&grant.dropped)));
        let lacks = (waiting.request.count as usize).saturating_sub(had);
        let (mut matching, mut free, mut chosen) = (0, 0, MachineSet::new());
        for (id, machine) in state.machines() {
            if !suits(waiting, machine) || !waiting.request.selector.matches(&Named(id, machine)) {
                continue;
            }
            matching += 1;
            let again = dropped.is_some_and(|dropped| dropped.contains(id));
            if !named.contains(id) && !again && is_free(state, id, machine) {
                free += 1;
                if chosen.len() < lacks {
                    chosen.insert(id.clone());
                }
            }
        }
        Self { matching, free, chosen }
    }
}

/// It takes part, and can be booted where that is asked for.
fn suits(waiting: &Reservation, machine: &Machine) -> bool {
    machine.takes_part() && (machine.bootable || waiting.request.rollout.is_none())
}

fn is_free(state: &State, id: &MachineId, machine: &Machine) -> bool {
    state.holder(id).is_none() && machine.works() && machine.tenure == super::machine::Tenure::Pool
}
