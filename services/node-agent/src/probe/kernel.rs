//! The kernel that runs, the boot that it is in, and the machine around it.

use std::collections::BTreeMap;

use super::{Pretended, read};

/// The boot id of this boot.
pub(crate) fn boot_id() -> String {
    Pretended::get().map_or_else(|| read("/proc/sys/kernel/random/boot_id"), |boot| boot.boot_id.clone())
}

/// Release of the running kernel.
pub(super) fn release() -> String {
    let pretended = Pretended::get().and_then(|boot| boot.kernel.as_ref());
    let own = || rustix::system::uname().release().to_string_lossy().into_owned();
    pretended.map_or_else(own, |(release, _)| release.clone())
}

/// The command line of the running kernel.
pub(crate) fn command_line() -> String {
    Pretended::get().map_or_else(|| read("/proc/cmdline"), |boot| boot.command_line.clone())
}

/// GNU build id of the running kernel, lower-case hex.
pub(super) fn build_id() -> Option<String> {
    if let Some((_, build_id)) = Pretended::get().and_then(|boot| boot.kernel.as_ref()) {
        return Some(build_id.clone());
    }
    muster_kernel_image::notes::build_id(&std::fs::read("/sys/kernel/notes").ok()?)
}

/// Product name by DMI, where there is one.
pub(super) fn machine_type() -> Option<String> {
    let name = read("/sys/class/dmi/id/product_name");
    if name.is_empty() { None } else { Some(name) }
}

/// Installed memory.
pub(super) fn memory_bytes() -> u64 {
    memory_value("MemTotal:").unwrap_or(0)
}

fn memory_value(name: &str) -> Option<u64> {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the machine as a whole measures: counters and gauges.
pub(crate) fn machine_values() -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let mut counters = BTreeMap::new();
    let mut gauges = BTreeMap::new();
    if let Some(busy) = cpu_busy_seconds(&read("/proc/stat")) {
        counters.insert("cpu_busy_seconds".to_owned(), busy);
    }
    if let Some(available) = memory_value("MemAvailable:") {
        #[expect(clippy::cast_precision_loss, reason = "a double holds petabytes exactly")]
        gauges.insert("memory_available_bytes".to_owned(), available as f64);
    }
    gauges.insert("load1".to_owned(), f64::from(super::load_milli()) / 1000.0);
    (counters, gauges)
}

/// Everything but idle and waiting for I/O, of all CPUs; in units of 1/100 s, as /proc says it.
fn cpu_busy_seconds(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let busy: f64 =
        numbers.iter().take(8).enumerate().filter(|(place, _)| !matches!(place, 3 | 4)).map(|pair| pair.1).sum();
    Some(busy / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(cpu_busy_seconds("cpu  100 0 50 900 30 0 0 0 0 0\ncpu0"), Some(1.5));
    }
}
