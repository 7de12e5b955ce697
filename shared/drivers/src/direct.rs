//! A kernel that QEMU starts from outside of the machine, once: the words are in the call that starts it, and nowhere else.

use std::path::PathBuf;

use muster_model::power::PowerMeans;
use muster_model::{MachineId, PowerSpec};

use crate::{PowerDriver, qemu};

/// What QEMU is to start instead of what the machine boots by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    /// The image.
    pub image: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The whole command line.
    pub command_line: String,
}

impl DirectBoot {
    /// Arguments of QEMU, behind those that a start has anyway.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let initrd = self.initrd.iter().flat_map(|initrd| ["-initrd".to_owned(), text(initrd)]);
        let kernel = ["-kernel".to_owned(), text(&self.image)];
        let line = ["-append".to_owned(), self.command_line.clone()];
        kernel.into_iter().chain(initrd).chain(line).collect()
    }
}

/// The driver of a machine's power whose every start takes a kernel from outside; none where the setting does not provide for it.
#[must_use]
pub fn direct_power_driver(spec: &PowerSpec, machine: &MachineId, boot: &DirectBoot) -> Option<Box<dyn PowerDriver>> {
    match &spec.means {
        PowerMeans::Qemu(qemu) if qemu.direct.is_some() => {
            Some(Box::new(qemu::Power::new(spec, qemu, machine).direct(boot)))
        }
        PowerMeans::Qemu(_)
        | PowerMeans::Command(_)
        | PowerMeans::Ipmitool(_)
        | PowerMeans::Libvirt(_)
        | PowerMeans::Manual
        | PowerMeans::Redfish(_)
        | PowerMeans::Simulated(_) => None,
    }
}
