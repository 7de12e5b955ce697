//! Which resources of its machine a process gets: of each kind the least loaded, all different.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use muster_model::{ResourceId, ResourceKind};

use super::loads::place_load;
use crate::core::machine::Place;
use crate::core::module::Requirement;

/// Takes resources of one machine, process after process.
#[derive(Debug)]
pub struct Taker<'a> {
    places: &'a [Place],
    needs: Vec<Open<'a>>,
    /// Used thousandths of each place.
    used: Vec<u64>,
}

/// Open places of one kind by their load after one more use. A key may be too low where a place was used otherwise: it is corrected
/// when it comes up.
#[derive(Debug)]
struct Open<'a> {
    need: &'a Requirement,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

impl<'a> Taker<'a> {
    /// Over those places of a machine that are open.
    pub fn new(places: &'a [Place], requirements: &'a [Requirement], open: impl Fn(usize) -> bool) -> Self {
        let used = places.iter().map(|place| place.used_milli).collect();
        let needs = requirements.iter().map(|need| {
            let fits = places.iter().enumerate().filter(|(index, place)| place.kind == need.kind && open(*index));
            let keys = fits.map(|(index, place)| Reverse((key(place, place.used_milli, need), index as u32)));
            Open { need, heap: keys.collect() }
        });
        Self { places, needs: needs.collect(), used }
    }

    /// Takes one process's resources, with a place that it must have where one is given. They are told as indexes of places, with
    /// what is taken of each.
    pub fn take(&mut self, fixed: Option<usize>) -> Vec<(usize, u64)> {
        let places = self.places;
        let mut taken = Vec::new();
        for open in &mut self.needs {
            let weight = u64::from(open.need.weight_milli);
            let fixed = fixed.filter(|index| places[*index].kind == open.need.kind);
            taken.extend(open.take(fixed, places, &mut self.used).into_iter().map(|index| (index, weight)));
        }
        taken
    }

    /// Counts what a process elsewhere takes of a place.
    pub fn add_shared(&mut self, place: usize, weight_milli: u64) {
        self.used[place] += weight_milli;
    }
}

impl Open<'_> {
    fn take(&mut self, fixed: Option<usize>, places: &[Place], used: &mut [u64]) -> Vec<usize> {
        let weight = u64::from(self.need.weight_milli);
        let mut chosen: Vec<usize> = fixed.into_iter().collect();
        let mut came_up = false;
        while chosen.len() < self.need.count as usize {
            let Some(Reverse((load, index))) = self.heap.pop() else { break };
            let now = key(&places[index as usize], used[index as usize], self.need);
            if now > load {
                self.heap.push(Reverse((now, index)));
            } else if fixed != Some(index as usize) {
                chosen.push(index as usize);
            } else {
                came_up = true;
            }
        }
        for index in &chosen {
            used[*index] += weight;
            if fixed != Some(*index) || came_up {
                self.heap.push(Reverse((key(&places[*index], used[*index], self.need), *index as u32)));
            }
        }
        chosen
    }
}

/// Load of a place after one more use.
fn key(place: &Place, used_milli: u64, need: &Requirement) -> u64 {
    place_load(used_milli + u64::from(need.weight_milli), place.load)
}

/// Takes resources for a few processes that need one of each kind, by looking at every place for each of them: cheaper than heaps where
/// both are few. Kept from machine to machine, so that it allocates nothing.
#[derive(Debug, Default)]
pub struct Few {
    open: Vec<Candidate>,
}

/// A place that one of the requirements may take.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    need: usize,
    place: usize,
    used_milli: u64,
    /// Its load after one more use.
    key: u64,
}

impl Few {
    /// Beyond so many looks on one machine heaps are cheaper.
    const LOOKS_MAX: usize = 128;

    /// So many processes are few for these places. A single one always is: it looks at each place once.
    #[must_use]
    pub fn suits(&self, places: &[Place], count: u32) -> bool {
        count == 1 || places.len().saturating_mul(count as usize) <= Self::LOOKS_MAX
    }

    /// Takes the resources of so many processes.
    pub fn take(
        &mut self,
        places: &[Place],
        requirements: &[Requirement],
        open: impl Fn(usize) -> bool,
        count: u32,
        taken: &mut Vec<ResourceId>,
    ) {
        if let ([need], 1) = (requirements, count) {
            let open = places.iter().enumerate().filter(|(index, place)| place.kind == need.kind && open(*index));
            let least = open.min_by_key(|(_, place)| key(place, place.used_milli, need));
            taken.extend(least.map(|(_, place)| place.id.clone()));
            return;
        }
        self.open.clear();
        for (number, need) in requirements.iter().enumerate() {
            for (index, place) in places.iter().enumerate().filter(|(_, place)| place.kind == need.kind) {
                if open(index) {
                    let (used_milli, key) = (place.used_milli, key(place, place.used_milli, need));
                    self.open.push(Candidate { need: number, place: index, used_milli, key });
                }
            }
        }
        for _ in 0..count {
            for (number, need) in requirements.iter().enumerate() {
                let open = self.open.iter().filter(|candidate| candidate.need == number);
                let Some(least) = open.min_by_key(|candidate| candidate.key).map(|candidate| candidate.place) else {
                    continue;
                };
                taken.push(places[least].id.clone());
                // Another requirement may be of the same kind.
                for candidate in self.open.iter_mut().filter(|candidate| candidate.place == least) {
                    candidate.used_milli += u64::from(need.weight_milli);
                    candidate.key = key(&places[least], candidate.used_milli, &requirements[candidate.need]);
                }
            }
        }
    }
}

/// Open places of a kind, in order.
pub fn open_places<'a>(
    places: &'a [Place],
    kind: ResourceKind,
    open: impl Fn(usize) -> bool + 'a,
) -> impl Iterator<Item = usize> + 'a {
    places.iter().enumerate().filter(move |(index, place)| place.kind == kind && open(*index)).map(|(index, _)| index)
}
