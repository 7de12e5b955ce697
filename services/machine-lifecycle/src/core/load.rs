//! Load numbers: how many processes fit comfortably on a resource at once, by its device type.

use super::{ResourceKind, State};

/// What a load number is set for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadKey {
    /// Type of resource.
    pub kind: ResourceKind,
    /// Device type; empty is the default for the kind.
    pub device_type: String,
}

/// Defaults per kind. A logical CPU is shared by 8 mostly waiting test processes; a disk keeps 32 requests in flight (the depth of
/// a SATA queue); a NIC feeds 16 streams before they starve one another; memory as a whole takes 64 processes.
pub const DEFAULT_LOADS: [(ResourceKind, u32); 4] =
    [(ResourceKind::Cpu, 8), (ResourceKind::Disk, 32), (ResourceKind::Nic, 16), (ResourceKind::Memory, 64)];

impl State {
    /// All load numbers: those that were set, and the defaults of the kinds where none was.
    #[must_use]
    pub fn all_load_numbers(&self) -> Vec<(LoadKey, u32)> {
        let defaults = DEFAULT_LOADS.map(|(kind, load)| (LoadKey { kind, device_type: String::new() }, load));
        let mut numbers = std::collections::BTreeMap::from(defaults);
        numbers.extend(self.load_numbers.iter().map(|(key, load)| (key.clone(), *load)));
        numbers.into_iter().collect()
    }
}
