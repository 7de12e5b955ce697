//! Placement process by process: where one choice changes what another machine offers, or each process has machines to avoid.
//!
//! A resource that several machines reach fills on all of them when one of them uses it. Loads only rise, so a key of the heap that
//! is too low by then is corrected when it comes up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use muster_model::{ProcessNumber, ResourceId};

use super::How;
use super::gangs::{Members, take_role};
use super::loads::Loads;
use super::offer::Offer;
use super::share::{Heap, least_loaded};
use super::take::Taker;
use crate::core::event::Placement;
use crate::core::job::Member;

/// A place: machine among those that may be used, and index of its place there.
pub type At = (usize, usize);

/// The other paths of places that several machines reach.
pub type Paths = BTreeMap<At, Vec<At>>;

/// Places processes one by one.
pub struct Stepper<'a> {
    offers: &'a [Offer<'a>],
    how: How<'a>,
    loads: Loads,
    heap: Heap,
    takers: BTreeMap<usize, Taker<'a>>,
    paths: Paths,
    /// What was used elsewhere of places whose machine has no taker yet.
    pending: BTreeMap<At, u64>,
}

impl<'a> Stepper<'a> {
    /// Over these machines, with their loads.
    #[must_use]
    pub fn new(offers: &'a [Offer<'a>], loads: Loads, paths: Paths, how: How<'a>) -> Self {
        let heap = least_loaded(&loads, loads.len());
        Self { offers, how, loads, heap, takers: BTreeMap::new(), paths, pending: BTreeMap::new() }
    }

    /// Places one process on the least loaded machine that need not be avoided; none where all must be.
    pub fn step(&mut self, avoid: impl Fn(usize) -> bool) -> Option<(usize, Vec<ResourceId>)> {
        let mut avoided = Vec::new();
        let mut found = None;
        while let Some(Reverse((load, machine))) = self.heap.pop() {
            let now = self.loads.after(machine as usize, 1);
            if now > load {
                self.heap.push(Reverse((now, machine)));
            } else if avoid(machine as usize) {
                avoided.push(Reverse((load, machine)));
            } else {
                found = Some(machine as usize);
                break;
            }
        }
        self.heap.extend(avoided);
        let machine = found?;
        let taken = self.take(machine);
        self.loads.add(machine, 1);
        self.heap.push(Reverse((self.loads.after(machine, 1), machine as u32)));
        Some((machine, taken))
    }

    fn take(&mut self, machine: usize) -> Vec<ResourceId> {
        let found = &self.offers[machine];
        let (how, pending) = (self.how, &self.pending);
        let taker = self.takers.entry(machine).or_insert_with(|| {
            let mut taker = Taker::new(found.places, how.requirements, |place| (how.open)(found, place));
            for ((_, place), weight) in pending.range((machine, 0)..(machine + 1, 0)) {
                taker.add_shared(*place, *weight);
            }
            taker
        });
        let taken = taker.take(None);
        for (place, weight) in &taken {
            let kind = found.places[*place].kind;
            for (other, there) in self.paths.get(&(machine, *place)).into_iter().flatten() {
                self.loads.add_shared(*other, kind, *weight);
                match self.takers.get_mut(other) {
                    Some(taker) => taker.add_shared(*there, *weight),
                    None => *self.pending.entry((*other, *there)).or_default() += weight,
                }
            }
        }
        taken.into_iter().map(|(place, _)| found.places[place].id.clone()).collect()
    }

    /// Places a whole job, or as many whole gangs as its processes make. Returns its placements, and the loads after them.
    #[must_use]
    pub fn job(mut self, roles: usize, processes: u32) -> (Vec<Placement>, Loads) {
        let mut placed: Vec<(u32, Member)> = Vec::new();
        let mut resources: Vec<Vec<ResourceId>> = vec![Vec::new(); self.offers.len()];
        let mut held = vec![0; self.offers.len() * roles.max(1)];
        let (each, gangs) = (roles.max(1), processes / roles.max(1) as u32);
        for gang in 1..=gangs {
            let mut chosen: Vec<usize> = Vec::with_capacity(each);
            let mut open: Vec<u32> = (0..each as u32).collect();
            for _ in 0..each {
                let Some((machine, taken)) = self.step(|machine| chosen.contains(&machine)) else { break };
                let role = take_role(&mut open, &mut held[machine * each..][..each]);
                placed.push((machine as u32, Member { gang, role }));
                resources[machine].extend(taken);
                chosen.push(machine);
            }
        }
        let mut members = Members::sorted(self.offers.len(), placed);
        if roles == 0 {
            members.members.clear();
        }
        let all = |_: &Offer<'_>, machine: usize, all: &mut Vec<ResourceId>| all.append(&mut resources[machine]);
        (super::number(self.offers, &members, self.how.each(), all), self.loads)
    }

    /// Places one process, as a placement of its own.
    pub fn seat(&mut self, avoid: impl Fn(&Offer<'_>) -> bool) -> Option<Placement> {
        let offers = self.offers;
        let (machine, resources) = self.step(|machine| avoid(&offers[machine]))?;
        Some(super::on(&offers[machine], ProcessNumber(0), 1, resources.into(), Vec::new()))
    }
}
