//! Gangs: one process for each role, all on different machines, whole or not at all.

use std::cmp::Reverse;

use super::loads::Loads;
use super::share::least_loaded;
use crate::core::job::Member;

/// Who is where: for each machine its members, in the order in which they were placed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// How many each machine has.
    pub counts: Vec<u32>,
    /// Their gangs and roles, machine by machine.
    pub members: Vec<Member>,
}

impl Members {
    /// Of processes that do not know each other.
    #[must_use]
    pub fn none(counts: Vec<u32>) -> Self {
        Self { counts, members: Vec::new() }
    }

    /// From (machine, member), in the order in which they were placed.
    pub(super) fn sorted(machines: usize, mut placed: Vec<(u32, Member)>) -> Self {
        let mut counts = vec![0; machines];
        for (machine, _) in &placed {
            counts[*machine as usize] += 1;
        }
        placed.sort_by_key(|(machine, member)| (*machine, member.gang));
        Self { counts, members: placed.into_iter().map(|(_, member)| member).collect() }
    }
}

/// Places gangs: each takes the machines that are least loaded after one more process, all different. None where there are fewer
/// machines than roles. The loads are those after it.
#[must_use]
pub fn gangs(loads: &mut Loads, roles: usize, gangs: u32) -> Members {
    let machines = loads.len();
    if machines < roles {
        return Members { counts: vec![0; machines], members: Vec::new() };
    }
    let mut heap = least_loaded(loads, roles.saturating_mul(gangs as usize));
    let mut held = vec![0_u32; machines * roles];
    let mut placed = Vec::with_capacity(roles * gangs as usize);
    let mut chosen = Vec::with_capacity(roles);
    for gang in 1..=gangs {
        chosen.clear();
        chosen.extend((0..roles).filter_map(|_| heap.pop()).map(|Reverse((_, machine))| machine));
        let mut open: Vec<u32> = (0..roles as u32).collect();
        for machine in &chosen {
            let role = take_role(&mut open, &mut held[*machine as usize * roles..][..roles]);
            placed.push((*machine, Member { gang, role }));
            loads.add(*machine as usize, 1);
            heap.push(Reverse((loads.after(*machine as usize, 1), *machine)));
        }
    }
    Members::sorted(machines, placed)
}

/// The open role of which a machine has fewest: so each machine has its share of every role.
pub(super) fn take_role(open: &mut Vec<u32>, held: &mut [u32]) -> u32 {
    let least = (0..open.len()).min_by_key(|index| (held[open[*index] as usize], open[*index])).unwrap_or(0);
    let role = open.remove(least);
    held[role as usize] += 1;
    role
}

/// Forms gangs of machines that have so many processes each. Members of the process at position `p` of all are in gang `p` modulo
/// the number of gangs, so a machine with no more processes than there are gangs has each gang once at most.
///
/// # Errors
/// The machine that has more processes than there would be gangs.
pub fn form(counts: Vec<u32>, roles: usize) -> Result<Members, usize> {
    let total: u32 = counts.iter().sum();
    let gangs = total / roles.max(1) as u32;
    if let Some(machine) = counts.iter().position(|count| *count > gangs) {
        return Err(machine);
    }
    let roles = roles as u32;
    let members = (0..gangs * roles)
        .map(|position| Member { gang: position % gangs + 1, role: (position / gangs + position % gangs) % roles });
    Ok(Members { members: members.collect(), counts })
}
