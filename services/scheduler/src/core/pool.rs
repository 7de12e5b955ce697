//! The index that placement searches: what decides whether a machine may be used, in columns, by the machine's place in the order of
//! ids.
//!
//! Derived from the machines of the state in every step of the fold; never in a snapshot or hash, and two states that are equal
//! otherwise are equal whatever their indexes look like (numbers of a dictionary follow history). `check` compares it with the
//! machines. A machine that is new among many shifts the columns behind it: rare, and bounded by the size of the pool.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Epoch, Facts, MachineId, Position, ReservationId, ResourceId, ResourceKind, Selector};

use super::dictionary::Dictionary;
use super::lists::Lists;
use super::machine::{Machine, Place, Resource, Seen, Total, Trouble};
use super::placement::offer::{Offer, Offers};

/// Keys of machines that are kept as columns: all but the name.
const COLUMNS: usize = Selector::KEYS.len() - 1;

/// Values of one key of all machines.
#[derive(Debug, Clone, Default)]
struct Column {
    values: Dictionary<Vec<String>>,
    numbers: Vec<u32>,
}

/// What a selector of resources sees of one, beside its name: many have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Description {
    /// Kind.
    pub(super) kind: ResourceKind,
    /// Device type.
    pub(super) device_type: String,
    /// Size.
    pub(super) size: u64,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    ids: Vec<MachineId>,
    epochs: Vec<Epoch>,
    generations: Vec<Position>,
    /// Places of each machine: placement looks at these of every machine that it chooses, and at nothing else of it.
    places: Lists<Place>,
    holders: Vec<ReservationId>,
    troubles: Vec<Option<Trouble>>,
    totals: [Vec<Total>; ResourceKind::ALL.len()],
    live: Vec<u32>,
    columns: [Column; COLUMNS],
    descriptions: Dictionary<Description>,
    /// Paths of every resource that has a name beyond its machine.
    paths: BTreeMap<String, BTreeSet<(MachineId, ResourceId)>>,
    /// How many of these have more than one.
    several: usize,
}

/// Indexes of equal states are equal: they hold nothing of their own.
impl PartialEq for Pool {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What all machines have in one column.
pub(super) struct ColumnView<'a> {
    column: &'a Column,
}

impl ColumnView<'_> {
    /// The answer to a question of each value, for each machine.
    pub(super) fn ask(&self, of: impl Fn(&[String]) -> bool) -> Vec<bool> {
        let answers = self.column.values.map(false, |values| of(values));
        self.column.numbers.iter().map(|number| answers[*number as usize]).collect()
    }
}

/// Machines of the index.
pub(super) struct Among<'a> {
    pool: &'a Pool,
    ordinals: &'a [u32],
}

impl Offers for Among<'_> {
    fn offer(&self, machine: usize) -> Offer<'_> {
        self.pool.offer(self.ordinals[machine] as usize)
    }
}

impl Pool {
    /// How many machines.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Ids of machines, in order.
    pub(super) fn ids(&self) -> &[MachineId] {
        &self.ids
    }

    /// Place of a machine in the order of ids.
    pub(super) fn ordinal(&self, machine: &str) -> Option<usize> {
        self.ids.binary_search_by(|id| id.as_str().cmp(machine)).ok()
    }

    /// The same for who knows where it was: machines rarely move.
    pub(super) fn ordinal_near(&self, near: usize, machine: &str) -> Option<usize> {
        let is_there = self.ids.get(near).is_some_and(|id| id.as_str() == machine);
        if is_there { Some(near) } else { self.ordinal(machine) }
    }

    /// What placement sees of a machine.
    pub(super) fn offer(&self, ordinal: usize) -> Offer<'_> {
        Offer {
            machine: &self.ids[ordinal],
            epoch: self.epochs[ordinal],
            generation: self.generations[ordinal],
            places: self.places.of(ordinal),
        }
    }

    /// The same of several, as it is asked for.
    pub(super) fn among<'a>(&'a self, ordinals: &'a [u32]) -> Among<'a> {
        Among { pool: self, ordinals }
    }

    /// The same of several, at once.
    pub(super) fn offers(&self, ordinals: &[u32]) -> Vec<Offer<'_>> {
        ordinals.iter().map(|ordinal| self.offer(*ordinal as usize)).collect()
    }

    /// Reservation that holds each machine; 0 is the pool.
    pub(super) fn holders(&self) -> &[ReservationId] {
        &self.holders
    }

    /// Why nothing may be placed on each machine.
    pub(super) fn troubles(&self) -> &[Option<Trouble>] {
        &self.troubles
    }

    /// Sums of a kind on each machine.
    pub(super) fn totals(&self, kind: ResourceKind) -> &[Total] {
        &self.totals[kind as usize]
    }

    /// Live processes on each machine.
    pub(super) fn live(&self) -> &[u32] {
        &self.live
    }

    /// The column of a key; none for the name.
    pub(super) fn column(&self, key: &str) -> Option<ColumnView<'_>> {
        let place = keys().position(|known| known == key)?;
        Some(ColumnView { column: &self.columns[place] })
    }

    /// An answer for every description, by number.
    pub(super) fn describe<R: Clone>(&self, absent: R, of: impl Fn(&Description) -> R) -> Vec<R> {
        self.descriptions.map(absent, of)
    }

    /// Every path of a resource that several machines reach; none where it is its machine's alone.
    pub(super) fn paths(&self, seen: &Seen, resource: &ResourceId) -> Option<&BTreeSet<(MachineId, ResourceId)>> {
        if self.several == 0 {
            return None;
        }
        let name = &seen.resource(resource)?.shared_name;
        self.paths.get(name).filter(|paths| paths.len() > 1)
    }

    /// Some resource has several paths.
    pub(super) fn has_several_paths(&self) -> bool {
        self.several > 0
    }

    /// Numbers the descriptions of a machine's new places, and lets go of those of the old ones.
    pub(super) fn number_places(&mut self, seen: &Seen, places: &mut [Place], before: &[Place]) {
        for place in places {
            let Some(Resource { kind, device_type, size, .. }) = seen.resource(&place.id) else { continue };
            let description = Description { kind: *kind, device_type: device_type.clone(), size: *size };
            place.description.0 = self.descriptions.enter(description);
        }
        self.forget_places(before);
    }

    fn forget_places(&mut self, places: &[Place]) {
        places.iter().for_each(|place| self.descriptions.leave(place.description.0));
    }

    /// Takes what is known of a machine, and what runs there.
    pub(super) fn see(&mut self, machine: &Machine) {
        let seen = &machine.seen;
        let ordinal = match self.ids.binary_search(&seen.machine) {
            Ok(ordinal) => ordinal,
            Err(ordinal) => {
                self.insert(ordinal, seen);
                ordinal
            }
        };
        self.epochs[ordinal] = seen.epoch;
        self.generations[ordinal] = seen.generation;
        self.places.set(ordinal, &machine.places);
        self.holders[ordinal] = seen.reservation;
        for (key, column) in keys().zip(&mut self.columns) {
            let number = column.values.enter(values(seen, key));
            column.values.leave(std::mem::replace(&mut column.numbers[ordinal], number));
        }
        self.count_at(ordinal, machine);
    }

    /// A new row, which `see` fills.
    fn insert(&mut self, ordinal: usize, seen: &Seen) {
        self.ids.insert(ordinal, seen.machine.clone());
        self.epochs.insert(ordinal, Epoch(0));
        self.generations.insert(ordinal, Position::default());
        self.places.insert(ordinal);
        self.holders.insert(ordinal, ReservationId(0));
        self.troubles.insert(ordinal, None);
        self.totals.iter_mut().for_each(|totals| totals.insert(ordinal, Total::default()));
        self.live.insert(ordinal, 0);
        for column in &mut self.columns {
            let number = column.values.enter(Vec::new());
            column.numbers.insert(ordinal, number);
        }
    }

    /// Forgets a machine.
    pub(super) fn remove(&mut self, machine: &Machine) {
        self.forget_places(&machine.places);
        let Ok(ordinal) = self.ids.binary_search(&machine.seen.machine) else { return };
        self.ids.remove(ordinal);
        self.epochs.remove(ordinal);
        self.generations.remove(ordinal);
        self.places.remove(ordinal);
        self.holders.remove(ordinal);
        self.troubles.remove(ordinal);
        for totals in &mut self.totals {
            totals.remove(ordinal);
        }
        self.live.remove(ordinal);
        for column in &mut self.columns {
            let number = column.numbers.remove(ordinal);
            column.values.leave(number);
        }
    }

    /// Takes what runs on a machine, beside the use of its places.
    pub(super) fn count(&mut self, ordinal: Option<usize>, machine: &Machine) {
        if let Some(ordinal) = ordinal {
            self.count_at(ordinal, machine);
        }
    }

    /// Takes the use of one place.
    pub(super) fn count_place(&mut self, ordinal: Option<usize>, machine: &Machine, place: usize) {
        if let Some(ordinal) = ordinal {
            self.places.of_mut(ordinal)[place].used_milli = machine.places[place].used_milli;
        }
    }

    fn count_at(&mut self, ordinal: usize, machine: &Machine) {
        for kind in ResourceKind::ALL {
            self.totals[kind as usize][ordinal] = machine.total(kind);
        }
        self.live[ordinal] = machine.live.len() as u32;
        self.troubles[ordinal] = machine.trouble();
    }

    /// Takes the paths that a machine has, instead of those that it had. Returns the machines whose load on a resource follows from
    /// other ones now than before.
    pub(super) fn lay_paths(
        &mut self,
        machine: &MachineId,
        before: &[Resource],
        after: &[Resource],
    ) -> BTreeSet<MachineId> {
        let path = |resource: &Resource| (resource.shared_name.clone(), (machine.clone(), resource.id.clone()));
        let named = |resources: &[Resource]| -> BTreeSet<_> {
            resources.iter().filter(|resource| !resource.shared_name.is_empty()).map(path).collect()
        };
        let (before, after) = (named(before), named(after));
        let mut affected = BTreeSet::new();
        for (name, path) in before.difference(&after) {
            let Some(paths) = self.paths.get_mut(name) else { continue };
            let were_several = paths.len() > 1;
            paths.remove(path);
            affected.extend(paths.iter().map(|(machine, _)| machine.clone()));
            self.several -= usize::from(were_several && paths.len() <= 1);
            if paths.is_empty() {
                self.paths.remove(name);
            }
        }
        for (name, path) in after.difference(&before) {
            let paths = self.paths.entry(name.clone()).or_default();
            let were_several = paths.len() > 1;
            affected.extend(paths.iter().map(|(machine, _)| machine.clone()));
            paths.insert(path.clone());
            self.several += usize::from(!were_several && paths.len() > 1);
        }
        affected.remove(machine);
        affected
    }

    /// The index agrees with the machines that it is derived from.
    pub(super) fn check(&self, machines: &BTreeMap<MachineId, Machine>) -> Result<(), String> {
        let wrong = |what: &str, id: &MachineId| Err(format!("the index has {what} of {id} wrongly"));
        if !self.ids.iter().eq(machines.keys()) {
            return Err("the index has other machines".into());
        }
        for (ordinal, (id, machine)) in machines.iter().enumerate() {
            let seen = &machine.seen;
            if (self.holders[ordinal], self.troubles[ordinal]) != (seen.reservation, machine.trouble()) {
                return wrong("holder or trouble", id);
            }
            let offered = (self.epochs[ordinal], self.generations[ordinal], self.places.of(ordinal));
            if offered != (seen.epoch, seen.generation, &machine.places[..]) {
                return wrong("the offer", id);
            }
            let sums = ResourceKind::ALL.iter().all(|kind| self.totals(*kind)[ordinal] == machine.total(*kind));
            if !sums || self.live[ordinal] as usize != machine.live.len() {
                return wrong("the use", id);
            }
            let columns = keys().zip(&self.columns);
            let mut same = columns.map(|(key, column)| is_of(column.values.get(column.numbers[ordinal]), seen, key));
            if !same.all(|same| same) {
                return wrong("facts", id);
            }
            let described = |place: &Place| {
                let found = self.descriptions.get(place.description.0);
                let resource = seen.resource(&place.id);
                found.zip(resource).is_some_and(|(found, resource)| {
                    (found.kind, &found.device_type, found.size)
                        == (resource.kind, &resource.device_type, resource.size)
                })
            };
            if !machine.places.iter().all(described) {
                return wrong("descriptions", id);
            }
        }
        self.check_paths(machines)
    }

    fn check_paths(&self, machines: &BTreeMap<MachineId, Machine>) -> Result<(), String> {
        let mut paths = BTreeMap::<String, BTreeSet<(MachineId, ResourceId)>>::new();
        for (id, machine) in machines {
            for resource in machine.seen.resources.iter().filter(|resource| !resource.shared_name.is_empty()) {
                paths.entry(resource.shared_name.clone()).or_default().insert((id.clone(), resource.id.clone()));
            }
        }
        let several = paths.values().filter(|paths| paths.len() > 1).count();
        if (several, &paths) == (self.several, &self.paths) { Ok(()) } else { Err("the index has wrong paths".into()) }
    }
}

/// Keys of the columns.
fn keys() -> impl Iterator<Item = &'static str> {
    Selector::KEYS.into_iter().filter(|key| *key != "name")
}

/// Compared where it lies.
fn is_of(found: Option<&Vec<String>>, seen: &Seen, key: &str) -> bool {
    found.is_some_and(|found| found.iter().map(String::as_str).eq(seen.values(key).iter().map(AsRef::as_ref)))
}

fn values(seen: &Seen, key: &str) -> Vec<String> {
    seen.values(key).into_iter().map(std::borrow::Cow::into_owned).collect()
}
