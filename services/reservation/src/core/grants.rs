//! Who gets machines: one pass over the line.
//!
//! Rollouts and groups that are under way come first. Then whoever is first in line; where it must wait, those behind it are served all the same while
//! that does not delay it (backfill): with machines that it can not use, that it can spare, or that are back before it can begin. One
//! that can not be served at all now, because too few machines that match take part or work, or because its user has as many
//! machines as they may, holds nobody up.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{PoolTime, ReservationId, SnapshotName};

use super::MachineSet;
use super::event::Event;
use super::outlook::{Expected, Outlook, Promised, latest_end};
use super::quota::Limit;
use super::reservation::Reservation;
use super::rollout;
use super::state::State;

/// Grants what can be granted, once `before` is decided: who is over or served by that needs nothing any more.
pub(super) fn grants(state: &State, newcomer: Option<&Reservation>, before: &[Event], now: PoolTime) -> Vec<Event> {
    let ended: BTreeSet<_> = before.iter().filter_map(ended_by).collect();
    let (promised, given) = (moved(state, before, now), BTreeMap::new());
    let known = Known::default();
    let mut pass = Pass { state, now, promised, named: 0, given, first: None, known, events: Vec::new() };
    for open in state.rollouts().filter(|open| !ended.contains(&open.id)) {
        let room = room(state, &open.request.user, &pass.given).machines;
        if let Some(machines) = rollout::further(state, open, &pass.promised, room) {
            pass.grant(open, machines);
        }
    }
    for id in state.line_with(newcomer) {
        if pass.named >= state.free.len() {
            break;
        }
        let newcomer = newcomer.filter(|newcomer| newcomer.id == id);
        if let Some(waiting) = newcomer.or_else(|| state.reservation(id)).filter(|_| !ended.contains(&id)) {
            pass.consider(waiting);
        }
    }
    pass.events
}

/// The reservation that an event leaves without need of machines.
fn ended_by(event: &Event) -> Option<ReservationId> {
    match event {
        Event::Ended { id, .. } | Event::Ready { id, .. } => Some(*id),
        Event::Queued { .. }
        | Event::Granted { .. }
        | Event::Extended { .. }
        | Event::Dropped { .. }
        | Event::Dismissed { .. }
        | Event::Countdown { .. }
        | Event::Aged { .. }
        | Event::Noticed { .. }
        | Event::TakenUp { .. }
        | Event::QuotaSet { .. }
        | Event::MachineReturned { .. }
        | Event::MachineSeen { .. } => None,
    }
}

/// Machines whose holders are over, or have another deadline, by what was just decided.
fn moved(state: &State, before: &[Event], now: PoolTime) -> Promised {
    let until = |event: &Event| match event {
        Event::Ended { id, .. } => Some((*id, now)),
        Event::Ready { id, deadline, .. } => Some((*id, *deadline)),
        _ => None,
    };
    let mut moved = Promised::new();
    for (id, end) in before.iter().filter_map(until) {
        let machines = state.reservation(id).into_iter().flat_map(Reservation::outstanding);
        moved.extend(machines.map(|machine| (machine.clone(), end)));
    }
    moved
}

/// Who asks alike is answered alike: what a pass has found for one request bounds what it finds for the next, since machines only become fewer
/// while it lasts. So thousands that wait for the same cost no more than one.
#[derive(Default)]
struct Known {
    /// Machines that can be had at most.
    most: BTreeMap<Alike, usize>,
    /// Machines of which anybody can tell when they are back.
    told: BTreeMap<Wants, usize>,
}

impl Known {
    /// A request of so many can neither be served nor be the first in line.
    fn is_in_vain(&self, alike: &Alike, wanted: usize, may_be_first: bool) -> bool {
        let too_few = |known: Option<&usize>| known.is_some_and(|known| *known < wanted);
        let told = self.told.get(&alike.wants);
        too_few(self.most.get(alike)) && (!may_be_first || too_few(told))
    }
}

/// Requests that can have the same machines: what they want, and whether these are back before the first in line begins.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    wants: Wants,
    is_short: bool,
}

/// What requests select, whether that is booted, and what it is taken back to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wants {
    selector: String,
    is_rollout: bool,
    image: Option<SnapshotName>,
}

struct Pass<'a> {
    state: &'a State,
    now: PoolTime,
    promised: Promised,
    /// Machines that were granted in this pass.
    named: usize,
    /// How many of them, by user.
    given: BTreeMap<&'a str, u32>,
    /// When the first that must wait is served at the latest.
    first: Option<Expected>,
    /// What was found for those who are alike.
    known: Known,
    events: Vec<Event>,
}

impl<'a> Pass<'a> {
    fn consider(&mut self, waiting: &'a Reservation) {
        let wanted = waiting.count_wanted(self.now) as usize;
        let room = room(self.state, &waiting.request.user, &self.given).machines;
        if (waiting.count_min() as usize) > room {
            return;
        }
        let end = latest_end(waiting, self.now);
        let wants = Wants {
            selector: waiting.request.selector.to_string(),
            is_rollout: waiting.request.rollout.is_some(),
            image: waiting.request.image.clone(),
        };
        let is_short = self.first.as_ref().is_some_and(|first| first.begins_after(end));
        let alike = Alike { wants, is_short };
        if self.known.is_in_vain(&alike, wanted, self.first.is_none()) {
            return;
        }
        let outlook = Outlook::of(self.state, waiting);
        let spare = self.first.as_ref().map(Expected::spare);
        let chosen = match &mut self.first {
            None => outlook.choose(&self.promised, room, |_| true),
            Some(first) => outlook.choose(&self.promised, room, |machine| first.spares(machine, end)),
        };
        if chosen.len() >= wanted {
            return self.grant(waiting, chosen);
        }
        let told_of = alike.wants.clone();
        if chosen.len() < room.min(waiting.request.count as usize) {
            self.known.most.insert(alike, chosen.len());
        }
        match (&mut self.first, spare) {
            // What it could not have is there for others.
            (Some(first), Some(spare)) => first.set_spare(spare),
            // The first that must wait is the one that the others must not delay.
            (first, _) => {
                let (told, expected) = outlook.expect(&self.promised, self.now);
                *first = expected;
                self.known.told.insert(told_of, told);
            }
        }
    }

    fn grant(&mut self, waiting: &'a Reservation, machines: MachineSet) {
        let request = &waiting.request;
        let end = waiting.grant().map_or_else(|| latest_end(waiting, self.now), |grant| grant.deadline);
        self.named += machines.len();
        self.promised.extend(machines.iter().map(|machine| (machine.clone(), end)));
        *self.given.entry(&request.user).or_default() += u32::try_from(machines.len()).unwrap_or(u32::MAX);
        let kernel = request.rollout.as_ref().map(|rollout| (rollout.kernel.clone(), rollout.nonce.clone()));
        let (id, user, drain) = (waiting.id, request.user.clone(), request.drain);
        let (ssh_key, image) = (request.ssh_key.clone(), request.image.clone());
        self.events.push(Event::Granted { id, user, machines, kernel, image, deadline: end, drain, ssh_key });
    }
}

/// What quotas leave to a user.
struct Room {
    /// So many machines more.
    machines: usize,
    /// The quota that says so, for people.
    why: String,
}

fn room(state: &State, user: &str, given: &BTreeMap<&str, u32>) -> Room {
    let had = |user: &&str| state.had(user) + given.get(user).copied().unwrap_or_default();
    let left = |limit: Limit<'_>| {
        let has: u32 = limit.of.iter().map(had).sum();
        let why = format!("the quota of {} is {} machines at once, and {has} are had", limit.name, limit.most);
        Room { machines: limit.most.saturating_sub(has) as usize, why }
    };
    let rooms = state.quotas.machines_at_once(user).map(left);
    rooms.min_by_key(|room| room.machines).unwrap_or(Room { machines: usize::MAX, why: String::new() })
}

/// Says which quota keeps a request from being served now: its users have as many machines as they may.
pub(super) fn over_quota(state: &State, waiting: &Reservation) -> Option<String> {
    let room = room(state, &waiting.request.user, &BTreeMap::new());
    (waiting.count_min() as usize > room.machines).then_some(room.why)
}
