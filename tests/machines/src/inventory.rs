//! What probing finds on a simulated machine.

use muster_model::MachineId;
use muster_proto::v1::{Inventory, Resource, ResourceKind};

use crate::boot::Running;
use crate::storage::{Disks, device_of};

/// CPUs of a simulated machine.
const CPUS: u32 = 8;
/// Disks of a simulated machine.
const DISKS: u32 = 2;
const GIB: u64 = 1 << 30;

/// Everything of one machine, in one of its boots.
pub(crate) fn inventory(id: &MachineId, boot_id: String, running: &Running, disks: &Disks) -> Inventory {
    let resource = |id: String, kind: ResourceKind, device_type: &str, size: u64| Resource {
        id,
        kind: kind.into(),
        device_type: device_type.into(),
        size,
        ..Resource::default()
    };
    let mut resources: Vec<Resource> =
        (0..CPUS).map(|n| resource(format!("cpu{n}"), ResourceKind::Cpu, "simulated CPU", 0)).collect();
    resources.extend((1..=DISKS).map(|n| {
        let disk = resource(format!("disk-{n}"), ResourceKind::Disk, "simulated disk", 100 * GIB);
        Resource { path: device_of(&disk.id), ..disk }
    }));
    disks.show(&mut resources);
    resources.push(resource("memory".into(), ResourceKind::Memory, "", 16 * GIB));
    resources.push(resource("nic-eth0".into(), ResourceKind::Nic, "simulated NIC", 10_000_000_000));
    Inventory {
        architecture: "x86_64".into(),
        kernel_release: running.release.clone(),
        kernel_build_id: running.build_id.clone(),
        boot_id,
        memory_bytes: 16 * GIB,
        machine_type: "simulated".into(),
        resources,
        host_name: id.to_string(),
    }
}
