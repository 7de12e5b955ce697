//! Probing: what this machine is made of. Reads /sys, /proc and the first bytes of disks; changes nothing but that test areas whose
//! file systems are not mounted any more are mounted again.

mod area;
mod cpu;
mod disk;
mod kernel;
mod nic;
mod pretended;
mod signature;
mod tape;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_proto::v1::{Inventory, Resource, ResourceKind};

use crate::disk::storage::Areas;
use crate::policy::MachinePolicy;
use crate::storage;

/// Where to look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// Directories that stand for disks; with them, no real disk or tape is looked at.
    pub directories: Vec<PathBuf>,
    /// What the machine is said to be, where that is not what its kernel says.
    pub architecture: Option<String>,
    /// Block devices that are resources beside the disks.
    pub devices: Vec<PathBuf>,
    /// Disks that are mounted as test areas.
    pub areas: Areas,
    /// Says which disks are never touched: these are no resources.
    pub policy: Option<Arc<MachinePolicy>>,
}

/// Probes the machine.
pub(crate) fn inventory(places: &Places) -> Inventory {
    let troubles = storage::restore(&places.areas);
    let of_kernel = || rustix::system::uname().machine().to_string_lossy().into_owned();
    let architecture = places.architecture.clone().unwrap_or_else(of_kernel);
    let memory_bytes = kernel::memory_bytes();
    let mut resources = cpu::resources();
    let cpus = resources.len();
    if places.directories.is_empty() {
        resources.extend(disk::resources());
        resources.extend(tape::resources());
    } else {
        resources.extend(disk::directories(&places.directories));
    }
    resources.extend(disk::devices(&places.devices));
    resources.retain(|found| places.policy.as_ref().is_none_or(|policy| !policy.is_never_touched(&found.path)));
    area::apply(&mut resources, &places.areas, &troubles);
    resources.extend(nic::resources());
    resources.push(Resource {
        id: "memory".into(),
        kind: ResourceKind::Memory.into(),
        device_type: "memory".into(),
        size: memory_bytes,
        ..Resource::default()
    });
    resources.sort_by(|a, b| a.id.cmp(&b.id));
    resources.dedup_by(|a, b| a.id == b.id);
    Inventory {
        machine_type: kernel::machine_type().unwrap_or_else(|| format!("{architecture}-{cpus}cpu")),
        architecture,
        kernel_release: kernel::release(),
        kernel_build_id: kernel::build_id().unwrap_or_default(),
        boot_id: kernel::boot_id(),
        memory_bytes,
        resources,
        host_name: crate::config::host_name(),
    }
}

/// By what a device is in use: mount points, holders, swap.
///
/// # Errors
/// When it is no block device that the system tells of.
pub(crate) fn uses_of(device: &Path) -> anyhow::Result<Vec<String>> {
    let (system, name) = disk::in_system(device)?;
    Ok(signature::uses_of(&system, &name))
}

/// Load average of one minute, thousandths.
pub(crate) fn load_milli() -> u32 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a load is small and not negative")]
    let milli = (load * 1000.0) as u32;
    milli
}

pub(crate) use kernel::{boot_id, command_line, machine_values};
pub(crate) use pretended::Pretended;

/// What a file says, without its end of line; empty where it can not be read.
fn read(path: impl AsRef<std::path::Path>) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A text as a part of a resource id.
fn cleaned(text: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':') { c } else { '-' };
    text.chars().map(clean).take(48).collect()
}
