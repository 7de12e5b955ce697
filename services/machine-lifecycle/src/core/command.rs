//! What people ask for. Each command may be refused, and then changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_model::{BootDriver, Flag, KernelName, MachineId, PowerSpec, Selector, SnapshotSpec};

use super::power::PowerTask;
use super::{Cleaning, Kernel, LoadKey, StorageOrdering};

/// A command.
#[derive(Debug, Clone)]
pub enum Command {
    /// Set a flag of machines.
    SetFlag(FlagSetting),
    /// Forget a retired machine.
    Remove(MachineId),
    /// Hide resources from tests, or give them to testing.
    SetProtection(ProtectionSetting),
    /// Change tags.
    SetTags(TagSetting),
    /// Set load numbers, all or none: processes that fit at once.
    SetLoadNumbers(Vec<(LoadKey, u32)>),
    /// Name machines before they appear.
    LoadPool(Vec<PoolEntry>),
    /// Take a kernel into the list.
    AddKernel(Box<Kernel>),
    /// Take a kernel out of the list.
    RemoveKernel(KernelName),
    /// Change how machines are booted.
    SetSettings {
        /// Of which machines.
        selector: Selector,
        /// What changes.
        change: Box<SettingsChange>,
    },
    /// Boot machines.
    Boot(BootOrder),
    /// Do something to the power or the snapshot of machines.
    Power(PowerOrdering),
    /// Hold all power operations and reboots, or let them go on.
    Hold(HoldSetting),
    /// Prepare a disk as a test area, or back.
    Storage(StorageOrdering),
}

/// Do something to the power or the snapshot of all machines that a selector names.
#[derive(Debug, Clone)]
pub struct PowerOrdering {
    /// Machines.
    pub selector: Selector,
    /// What.
    pub task: PowerTask,
    /// A person has done what was asked of them.
    pub done: bool,
    /// Who orders it.
    pub actor: String,
}

/// Hold all power operations and reboots, or let them go on.
#[derive(Debug, Clone)]
pub struct HoldSetting {
    /// Hold them.
    pub held: bool,
    /// Who.
    pub actor: String,
    /// Why, for people.
    pub reason: String,
}

/// Change how machines are booted and switched: what is given. Nothing, or zero, is the default.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// How they are taken into a kernel.
    pub boot_driver: Option<Option<BootDriver>>,
    /// Attempts for each order.
    pub attempts_max: Option<u32>,
    /// A kernel is installed within this.
    pub install_within: Option<Duration>,
    /// A machine is back within this.
    pub boot_within: Option<Duration>,
    /// What runs may take so long to end before a reboot.
    pub drain: Option<Duration>,
    /// How its power is switched.
    pub power: Option<Option<PowerSpec>>,
    /// How it is taken back to a snapshot.
    pub snapshot: Option<Option<SnapshotSpec>>,
    /// It is not switched by itself.
    pub leave_down: Option<bool>,
    /// What is done when a reservation gives it back.
    pub cleaning: Option<Cleaning>,
}

/// Boot all machines that a selector names.
#[derive(Debug, Clone)]
pub struct BootOrder {
    /// Machines.
    pub selector: Selector,
    /// The kernel; none is each machine's stock kernel.
    pub kernel: Option<KernelName>,
    /// Random, made outside of the core: it proves the boots of this order.
    pub nonce: String,
    /// Who orders it: machines that others hold are refused.
    pub actor: String,
}

/// Set a flag of all machines that a selector names.
#[derive(Debug, Clone)]
pub struct FlagSetting {
    /// Machines.
    pub selector: Selector,
    /// Which flag.
    pub flag: Flag,
    /// To what.
    pub value: bool,
}

/// Protect or release resources.
#[derive(Debug, Clone)]
pub struct ProtectionSetting {
    /// Machines.
    pub selector: Selector,
    /// Resource ids or globs.
    pub resources: Vec<String>,
    /// Protect them; else release them.
    pub protect: bool,
    /// The machines as a whole.
    pub machine: bool,
}

/// Add and take away tags.
#[derive(Debug, Clone)]
pub struct TagSetting {
    /// Machines.
    pub selector: Selector,
    /// To add.
    pub add: BTreeSet<String>,
    /// To take away.
    pub remove: BTreeSet<String>,
}

/// One entry of a pool file.
#[derive(Debug, Clone)]
pub struct PoolEntry {
    /// Machine.
    pub machine: MachineId,
    /// Resource ids or globs to protect.
    pub protect: BTreeSet<String>,
    /// Protect the machine as a whole.
    pub protect_machine: bool,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// Make it active at once.
    pub active: bool,
    /// How it is booted and switched: what the file says of it.
    pub settings: SettingsChange,
}
