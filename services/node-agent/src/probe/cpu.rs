//! Logical CPUs with their topology.

use muster_model::text::ranges;
use muster_proto::v1::{CpuTopology, Resource, ResourceKind};

use super::read;

const CPUS: &str = "/sys/devices/system/cpu";

/// Every logical CPU that is online.
pub(super) fn resources() -> Vec<Resource> {
    let device_type = model();
    online().into_iter().map(|number| resource(number, &device_type)).collect()
}

fn resource(number: u32, device_type: &str) -> Resource {
    let value = |file: &str| read(format!("{CPUS}/cpu{number}/topology/{file}")).parse().unwrap_or(0);
    Resource {
        id: format!("cpu{number}"),
        kind: ResourceKind::Cpu.into(),
        device_type: device_type.into(),
        topology: Some(CpuTopology {
            package: value("physical_package_id"),
            core: value("core_id"),
            node: node(number),
        }),
        ..Resource::default()
    }
}

fn node(number: u32) -> u32 {
    let entries = std::fs::read_dir(format!("{CPUS}/cpu{number}")).into_iter().flatten().flatten();
    let nodes = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok());
    nodes.min().unwrap_or(0)
}

fn online() -> Vec<u32> {
    let cpus = ranges(&read(format!("{CPUS}/online")));
    if cpus.is_empty() { vec![0] } else { cpus }
}

fn model() -> String {
    let info = read("/proc/cpuinfo");
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|pair| pair.1.trim()));
    model.unwrap_or("cpu").to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_cpu() {
        assert!(super::resources().iter().any(|cpu| cpu.id == "cpu0"));
    }
}
