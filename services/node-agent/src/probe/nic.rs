//! Network interfaces, without the loopback.

use muster_proto::v1::{Resource, ResourceKind};

use super::{cleaned, read};

const NICS: &str = "/sys/class/net";

/// Every network interface.
pub(super) fn resources() -> Vec<Resource> {
    let entries = std::fs::read_dir(NICS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name != "lo");
    names
        .filter(|name| std::path::Path::new(&format!("{NICS}/{name}/ifindex")).exists())
        .map(|name| resource(&name))
        .collect()
}

fn resource(name: &str) -> Resource {
    let driver = std::fs::read_link(format!("{NICS}/{name}/device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    // Megabits per second; -1 or nothing where the link is down or virtual.
    let speed: u64 = read(format!("{NICS}/{name}/speed")).parse().unwrap_or(0);
    Resource {
        id: format!("nic-{}", cleaned(name)),
        kind: ResourceKind::Nic.into(),
        device_type: driver.unwrap_or_else(|| "virtual".into()),
        path: name.into(),
        size: speed * 1_000_000,
        ..Resource::default()
    }
}
