//! Drivers of power and of snapshots: what is done to a machine from outside, by programs, controllers and hypervisors. Notices to people
//! go the same ways: by programs, HTTP and mail.
//!
//! Responsible for doing one thing to one machine, within a deadline, and for looking at what came of it. Not for when, how often, how many
//! at once, nor for who may: that is machine-lifecycle. Nothing here keeps a state, so any service may be its own successor.

mod act;
mod command;
mod deadline;
mod direct;
mod driver;
mod error;
mod http;
mod ipmitool;
mod libvirt;
mod manual;
pub mod notice;
mod program;
mod qemu;
mod redfish;
mod restore;
mod secret;
pub mod simulated;
mod tls;

pub use act::{Acted, Outcome, Pace, act_and_read_back};
pub use deadline::Deadline;
pub use direct::{DirectBoot, direct_power_driver};
pub use driver::{Answer, Done, PowerDriver, SnapshotDriver};
pub use error::DriverError;
pub use restore::{Restored, restore_and_read_back};

use muster_model::power::{PowerMeans, SnapshotMeans};
use muster_model::{MachineId, PowerSpec, SnapshotSpec};

/// The driver of a machine's power.
#[must_use]
pub fn power_driver(spec: &PowerSpec, machine: &MachineId) -> Box<dyn PowerDriver> {
    match &spec.means {
        PowerMeans::Command(command) => Box::new(command::Power::new(spec, command, machine)),
        PowerMeans::Ipmitool(ipmitool) => Box::new(ipmitool::Power::new(ipmitool, machine)),
        PowerMeans::Libvirt(libvirt) => Box::new(libvirt::Power::new(libvirt, machine)),
        PowerMeans::Manual => Box::new(manual::Power::new(spec)),
        PowerMeans::Qemu(qemu) => Box::new(qemu::Power::new(spec, qemu, machine)),
        PowerMeans::Redfish(redfish) => Box::new(redfish::Power::new(redfish, machine)),
        PowerMeans::Simulated(simulated) => Box::new(simulated::Power::new(simulated, machine)),
    }
}

/// Where the driver of a machine's power writes its memory for a dump; none where it only interrupts the machine.
#[must_use]
pub fn dump_file(spec: &PowerSpec, machine: &MachineId) -> Option<std::path::PathBuf> {
    match &spec.means {
        PowerMeans::Libvirt(libvirt) => libvirt.dump_file.as_ref().map(|file| file.fill(machine).into()),
        PowerMeans::Qemu(qemu) => qemu.dump_file.as_ref().map(|file| file.fill(machine).into()),
        PowerMeans::Simulated(simulated) => Some(simulated::Power::new(simulated, machine).memory()),
        PowerMeans::Command(_) | PowerMeans::Ipmitool(_) | PowerMeans::Manual | PowerMeans::Redfish(_) => None,
    }
}

/// The driver of a machine's snapshot.
#[must_use]
pub fn snapshot_driver(spec: &SnapshotSpec, machine: &MachineId) -> Box<dyn SnapshotDriver> {
    match &spec.means {
        SnapshotMeans::Command(command) => Box::new(command::Snapshot::new(spec, command, machine)),
        SnapshotMeans::Libvirt(libvirt) => Box::new(libvirt::Snapshot::new(libvirt, machine)),
        SnapshotMeans::Manual => Box::new(manual::Snapshot::new(spec)),
        SnapshotMeans::Qemu(qemu) => Box::new(qemu::Snapshot::new(qemu, machine)),
        SnapshotMeans::QemuOverlay(overlay) => Box::new(qemu::Overlay::new(overlay, machine)),
        SnapshotMeans::Simulated(simulated) => Box::new(simulated::Snapshot::new(simulated, machine)),
    }
}
