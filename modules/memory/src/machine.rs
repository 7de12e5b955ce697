//! What this machine has: caches, NUMA nodes, memory that it can give; and the CPUs that this process was placed on.

use std::fs;
use std::path::Path;

use muster_model::text::ranges;
use muster_sdk::Session;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Most caches of a CPU, and levels of control groups, that are looked at.
const CACHES_MAX: usize = 16;
const GROUPS_MAX: usize = 32;

/// Bytes of the caches for data of a CPU, ascending; none where the kernel does not say.
pub(crate) fn cache_bytes() -> Vec<u64> {
    caches_of(Path::new("/sys/devices/system/cpu/cpu0/cache"))
}

fn caches_of(directory: &Path) -> Vec<u64> {
    let read = |index: usize, file: &str| fs::read_to_string(directory.join(format!("index{index}/{file}"))).ok();
    let size = |index: usize| {
        let kind = read(index, "type")?;
        let size = read(index, "size")?;
        let kibibytes = size.trim().strip_suffix('K')?.parse::<u64>().ok()?;
        (kind.trim() != "Instruction").then_some(kibibytes << 10)
    };
    let mut sizes: Vec<u64> = (0..CACHES_MAX).filter_map(size).collect();
    sizes.sort_unstable();
    sizes
}

/// NUMA nodes that have memory, ascending.
pub(crate) fn nodes() -> Vec<u32> {
    let text = fs::read_to_string("/sys/devices/system/node/has_memory").unwrap_or_default();
    let nodes = ranges(&text);
    if nodes.is_empty() { vec![0] } else { nodes }
}

/// Stays on the CPUs that this process was placed on; on all where it was placed on none, or the kernel refuses.
pub(crate) fn pin(session: &Session) {
    let numbers: Vec<usize> =
        session.resources("cpu").filter_map(|cpu| cpu.id.strip_prefix("cpu")?.parse().ok()).collect();
    if numbers.is_empty() {
        return;
    }
    let mut cpus = CpuSet::new();
    for number in numbers.iter().filter(|number| **number < CpuSet::MAX_CPU) {
        cpus.set(*number);
    }
    if let Err(error) = sched_setaffinity(None::<Pid>, &cpus) {
        session.event("not_pinned", &format!("CPUs {numbers:?}: {error}"));
    }
}

/// Bytes that can be had without pushing anything out: what the kernel says is available, and what the control groups of this
/// process still allow; none where nobody says.
pub(crate) fn available_bytes() -> Option<u64> {
    let memory = available_of(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let group = root.join(path);
    let groups = group.ancestors().take_while(|group| group.starts_with(root)).take(GROUPS_MAX);
    groups.filter_map(allowed_by).chain(memory).min()
}

fn available_of(meminfo: &str) -> Option<u64> {
    let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"))?;
    kibibytes.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// What a control group still allows: its limit without what is used, of which the page cache can be had again.
fn allowed_by(group: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let number = |text: String| text.trim().parse::<u64>().ok();
    let limit = read("memory.max").and_then(number)?;
    let used = read("memory.current").and_then(number).unwrap_or(0);
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
            fs::write(path, content).expect("write");
        }
    }

    #[test]
    fn caches_for_data_are_read_ascending() {
        let directory = tempfile::tempdir().expect("directory");
        let files = [
            ("index0/type", "Data\n"),
            ("index0/size", "48K\n"),
            ("index1/type", "Instruction\n"),
            ("index1/size", "32K\n"),
            ("index2/type", "Unified\n"),
            ("index2/size", "16384K\n"),
            ("index3/type", "Unified\n"),
            ("index3/size", "1024K\n"),
        ];
        write(directory.path(), &files);
        assert_eq!(caches_of(directory.path()), [48 << 10, 1 << 20, 16 << 20]);
        assert_eq!(caches_of(Path::new("/nowhere")), Vec::<u64>::new());
    }

    #[test]
    fn a_group_allows_its_limit_without_what_is_used_and_can_not_be_had_again() {
        let group = tempfile::tempdir().expect("directory");
        write(group.path(), &[("memory.max", "max\n")]);
        assert_eq!(allowed_by(group.path()), None);
        write(group.path(), &[("memory.max", "1000\n"), ("memory.current", "700\n")]);
        assert_eq!(allowed_by(group.path()), Some(300));
        write(group.path(), &[("memory.stat", "file 600\ninactive_file 500\n")]);
        assert_eq!(allowed_by(group.path()), Some(800));
        write(group.path(), &[("memory.current", "3000\n")]);
        assert_eq!(allowed_by(group.path()), Some(0));
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(available_of("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(available_of("MemTotal: 9 kB\n"), None);
        assert!(available_bytes().is_some_and(|bytes| bytes > 0));
        assert!(!nodes().is_empty());
    }
}
