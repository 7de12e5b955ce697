//! The parts of a lab and the memory that they hold.

use std::collections::BTreeMap;

use muster_testkit::resident_bytes;

use crate::bench::start::cost;

/// One part of a lab.
pub(super) struct Part {
    pub(super) name: String,
    /// What its processes hold in memory, shared pages in each of them.
    pub(super) memory_bytes: u64,
}

/// All parts that these processes are.
pub(super) fn all(members: &[u32]) -> Vec<Part> {
    let mut parts = BTreeMap::<String, u64>::new();
    for member in members {
        let Ok(name) = std::fs::read_to_string(format!("/proc/{member}/comm")) else { continue };
        *parts.entry(cost::part(name.trim_end())).or_default() += resident_bytes(*member).unwrap_or(0);
    }
    parts.into_iter().map(|(name, memory_bytes)| Part { name, memory_bytes }).collect()
}
