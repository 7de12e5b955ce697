//! Placement: which processes go to which machine, and to which of its resources.
//!
//! Least loaded first, by requirement, load numbers and what already runs, ties by order, fixed point: the same problem has the same
//! solution on every replica. A machine is as loaded as the kind that is loaded most there, so a module that needs two kinds
//! overloads neither. Load numbers are weights, not limits: beyond them a machine is merely loaded more. Not responsible for which
//! machines may be used (fit.rs).

pub mod gangs;
pub mod loads;
pub mod share;
pub mod take;

use std::collections::BTreeMap;

use muster_model::{ProcessNumber, ResourceId};

use self::gangs::{Elsewhere, Members};
use self::loads::Loads;
use self::take::{Taker, take_one};
use super::event::Placement;
use super::machine::Machine;
use super::module::Requirement;

/// What is to be placed.
#[derive(Debug)]
pub struct Problem<'a> {
    /// What one process needs.
    pub requirements: &'a [Requirement],
    /// Machines that may be used and fit, sorted by id.
    pub machines: &'a [&'a Machine],
    /// How many processes.
    pub processes: u32,
    /// How many roles a gang has; 0 for processes that do not know each other.
    pub roles: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// Placement, sorted by machine.
    pub placements: Vec<Placement>,
    /// Greatest load of a machine over the mean, thousandths.
    pub balance_milli: u64,
}

/// Solves a problem; nothing is placed where there is no machine, and no gang where there are fewer machines than roles.
#[must_use]
pub fn place(problem: &Problem<'_>) -> Solution {
    let mut loads = Loads::of(problem.machines, problem.requirements);
    let members = spread(&mut loads, problem.roles, problem.processes);
    let balance_milli = loads.balance_milli();
    Solution { placements: build(problem.machines, problem.requirements, &members), balance_milli }
}

/// Spreads processes, or as many whole gangs as they make, over machines.
#[must_use]
pub fn spread(loads: &mut Loads, roles: usize, processes: u32) -> Members {
    match processes.checked_div(roles as u32) {
        None => Members { counts: share::shares(loads, processes), members: Vec::new() },
        Some(count) => gangs::gangs(loads, roles, count),
    }
}

/// Takes resources on each machine, and numbers the processes machine by machine.
fn build(machines: &[&Machine], requirements: &[Requirement], members: &Members) -> Vec<Placement> {
    let mut next = 0;
    let mut placements = Vec::new();
    for (machine, count) in machines.iter().zip(&members.counts).filter(|(_, count)| **count > 0) {
        let resources = resources(machine, requirements, *count);
        let here = members.members.get(next as usize..(next + count) as usize).unwrap_or_default();
        placements.push(on(machine, ProcessNumber(next + 1), *count, resources, here.to_vec()));
        next += count;
    }
    placements
}

/// Resources for so many processes on one machine.
fn resources(machine: &Machine, requirements: &[Requirement], count: u32) -> Vec<ResourceId> {
    let each: usize = requirements.iter().map(|need| need.count as usize).sum();
    let mut taken = Vec::with_capacity(each * count as usize);
    if count == 1 && each == requirements.len() {
        take_one(machine, requirements, |_| true, &mut taken);
        return taken;
    }
    let mut taker = Taker::new(machine, requirements, |_| true);
    (0..count).for_each(|_| taker.take(None, &mut taken));
    taken
}

fn on(
    machine: &Machine,
    first: ProcessNumber,
    count: u32,
    resources: Vec<ResourceId>,
    members: Vec<super::job::Member>,
) -> Placement {
    Placement {
        machine: machine.seen.machine.clone(),
        epoch: machine.seen.epoch,
        machine_generation: machine.seen.generation,
        first,
        count,
        resources,
        members,
    }
}

/// What machines one process may go to.
pub type Seat<'a> = Box<dyn Fn(&Machine) -> bool + 'a>;

/// Places single processes, each on the least loaded machine that it may go to; none where there is no such machine.
#[must_use]
pub fn seats(requirements: &[Requirement], machines: &[&Machine], wanted: &[Seat<'_>]) -> Vec<Option<Placement>> {
    let mut elsewhere = Elsewhere::new(Loads::of(machines, requirements));
    let mut takers: BTreeMap<usize, Taker<'_>> = BTreeMap::new();
    let mut seat = |may_take: &Seat<'_>| {
        let found = elsewhere.take(|index| !may_take(machines[index]))?;
        let taker = takers.entry(found).or_insert_with(|| Taker::new(machines[found], requirements, |_| true));
        let mut resources = Vec::new();
        taker.take(None, &mut resources);
        Some(on(machines[found], ProcessNumber(0), 1, resources, Vec::new()))
    };
    wanted.iter().map(&mut seat).collect()
}
