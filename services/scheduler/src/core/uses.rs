//! Machines of the state with what is derived of them: places, what live processes use of these, and the index of the pool.
//!
//! A resource that several machines reach is one: a process on any of its paths counts on all of them.

use std::collections::BTreeMap;

use muster_model::{Dpid, MachineId, ResourceId};

use super::job::Process;
use super::machine::{Machine, Seen};
use super::placement::offer::Offer;
use super::placement::step::Paths;
use super::state::State;

impl State {
    /// Sets what MACHINES says of a machine, and derives what follows.
    pub(super) fn see(&mut self, seen: Seen) {
        let id = seen.machine.clone();
        let machine = self.machines.entry(id.clone()).or_insert_with(|| Machine::new(Seen::new(id.clone())));
        let affected = if machine.seen.resources == seen.resources {
            Default::default()
        } else {
            self.pool.lay_paths(&id, &machine.seen.resources, &seen.resources)
        };
        machine.seen = seen;
        self.derive_places(&id);
        affected.iter().for_each(|id| self.derive_places(id));
        self.drop_if_removed(&id);
    }

    /// Derives the places of a machine from its facts, the load numbers and what runs there.
    pub(super) fn derive_places(&mut self, id: &MachineId) {
        let Some(machine) = self.machines.get_mut(id) else { return };
        let mut places = machine.seen.places(&self.loads);
        self.pool.number_places(&machine.seen, &mut places, &machine.places);
        machine.set_places(places);
        let machine = &self.machines[id];
        let used = self.used(machine);
        let Some(machine) = self.machines.get_mut(id) else { return };
        for (resource, used) in &used {
            machine.count_use(resource, *used, true);
        }
        self.pool.see(machine);
    }

    /// Thousandths of a place that live processes use of each resource of a machine, on all of its paths.
    pub(super) fn used(&self, machine: &Machine) -> BTreeMap<ResourceId, u64> {
        let mut used = self.used_here(machine);
        for place in &machine.places {
            let Some(paths) = self.pool.paths(&machine.seen, &place.id) else { continue };
            let machines = paths.iter().filter_map(|(id, resource)| Some((self.machines.get(id)?, resource)));
            let on = |(machine, resource)| self.used_here(machine).get(resource).copied().unwrap_or(0);
            used.insert(place.id.clone(), machines.map(on).sum());
        }
        used
    }

    /// Thousandths of a place that the processes on one machine use of each of its resources.
    fn used_here(&self, machine: &Machine) -> BTreeMap<ResourceId, u64> {
        let mut used = BTreeMap::new();
        for dpid in &machine.live {
            let (process, spec) = (&self.processes[dpid], self.jobs[&dpid.job].spec_of(dpid.process));
            for (resource, weight) in process.resources.iter().zip(spec.module.weights()) {
                *used.entry(resource.clone()).or_default() += u64::from(weight);
            }
        }
        used
    }

    /// Adds (or takes away) what one process uses.
    pub(super) fn count_use(&mut self, dpid: Dpid, process: &Process, add: bool) {
        let spec = self.jobs[&dpid.job].spec_of(dpid.process);
        let Some(machine) = self.machines.get_mut(&process.machine) else { return };
        let mut elsewhere = Vec::new();
        let ordinal = self.pool.ordinal(process.machine.as_str());
        for (resource, weight) in process.resources.iter().zip(spec.module.weights()) {
            if let Some(place) = machine.count_use(resource, u64::from(weight), add) {
                self.pool.count_place(ordinal, machine, place);
            }
            let paths = self.pool.paths(&machine.seen, resource).into_iter().flatten();
            let others = paths.filter(|(id, path)| (id, path) != (&process.machine, resource));
            elsewhere.extend(others.map(|(id, path)| (id.clone(), path.clone(), u64::from(weight))));
        }
        self.pool.count(ordinal, machine);
        for (id, resource, weight) in elsewhere {
            let Some(machine) = self.machines.get_mut(&id) else { continue };
            let ordinal = self.pool.ordinal(id.as_str());
            if let Some(place) = machine.count_use(&resource, weight, add) {
                self.pool.count_place(ordinal, machine, place);
            }
            self.pool.count(ordinal, machine);
        }
    }

    /// A removed machine is forgotten once no remembered process was there.
    pub(super) fn drop_if_removed(&mut self, id: &MachineId) {
        if !self.machines.get(id).is_some_and(|machine| machine.seen.removed && machine.orders.is_empty()) {
            return;
        }
        let Some(machine) = self.machines.remove(id) else { return };
        self.pool.remove(&machine);
        let affected = self.pool.lay_paths(id, &machine.seen.resources, &[]);
        affected.iter().for_each(|id| self.derive_places(id));
    }

    /// The other paths of places that several of these machines reach.
    pub(super) fn paths_among(&self, offers: &[Offer<'_>]) -> Paths {
        let mut paths = Paths::new();
        if !self.pool.has_several_paths() {
            return paths;
        }
        let index_of = |id: &MachineId| offers.binary_search_by(|offer| offer.machine.cmp(id)).ok();
        let place_of = |(id, resource): &(MachineId, ResourceId)| {
            let machine = index_of(id)?;
            let place = offers[machine].places.binary_search_by(|place| place.id.cmp(resource)).ok()?;
            Some((machine, place))
        };
        for (index, offer) in offers.iter().enumerate() {
            let Some(machine) = self.machines.get(offer.machine) else { continue };
            for (place, found) in offer.places.iter().enumerate() {
                let Some(all) = self.pool.paths(&machine.seen, &found.id) else { continue };
                let others = all.iter().filter_map(place_of).filter(|other| *other != (index, place));
                paths.insert((index, place), others.collect());
            }
        }
        paths
    }
}
