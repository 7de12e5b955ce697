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

use muster_model::{ProcessNumber, ResourceId};

use self::gangs::Members;
use self::loads::Loads;
use self::offer::Offer;
use self::take::{Few, Taker};
use super::event::Placement;
use super::machine::{Machine, Place};
use super::module::Requirement;

/// Machines whose places are read ahead of their turn.
const AHEAD: usize = 16;

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

/// Solves a problem; nothing is placed where there is no machine, and no gang where there are fewer machines than roles.
#[must_use]
pub fn place(problem: &Problem<'_>) -> Solution {
    let mut loads = Loads::of(problem.machines, problem.requirements);
    let members = spread(&mut loads, problem.roles, problem.processes);
    let how = How { requirements: problem.requirements, open: &|_, _| true };
    let offers: Vec<Offer<'_>> = problem.machines.iter().map(|machine| Offer::from(*machine)).collect();
    Solution { placements: build(&offers, &members, how), balance_milli: loads.balance_milli() }
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
pub fn build(offers: &[Offer<'_>], members: &Members, how: How<'_>) -> Vec<Placement> {
    let mut few = Few::default();
    number(offers, members, |index| resources(&offers[index], members.counts[index], how, &mut few))
}

/// The same where each machine has places that its processes are counted on, in turn.
#[must_use]
pub fn build_on(offers: &[Offer<'_>], members: &Members, counted: &[Vec<usize>], how: How<'_>) -> Vec<Placement> {
    number(offers, members, |index| {
        let (offer, places) = (&offers[index], &counted[index]);
        let mut taker = Taker::new(offer.places, how.requirements, |place| (how.open)(offer, place));
        let turns = places.iter().cycle().take(members.counts[index] as usize);
        let taken = turns.flat_map(|place| taker.take(Some(*place)));
        taken.map(|(place, _)| offer.places[place].id.clone()).collect()
    })
}

/// Numbers the processes machine by machine.
fn number(
    offers: &[Offer<'_>],
    members: &Members,
    mut resources: impl FnMut(usize) -> Vec<ResourceId>,
) -> Vec<Placement> {
    let mut next = 0;
    let used: Vec<usize> = (0..offers.len()).filter(|index| members.counts[*index] > 0).collect();
    let mut placements = Vec::with_capacity(used.len());
    for ahead in used.chunks(AHEAD) {
        read_ahead(ahead.iter().map(|index| offers[*index].places));
        for index in ahead {
            let count = members.counts[*index];
            let here = members.members.get(next as usize..(next + count) as usize).unwrap_or_default();
            placements.push(on(&offers[*index], ProcessNumber(next + 1), count, resources(*index), here.to_vec()));
            next += count;
        }
    }
    placements
}

/// Reads the places of some machines at once: memory answers many questions in the time of one, where one hangs on no other.
fn read_ahead<'a>(machines: impl Iterator<Item = &'a [Place]>) {
    std::hint::black_box(machines.flatten().map(|place| place.used_milli).fold(0, u64::wrapping_add));
}

/// Resources for so many processes on one machine.
fn resources(offer: &Offer<'_>, count: u32, how: How<'_>, few: &mut Few) -> Vec<ResourceId> {
    let each: usize = how.requirements.iter().map(|need| need.count as usize).sum();
    let mut taken = Vec::with_capacity(each * count as usize);
    let open = |place| (how.open)(offer, place);
    if each == how.requirements.len() && few.suits(offer.places, count) {
        few.take(offer.places, how.requirements, open, count, &mut taken);
        return taken;
    }
    let mut taker = Taker::new(offer.places, how.requirements, open);
    for _ in 0..count {
        taken.extend(taker.take(None).into_iter().map(|(place, _)| offer.places[place].id.clone()));
    }
    taken
}

fn on(
    offer: &Offer<'_>,
    first: ProcessNumber,
    count: u32,
    resources: Vec<ResourceId>,
    members: Vec<super::job::Member>,
) -> Placement {
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
