//! What selectors see of a machine.

use std::borrow::Cow;

use muster_model::{Facts, MachineId, ResourceKind, Selector};

use super::{Machine, State};

/// A machine with its name, as a selector looks at it.
#[derive(Debug, Clone, Copy)]
pub struct MachineFacts<'a> {
    /// Its name.
    pub id: &'a MachineId,
    /// The machine.
    pub machine: &'a Machine,
}

impl Facts for MachineFacts<'_> {
    fn name(&self) -> &str {
        self.id.as_str()
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        if key == "tag" {
            return self.machine.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect();
        }
        let Some(inventory) = &self.machine.inventory else { return Vec::new() };
        let value: Cow<'_, str> = match key {
            "arch" => inventory.architecture.as_str().into(),
            "type" => inventory.machine_type.as_str().into(),
            "kernel" => inventory.kernel_release.as_str().into(),
            "cpus" => inventory.count(ResourceKind::Cpu).to_string().into(),
            "memory" => inventory.memory_bytes.to_string().into(),
            "disks" => inventory.count(ResourceKind::Disk).to_string().into(),
            "nics" => inventory.count(ResourceKind::Nic).to_string().into(),
            _ => return Vec::new(),
        };
        vec![value]
    }
}

impl State {
    /// The machines that a selector names, in order of their ids.
    pub fn selected<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = (&'a MachineId, &'a Machine)> {
        self.machines.iter().filter(|(id, machine)| selector.matches(&MachineFacts { id, machine }))
    }
}
