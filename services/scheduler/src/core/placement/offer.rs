//! What placement sees of a machine: which it is, what its agent compares, and its places.

use muster_model::{Epoch, MachineId, Position};

use crate::core::machine::{Machine, Place};

/// A machine that processes may be placed on.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Which.
    pub machine: &'a MachineId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Position in MACHINES of what is known of it.
    pub generation: Position,
    /// Its places, sorted by id.
    pub places: &'a [Place],
}

impl<'a> From<&'a Machine> for Offer<'a> {
    fn from(machine: &'a Machine) -> Self {
        let Machine { seen, places, .. } = machine;
        Self { machine: &seen.machine, epoch: seen.epoch, generation: seen.generation, places }
    }
}

/// Machines that processes may be placed on, sorted by id.
pub trait Offers {
    /// One of them, by its number among them.
    fn offer(&self, machine: usize) -> Offer<'_>;
}

impl Offers for [Offer<'_>] {
    fn offer(&self, machine: usize) -> Offer<'_> {
        self[machine]
    }
}
