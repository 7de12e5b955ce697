//! The fold of RESERVATIONS.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{MachineId, ReservationId};

use super::MachineSet;
use super::machine::Machine;
use super::reservation::{Reservation, Stage};

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
    /// Those that wait, first come first. Derived.
    pub(super) queue: BTreeSet<ReservationId>,
    /// Those that are neither waiting nor settled: what the full pass looks at. Derived.
    pub(super) open: BTreeSet<ReservationId>,
}

impl State {
    /// The state of these reservations and machines.
    #[must_use]
    pub fn restored(
        last: ReservationId,
        reservations: impl IntoIterator<Item = Reservation>,
        machines: BTreeMap<MachineId, Machine>,
    ) -> Self {
        let mut state = Self { last, machines, ..Self::default() };
        for reservation in reservations {
            let id = reservation.id;
            state.reservations.insert(id, reservation);
            state.index(id);
        }
        state
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
        self.queue.iter().filter_map(|id| self.reservations.get(id))
    }

    /// How many wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Those that have machines or are yet to get some back, by number.
    pub fn open(&self) -> impl Iterator<Item = &Reservation> {
        self.open.iter().filter_map(|id| self.reservations.get(id))
    }

    /// Brings everything that is derived from a reservation up to date.
    pub(super) fn index(&mut self, id: ReservationId) {
        self.index_stage(id);
        let Some(reservation) = self.reservations.get(&id) else { return };
        for machine in reservation.outstanding() {
            self.taken.insert(machine.clone(), id);
        }
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
        self.queue.remove(&id);
        self.open.remove(&id);
        if queued {
            self.queue.insert(id);
        }
        if open {
            self.open.insert(id);
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
