//! Placement: which processes go to which machine, and to which of its resources.
//!
//! Least loaded first, by requirement, load numbers and what already runs, ties by order, fixed point: the same problem has the same
//! solution on every replica. A machine is as loaded as the kind that is loaded most there, so a module that needs two kinds
//! overloads neither. Load numbers are weights, not limits: beyond them a machine is merely loaded more. Not responsible for which
//! machines may be used (fit.rs).

pub mod gangs;
pub mod loads;
pub mod offer;
pub mod share;
pub mod step;
pub mod take;

use std::sync::Arc;

use muster_model::{ProcessNumber, ResourceId};

use self::gangs::Members;
use self::loads::Loads;
use self::offer::{Offer, Offers};
use self::take::{Few, Taker};
use super::event::Placement;
use super::job::Member;
use super::machine::Machine;
use super::module::Requirement;
use super::resources::Resources;

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

/// How processes take resources of their machine.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// What one process needs.
    pub requirements: &'a [Requirement],
    /// Which places of a machine may be used.
    pub open: &'a dyn Fn(&Offer<'_>, usize) -> bool,
}

impl How<'_> {
    /// How many resources each process takes.
    fn each(&self) -> usize {
        self.requirements.iter().map(|need| need.count as usize).sum()
    }
}

/// Solves a problem; nothing is placed where there is no machine, and no gang where there are fewer machines than roles.
#[must_use]
pub fn place(problem: &Problem<'_>) -> Solution {
    let mut loads = Loads::of(problem.machines, problem.requirements);
    let members = spread(&mut loads, problem.roles, problem.processes);
    let how = How { requirements: problem.requirements, open: &|_, _| true };
    let offers: Vec<Offer<'_>> = problem.machines.iter().map(|machine| Offer::from(*machine)).collect();
    Solution { placements: build(&offers[..], &members, how), balance_milli: loads.balance_milli() }
}

/// Spreads processes, or as many whole gangs as they make, over machines. The loads are those after it.
#[must_use]
pub fn spread(loads: &mut Loads, roles: usize, processes: u32) -> Members {
    match processes.checked_div(roles as u32) {
        None => Members::none(share::shares(loads, processes)),
        Some(count) => gangs::gangs(loads, roles, count),
    }
}

/// Takes resources on each machine, the least loaded first, and numbers the processes machine by machine.
#[must_use]
pub fn build(offers: &(impl Offers + ?Sized), members: &Members, how: How<'_>) -> Vec<Placement> {
    let mut few = Few::default();
    number(offers, members, how.each(), |offer, machine, taken| {
        take(offer, members.counts[machine], how, &mut few, taken);
    })
}

/// The same where each machine has places that its processes are counted on, in turn.
#[must_use]
pub fn build_on(offers: &[Offer<'_>], members: &Members, counted: &[Vec<usize>], how: How<'_>) -> Vec<Placement> {
    number(offers, members, how.each(), |offer, machine, taken| {
        let mut taker = Taker::new(offer.places, how.requirements, |place| (how.open)(offer, place));
        for place in counted[machine].iter().cycle().take(members.counts[machine] as usize) {
            taken.extend(taker.take(Some(*place)).into_iter().map(|(place, _)| offer.places[place].id.clone()));
        }
    })
}

/// Numbers the processes machine by machine. First all resources are taken, into one list, then they are told.
fn number(
    offers: &(impl Offers + ?Sized),
    members: &Members,
    each: usize,
    mut take: impl FnMut(&Offer<'_>, usize, &mut Vec<ResourceId>),
) -> Vec<Placement> {
    let used = || members.counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let processes: usize = used().map(|(_, count)| *count as usize).sum();
    let mut ends = Vec::with_capacity(used().count());
    let mut taken = Vec::with_capacity(processes * each);
    for (machine, _) in used() {
        take(&offers.offer(machine), machine, &mut taken);
        ends.push(taken.len());
    }
    let taken = Arc::new(taken);
    let (mut next, mut begin) = (0, 0);
    let mut placements = Vec::with_capacity(ends.len());
    for ((machine, count), end) in used().zip(ends) {
        let here = members.members.get(next as usize..(next + count) as usize).unwrap_or_default();
        let resources = Resources::part(&taken, begin..end);
        placements.push(on(&offers.offer(machine), ProcessNumber(next + 1), *count, resources, here.to_vec()));
        (next, begin) = (next + count, end);
    }
    placements
}

/// Takes resources for so many processes on one machine.
fn take(offer: &Offer<'_>, count: u32, how: How<'_>, few: &mut Few, taken: &mut Vec<ResourceId>) {
    let open = |place| (how.open)(offer, place);
    if how.each() == how.requirements.len() && few.suits(offer.places, count) {
        few.take(offer.places, how.requirements, open, count, taken);
        return;
    }
    let mut taker = Taker::new(offer.places, how.requirements, open);
    for _ in 0..count {
        taken.extend(taker.take(None).into_iter().map(|(place, _)| offer.places[place].id.clone()));
    }
}

fn on(offer: &Offer<'_>, first: ProcessNumber, count: u32, resources: Resources, members: Vec<Member>) -> Placement {
    Placement {
        machine: offer.machine.clone(),
        epoch: offer.epoch,
        machine_generation: offer.generation,
        first,
        count,
        resources,
        members,
    }
}
