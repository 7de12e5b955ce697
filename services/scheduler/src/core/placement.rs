//! Placement: which processes go to which machine, and to which of its resources.
//!
//! Least loaded first, by requirement, load numbers and what already runs; one heap of machines, ties by ordinal, fixed point:
//! the same problem has the same solution on every replica. Load numbers are weights, not limits: beyond them a machine is
//! merely loaded more. Not responsible for which machines may be used (fit.rs).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use muster_model::{ResourceId, ResourceKind};

use super::event::Placement;
use super::machine::{Machine, Total};
use super::module::Requirement;

/// Fraction bits of a load: 1.0 = every place taken once.
const FRACTION_BITS: u32 = 20;

/// What is to be placed.
#[derive(Debug)]
pub struct Problem<'a> {
    /// What one process needs.
    pub requirements: &'a [Requirement],
    /// Machines that may be used and fit, sorted by id.
    pub machines: &'a [&'a Machine],
    /// How many processes.
    pub processes: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// Placement, sorted by machine.
    pub placements: Vec<Placement>,
    /// Greatest load of a machine over the mean, thousandths.
    pub balance_milli: u64,
}

/// Solves a problem; nothing is placed where there is no machine.
#[must_use]
pub fn place(problem: &Problem<'_>) -> Solution {
    let mut loads: Vec<MachineLoad> =
        problem.machines.iter().map(|machine| MachineLoad::new(machine, problem.requirements)).collect();
    let mut placed: Vec<Vec<Vec<ResourceId>>> = vec![Vec::new(); loads.len()];
    let keys = loads.iter().enumerate().map(|(ordinal, load)| Reverse((load.after_one(problem.requirements), ordinal)));
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> = keys.collect();
    for _ in 0..problem.processes {
        let Some(mut least) = heap.peek_mut() else { break };
        let ordinal = least.0.1;
        placed[ordinal].push(loads[ordinal].take(problem.machines[ordinal], problem.requirements));
        // Writing through the peek moves it to its new place when `least` is dropped.
        least.0.0 = loads[ordinal].after_one(problem.requirements);
    }
    let placements = number(problem.machines, placed);
    Solution { placements, balance_milli: balance(&loads, problem.requirements) }
}

/// Gives process numbers, machine by machine.
fn number(machines: &[&Machine], placed: Vec<Vec<Vec<ResourceId>>>) -> Vec<Placement> {
    let mut next = 1;
    let mut placements = Vec::new();
    for (machine, processes) in machines.iter().zip(placed) {
        if processes.is_empty() {
            continue;
        }
        let first = muster_model::ProcessNumber(next);
        next += processes.len() as u32;
        placements.push(Placement {
            machine: machine.seen.machine.clone(),
            epoch: machine.seen.epoch,
            machine_generation: machine.seen.generation,
            first,
            processes,
        });
    }
    placements
}

/// Greatest load over the mean, thousandths; 1000 where nothing is loaded.
fn balance(loads: &[MachineLoad], requirements: &[Requirement]) -> u64 {
    let (sum, greatest) = loads.iter().fold((0_u128, 0_u128), |(sum, greatest), load| {
        let now = u128::from(load.now(requirements));
        (sum + now, greatest.max(now))
    });
    if sum == 0 {
        return 1000;
    }
    u64::try_from(greatest * 1000 * loads.len() as u128 / sum).unwrap_or(u64::MAX)
}

/// Load of one machine, by what a problem looks at.
#[derive(Debug)]
struct MachineLoad {
    /// Sums of each kind.
    totals: [Total; ResourceKind::ALL.len()],
    /// Used thousandths of each place; empty until the machine is chosen.
    used: Vec<u64>,
}

impl MachineLoad {
    /// Processes that need nothing are counted as one place of a CPU each.
    fn new(machine: &Machine, requirements: &[Requirement]) -> Self {
        let mut totals = machine.totals;
        if requirements.is_empty() {
            let bare = &mut totals[ResourceKind::Cpu as usize];
            bare.used_milli = machine.live.len() as u64 * 1000;
            bare.capacity_milli = bare.capacity_milli.max(1000);
        }
        Self { totals, used: Vec::new() }
    }

    /// Load of the requirement that is loaded most.
    fn now(&self, requirements: &[Requirement]) -> u64 {
        self.with(requirements, 0)
    }

    /// The same after one more process: what machines are chosen by.
    fn after_one(&self, requirements: &[Requirement]) -> u64 {
        self.with(requirements, 1)
    }

    fn with(&self, requirements: &[Requirement], more: u64) -> u64 {
        let load = |kind: ResourceKind, taken: u64| {
            let total = self.totals[kind as usize];
            fraction(total.used_milli + taken * more, total.capacity_milli)
        };
        if requirements.is_empty() {
            return load(ResourceKind::Cpu, 1000);
        }
        requirements.iter().map(|need| load(need.kind, taken(need))).max().unwrap_or(0)
    }

    /// Takes one process's resources: of each kind the least loaded, all different.
    fn take(&mut self, machine: &Machine, requirements: &[Requirement]) -> Vec<ResourceId> {
        if requirements.is_empty() {
            self.totals[ResourceKind::Cpu as usize].used_milli += 1000;
            return Vec::new();
        }
        if self.used.is_empty() {
            self.used = machine.places.iter().map(|place| place.used_milli).collect();
        }
        let mut chosen: Vec<usize> = Vec::new();
        for need in requirements {
            self.totals[need.kind as usize].used_milli += taken(need);
            let weight = u64::from(need.weight_milli);
            for _ in 0..need.count {
                let open = machine
                    .places
                    .iter()
                    .enumerate()
                    .filter(|(index, place)| place.kind == need.kind && !chosen.contains(index));
                let least = open
                    .min_by_key(|(index, place)| (fraction(self.used[*index] + weight, capacity(place.load)), *index));
                let Some((index, _)) = least else { break };
                self.used[index] += weight;
                chosen.push(index);
            }
        }
        chosen.into_iter().map(|index| machine.places[index].id.clone()).collect()
    }
}

fn taken(need: &Requirement) -> u64 {
    u64::from(need.weight_milli) * u64::from(need.count)
}

fn capacity(load: u32) -> u64 {
    u64::from(load) * 1000
}

/// `used / capacity` in fixed point, saturating.
fn fraction(used: u64, capacity: u64) -> u64 {
    used.checked_shl(FRACTION_BITS).filter(|shifted| shifted >> FRACTION_BITS == used).unwrap_or(u64::MAX)
        / capacity.max(1)
}
