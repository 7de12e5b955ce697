//! Loads of machines in fixed point: how full each is, by what one process of a module needs.
//!
//! One array for each kind of resource that is needed, indexed by the machine's place among those that may be used. Integers only:
//! the same input gives the same order on every replica.

use muster_model::ResourceKind;

use crate::core::machine::{Machine, Total};
use crate::core::module::Requirement;

/// Fraction bits of a load: 1.0 = every place taken once.
const FRACTION_BITS: u32 = 20;

/// Loads of the machines that may be used.
#[derive(Debug, Clone)]
pub struct Loads {
    needs: Vec<Need>,
    machines: usize,
}

/// One kind that is needed.
#[derive(Debug, Clone)]
struct Need {
    kind: ResourceKind,
    /// Thousandths of a place that one process takes on a machine.
    taken: u64,
    /// Of each machine.
    loads: Vec<Load>,
}

/// Thousandths of places of one kind on a machine.
#[derive(Debug, Clone, Copy)]
struct Load {
    used: u64,
    capacity: u64,
}

impl Load {
    /// How full it is after so much more.
    fn after(self, more: u64) -> u64 {
        fraction(self.used + more, self.capacity)
    }

    /// How many more processes, each of which takes so much, it has room for without being loaded above `load`.
    fn room(self, taken: u64, load: u64) -> u64 {
        // The greatest use whose load is not above: floor(used * 2^20 / capacity) <= load.
        let most = ((load + 1).saturating_mul(self.capacity.max(1)) - 1) >> FRACTION_BITS;
        match most.checked_sub(self.used) {
            None => 0,
            Some(_) if taken == 0 => u64::MAX,
            Some(left) => left / taken,
        }
    }
}

/// The kinds that placement of a module looks at, and what one process takes of each. A module that needs nothing is counted as one
/// place of a CPU for each process.
pub(in crate::core) fn kinds(requirements: &[Requirement]) -> Vec<(ResourceKind, u64)> {
    if requirements.is_empty() {
        return vec![(ResourceKind::Cpu, 1000)];
    }
    requirements.iter().map(|need| (need.kind, u64::from(need.weight_milli) * u64::from(need.count))).collect()
}

/// What a module that needs nothing sees of a machine: its CPUs, and how many processes live there.
pub(in crate::core) fn bare(cpus: Total, live: usize) -> Total {
    let capacity_milli = cpus.capacity_milli.max(1000);
    Total { used_milli: live as u64 * 1000, capacity_milli, ..cpus }
}

impl Loads {
    /// No machines yet.
    #[must_use]
    pub fn new(requirements: &[Requirement], machines: usize) -> Self {
        let need = |(kind, taken)| Need { kind, taken, loads: Vec::with_capacity(machines) };
        Self { needs: kinds(requirements).into_iter().map(need).collect(), machines: 0 }
    }

    /// Loads of these machines, all of their places.
    #[must_use]
    pub fn of(machines: &[&Machine], requirements: &[Requirement]) -> Self {
        let mut loads = Self::new(requirements, machines.len());
        let kinds = kinds(requirements);
        for machine in machines {
            loads.push(kinds.iter().map(|(kind, _)| match requirements.is_empty() {
                true => bare(machine.total(*kind), machine.live.len()),
                false => machine.total(*kind),
            }));
        }
        loads
    }

    /// Adds a machine: the sums of each kind that is needed, in their order.
    pub fn push(&mut self, totals: impl Iterator<Item = Total>) {
        for (need, total) in self.needs.iter_mut().zip(totals) {
            need.loads.push(Load { used: total.used_milli, capacity: total.capacity_milli });
        }
        self.machines += 1;
    }

    /// How many machines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.machines
    }

    /// There is no machine.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machines == 0
    }

    /// Load of a machine, by the kind that is loaded most there, after so many more processes.
    #[must_use]
    pub fn after(&self, machine: usize, more: u64) -> u64 {
        self.needs.iter().map(|need| need.loads[machine].after(need.taken * more)).max().unwrap_or(0)
    }

    /// Puts processes on a machine.
    pub fn add(&mut self, machine: usize, processes: u64) {
        for need in &mut self.needs {
            need.loads[machine].used += need.taken * processes;
        }
    }

    /// Counts what a process on another machine takes of a resource that this one reaches too.
    pub fn add_shared(&mut self, machine: usize, kind: ResourceKind, weight_milli: u64) {
        for need in self.needs.iter_mut().filter(|need| need.kind == kind) {
            need.loads[machine].used += weight_milli;
        }
    }

    /// How many more processes a machine takes without being loaded above `load`.
    #[must_use]
    pub fn room(&self, machine: usize, load: u64) -> u64 {
        self.needs.iter().map(|need| need.loads[machine].room(need.taken, load)).min().unwrap_or(0)
    }

    /// The same of all machines together.
    #[must_use]
    pub fn rooms(&self, load: u64) -> u64 {
        match self.needs.as_slice() {
            [need] => need.loads.iter().map(|one| one.room(need.taken, load)).fold(0, u64::saturating_add),
            _ => (0..self.machines).map(|machine| self.room(machine, load)).fold(0, u64::saturating_add),
        }
    }

    /// Load of each machine after so many more processes on it.
    pub(super) fn all_after(&self, more: u64, mut each: impl FnMut(u64)) {
        match self.needs.as_slice() {
            [need] => need.loads.iter().for_each(|one| each(one.after(need.taken * more))),
            _ => (0..self.machines).for_each(|machine| each(self.after(machine, more))),
        }
    }

    /// Greatest load of a machine over the mean, thousandths; 1000 where nothing is loaded.
    #[must_use]
    pub fn balance_milli(&self) -> u64 {
        let (mut sum, mut greatest) = (0_u128, 0);
        self.all_after(0, |load| (sum, greatest) = (sum + u128::from(load), greatest.max(load)));
        if sum == 0 {
            return 1000;
        }
        u64::try_from(u128::from(greatest) * 1000 * self.machines as u128 / sum).unwrap_or(u64::MAX)
    }
}

/// Load of a resource after a use: thousandths of places over its load number.
pub(super) fn place_load(used_milli: u64, load: u32) -> u64 {
    fraction(used_milli, u64::from(load) * 1000)
}

/// `used / capacity` in fixed point, saturating.
fn fraction(used: u64, capacity: u64) -> u64 {
    used.checked_shl(FRACTION_BITS).filter(|shifted| shifted >> FRACTION_BITS == used).unwrap_or(u64::MAX)
        / capacity.max(1)
}
