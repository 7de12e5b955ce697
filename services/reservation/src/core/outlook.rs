//! What a request can hope for now, and when it can be served at the latest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use muster_model::{MachineId, PoolTime};

use super::MachineSet;
use super::limits::BACK_WITHIN;
use super::machine::Machine;
use super::matching;
use super::reservation::{Reservation, Stage};
use super::state::State;

/// Machines that somebody gets at this moment, and until when.
pub(super) type Promised = BTreeMap<MachineId, PoolTime>;

/// Machines for one that waits, or lacks some.
pub(super) struct Outlook<'a> {
    state: &'a State,
    waiting: &'a Reservation,
    /// Machines that match and take part, taken or not.
    matched: Cow<'a, MachineSet>,
}

impl<'a> Outlook<'a> {
    pub(super) fn of(state: &'a State, waiting: &'a Reservation) -> Self {
        let selector = &waiting.request.selector;
        let kept = state.matching.of(selector).map(Cow::Borrowed);
        let matched = kept.unwrap_or_else(|| Cow::Owned(matching::found(selector, &state.machines)));
        Self { state, waiting, matched }
    }

    /// How many machines match, take part and can be used as it is asked for, taken or not.
    pub(super) fn matching(&self) -> usize {
        let request = &self.waiting.request;
        match request.is_particular() {
            true => self.matched.iter().filter(|id| self.suits(id)).count(),
            false => self.matched.len(),
        }
    }

    /// How many of them are free and work.
    pub(super) fn free(&self) -> usize {
        self.free_ones().count()
    }

    /// The machines that it would get, those promised to others apart: as many as it lacks, `most` at most. Only those that may be taken.
    pub(super) fn choose(
        &self,
        promised: &Promised,
        most: usize,
        mut may_take: impl FnMut(&MachineId) -> bool,
    ) -> MachineSet {
        let (had, dropped) =
            self.waiting.grant().map_or((0, None), |grant| (grant.machines.len(), Some(&grant.dropped)));
        let lacks = (self.waiting.request.count as usize).saturating_sub(had);
        let again = |id: &MachineId| dropped.is_some_and(|dropped| dropped.contains(id));
        let open = self.free_ones().filter(|id| !promised.contains_key(*id) && !again(id));
        open.filter(|id| may_take(id)).take(lacks.min(most)).cloned().collect()
    }

    /// Free machines that match, by id: the fewer of the two sets are looked at.
    fn free_ones(&self) -> impl Iterator<Item = &MachineId> {
        let free = &self.state.free;
        let (few, many) = match free.len() < self.matched.len() {
            true => (free, &*self.matched),
            false => (&*self.matched, free),
        };
        few.iter().filter(|id| many.contains(*id) && self.suits(id))
    }

    /// It can be booted, or taken back to an image, where that is asked for.
    fn suits(&self, id: &MachineId) -> bool {
        let request = &self.waiting.request;
        !request.is_particular() || self.state.machine(id).is_some_and(|machine| request.suits(machine))
    }

    /// When each machine that suits can be had at the latest, the soonest first: free ones now, taken ones at the deadline of who has them.
    /// Machines of which nobody can tell are left out.
    fn times(&self, promised: &Promised, now: PoolTime) -> Vec<(PoolTime, &MachineId)> {
        let suitable = self.matched.iter().filter(|id| self.suits(id));
        let mut times: Vec<_> = suitable.filter_map(|id| Some((self.time(id, promised, now)?, id))).collect();
        times.sort_unstable();
        times
    }

    fn time(&self, id: &MachineId, promised: &Promised, now: PoolTime) -> Option<PoolTime> {
        self.state.machine(id).filter(|machine| is_sound(machine))?;
        if let Some(end) = promised.get(id) {
            return Some(*end + BACK_WITHIN);
        }
        if self.state.free.contains(id) {
            return Some(now);
        }
        let holder = self.state.holder(id).and_then(|holder| self.state.reservation(holder));
        match holder.map(|holder| &holder.stage) {
            Some(Stage::Preparing(grant) | Stage::Ready(grant)) if !grant.returning.contains_key(id) => {
                // Of one without a deadline nobody can tell.
                Some(grant.deadline).filter(|deadline| *deadline != PoolTime::NEVER)?;
                Some(grant.deadline.max(now) + BACK_WITHIN)
            }
            Some(Stage::Queued) | None => None,
            Some(_) => Some(now + BACK_WITHIN),
        }
    }

    /// Of how many machines anybody can tell when they are there; when it can be served at the latest, and what that needs: none where nobody can
    /// tell.
    pub(super) fn expect(&self, promised: &Promised, now: PoolTime) -> (usize, Option<Expected>) {
        let times = self.times(promised, now);
        (times.len(), self.expected(times, now))
    }

    fn expected(&self, times: Vec<(PoolTime, &MachineId)>, now: PoolTime) -> Option<Expected> {
        let wanted = self.waiting.count_wanted(now) as usize;
        let start = times.get(wanted.checked_sub(1)?)?.0;
        let in_time = times.iter().take_while(|(time, _)| *time <= start).count();
        let machines = times.into_iter().filter(|(time, _)| *time <= start).map(|(_, id)| id.clone()).collect();
        Some(Expected { start, spare: in_time - wanted, machines })
    }
}

/// It can be counted on to come back.
fn is_sound(machine: &Machine) -> bool {
    machine.takes_part() && !machine.maintenance && !machine.down && !machine.quarantined && !machine.offline
}

/// When the first in line is served at the latest.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) start: PoolTime,
    /// So many machines more than it needs are there by then.
    spare: usize,
    /// Machines that match it and are there by then.
    machines: MachineSet,
}

impl Expected {
    /// So many machines can be spared still.
    pub(super) fn spare(&self) -> usize {
        self.spare
    }

    /// What was spared for somebody is not taken after all.
    pub(super) fn set_spare(&mut self, spare: usize) {
        self.spare = spare;
    }

    /// Who has machines until `end` has them back before it begins.
    pub(super) fn begins_after(&self, end: PoolTime) -> bool {
        end + BACK_WITHIN <= self.start
    }

    /// Whether one behind it may have a machine until `end`, and not delay it. Counts those that it can spare.
    pub(super) fn spares(&mut self, machine: &MachineId, end: PoolTime) -> bool {
        if self.begins_after(end) || !self.machines.contains(machine) {
            return true;
        }
        let spared = self.spare > 0;
        self.spare -= usize::from(spared);
        spared
    }
}

/// The latest end of a request that is granted at `now`.
pub(super) fn latest_end(waiting: &Reservation, now: PoolTime) -> PoolTime {
    let request = &waiting.request;
    if let Some(until) = request.until {
        return until;
    }
    now + request.drain + request.preparation_max() + request.duration
}
