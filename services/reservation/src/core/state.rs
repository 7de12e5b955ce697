//! The fold of RESERVATIONS.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{GroupMaster, MachineId, ReservationId};

use super::MachineSet;
use super::line::Line;
use super::machine::{Machine, Tenure};
use super::matching::Matching;
use super::quota::Quotas;
use super::reservation::{Reservation, Stage};
use super::usage::Usage;

/// Everything that reservation knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The highest number that was given.
    pub(super) last: ReservationId,
    pub(super) reservations: BTreeMap<ReservationId, Reservation>,
    pub(super) machines: BTreeMap<MachineId, Machine>,
    /// Who has each machine that is taken: granted, and not back. Derived.
    pub(super) taken: BTreeMap<MachineId, ReservationId>,
    /// Machines of each reservation that are what it asked for; none without any. Derived.
    pub(super) serving: BTreeMap<ReservationId, MachineSet>,
    /// Those that wait, in line. Derived.
    pub(super) line: Line,
    /// Machines that are free and work. Derived.
    pub(super) free: MachineSet,
    /// How many machines each user has. Derived.
    had: BTreeMap<String, u32>,
    /// Machines that match the selectors of those that are not over. Derived.
    pub(super) matching: Matching,
    /// What users may have.
    pub(super) quotas: Quotas,
    /// What users have had.
    pub(super) usage: Usage,
    /// Clients that are not over, by their master. Derived.
    clients: BTreeMap<GroupMaster, BTreeSet<ReservationId>>,
    /// Rollouts and groups that may be granted further machines. Derived.
    rollouts: BTreeSet<ReservationId>,
    /// Those of which nothing is left to wait for, oldest first. Derived.
    settled: BTreeSet<ReservationId>,
    /// Those that are neither waiting nor settled: what the full pass looks at. Derived.
    pub(super) open: BTreeSet<ReservationId>,
    /// Those of which somebody is, or may come to be, told. Derived.
    untold: BTreeSet<ReservationId>,
}

impl State {
    /// The state of these reservations and machines, of quotas and what was used.
    #[must_use]
    pub fn restored(
        last: ReservationId,
        reservations: impl IntoIterator<Item = Reservation>,
        machines: BTreeMap<MachineId, Machine>,
        (quotas, usage): (Quotas, Usage),
    ) -> Self {
        let mut state = Self { last, machines, quotas, usage, ..Self::default() };
        let all: Vec<MachineId> = state.machines.keys().cloned().collect();
        for reservation in reservations {
            let id = reservation.id;
            if reservation.is_alive() {
                state.matching.begin(&reservation.request.selector, &state.machines);
            }
            state.reservations.insert(id, reservation);
            state.index(id);
        }
        all.iter().for_each(|machine| state.index_free(machine));
        state
    }

    /// What users may have.
    #[must_use]
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What users have had.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// One reservation.
    #[must_use]
    pub fn reservation(&self, id: ReservationId) -> Option<&Reservation> {
        self.reservations.get(&id)
    }

    /// All that are remembered, by number.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.values()
    }

    /// Machines that MACHINES knows, by id.
    pub fn machines(&self) -> impl Iterator<Item = (&MachineId, &Machine)> {
        self.machines.iter()
    }

    /// One machine.
    #[must_use]
    pub fn machine(&self, machine: &MachineId) -> Option<&Machine> {
        self.machines.get(machine)
    }

    /// The reservation that has a machine: granted, and not back.
    #[must_use]
    pub fn holder(&self, machine: &MachineId) -> Option<ReservationId> {
        self.taken.get(machine).copied()
    }

    /// Machines that are what a reservation asked for; none without any, and none once it is over.
    pub(super) fn serving(&self, id: ReservationId) -> Option<&MachineSet> {
        self.serving.get(&id)
    }

    /// The highest number that was given.
    #[must_use]
    pub fn last(&self) -> ReservationId {
        self.last
    }

    /// Those that wait, first come first.
    pub fn queue(&self) -> impl Iterator<Item = &Reservation> {
        self.line.by_number().filter_map(|id| self.reservations.get(&id))
    }

    /// Those that wait, and a newcomer, the first in line first.
    pub(super) fn line_with<'a>(&'a self, newcomer: Option<&Reservation>) -> impl Iterator<Item = ReservationId> + 'a {
        let newcomer = newcomer.map(|newcomer| (newcomer.request.user.as_str(), newcomer.place()));
        self.line.in_order(&self.usage, &self.quotas, newcomer)
    }

    /// How many wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.line.len()
    }

    /// How many machines a user has: granted, and not back.
    #[must_use]
    pub fn had(&self, user: &str) -> u32 {
        self.had.get(user).copied().unwrap_or_default()
    }

    /// Those that have machines or are yet to get some back, by number.
    pub fn open(&self) -> impl Iterator<Item = &Reservation> {
        self.open.iter().filter_map(|id| self.reservations.get(id))
    }

    /// Masters of clients that are not over.
    pub(super) fn masters(&self) -> impl Iterator<Item = GroupMaster> + '_ {
        self.clients.keys().copied()
    }

    /// The clients of a master that are not over.
    pub(super) fn clients_of(&self, master: GroupMaster) -> impl Iterator<Item = ReservationId> + '_ {
        self.clients.get(&master).into_iter().flatten().copied()
    }

    /// Those of which somebody is, or may come to be, told, by number.
    pub(super) fn untold(&self) -> impl Iterator<Item = &Reservation> {
        self.untold.iter().filter_map(|id| self.reservations.get(id))
    }

    /// Rollouts and groups that are under way and may lack machines, by number.
    pub(super) fn rollouts(&self) -> impl Iterator<Item = &Reservation> {
        self.rollouts.iter().filter_map(|id| self.reservations.get(id))
    }

    /// Forgets the oldest that is settled, where more than so many are remembered.
    pub(super) fn forget_beyond(&mut self, kept: usize) {
        if self.settled.len() > kept
            && let Some(oldest) = self.settled.pop_first()
        {
            self.reservations.remove(&oldest);
            self.untold.remove(&oldest);
        }
    }

    /// Brings everything that is derived from a reservation up to date.
    pub(super) fn index(&mut self, id: ReservationId) {
        self.index_stage(id);
        let Some(reservation) = self.reservations.get(&id) else { return };
        let fresh = reservation.outstanding().filter(|machine| !self.taken.contains_key(*machine));
        let (fresh, user): (Vec<MachineId>, _) = (fresh.cloned().collect(), reservation.request.user.clone());
        if !fresh.is_empty() {
            *self.had.entry(user).or_default() += u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        }
        for machine in fresh {
            self.free.remove(&machine);
            self.taken.insert(machine, id);
        }
        let Some(reservation) = self.reservations.get(&id) else { return };
        let machines = reservation.machines();
        let serves = |machine: &&MachineId| self.machine(machine).is_some_and(|seen| reservation.is_served_by(seen));
        let serving: MachineSet = machines.into_iter().flatten().filter(serves).cloned().collect();
        self.serving.remove(&id);
        if !serving.is_empty() {
            self.serving.insert(id, serving);
        }
    }

    /// Brings up to date what is derived from where a reservation stands.
    pub(super) fn index_stage(&mut self, id: ReservationId) {
        let Some(reservation) = self.reservations.get(&id) else { return };
        let queued = reservation.stage == Stage::Queued;
        let open = !queued && !reservation.is_settled();
        let rollout = reservation.may_be_granted_more();
        let untold = reservation.may_be_told();
        let sets = [(&mut self.rollouts, rollout), (&mut self.settled, !queued && !open), (&mut self.untold, untold)];
        for (set, is_in) in sets {
            if is_in {
                set.insert(id);
            } else {
                set.remove(&id);
            }
        }
        if let Some(master) = reservation.request.master {
            let clients = self.clients.entry(master).or_default();
            if reservation.is_alive() {
                clients.insert(id);
            } else {
                clients.remove(&id);
            }
            if clients.is_empty() {
                self.clients.remove(&master);
            }
        }
        self.open.remove(&id);
        if queued {
            self.line.join(&reservation.request.user, reservation.place());
        } else {
            self.line.leave(id);
        }
        if open {
            self.open.insert(id);
        }
    }

    /// A machine is the pool's again.
    pub(super) fn give_back(&mut self, machine: &MachineId) {
        let Some(id) = self.taken.remove(machine) else { return };
        if let Some(user) = self.reservations.get(&id).map(|found| &found.request.user)
            && let Some(had) = self.had.get_mut(user)
        {
            *had -= 1;
            if *had == 0 {
                self.had.remove(user);
            }
        }
        self.index_free(machine);
    }

    /// Brings up to date whether a machine is free.
    pub(super) fn index_free(&mut self, machine: &MachineId) {
        let works = |seen: &Machine| seen.works() && seen.tenure == Tenure::Pool;
        if !self.taken.contains_key(machine) && self.machine(machine).is_some_and(works) {
            self.free.insert(machine.clone());
        } else {
            self.free.remove(machine);
        }
    }

    /// Brings up to date whether a machine is what its reservation asked for.
    pub(super) fn index_machine(&mut self, id: ReservationId, machine: &MachineId) {
        let reservation = self.reservations.get(&id);
        let has = reservation.filter(|found| found.machines().is_some_and(|machines| machines.contains(machine)));
        if has.is_some_and(|found| self.machine(machine).is_some_and(|seen| found.is_served_by(seen))) {
            self.serving.entry(id).or_default().insert(machine.clone());
        } else if let Some(serving) = self.serving.get_mut(&id) {
            serving.remove(machine);
            if serving.is_empty() {
                self.serving.remove(&id);
            }
        }
    }
}
