//! The fold of MACHINES.

use std::collections::BTreeMap;

use muster_model::{Epoch, Incarnation, KernelName, MachineId};

use super::power::Hold;
use super::{Kernel, LoadKey, Machine};

/// What outlives the record of a removed machine: its numbers never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Its highest epoch.
    pub epoch: Epoch,
    /// Its highest incarnation.
    pub incarnation: Incarnation,
}

/// Everything that the log says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Machines by id.
    pub machines: BTreeMap<MachineId, Machine>,
    /// Load numbers that were set.
    pub load_numbers: BTreeMap<LoadKey, u32>,
    /// Removed machines.
    pub removed: BTreeMap<MachineId, Past>,
    /// Kernels by name.
    pub kernels: BTreeMap<KernelName, Kernel>,
    /// All power operations and reboots are held.
    pub hold: Option<Hold>,
}
