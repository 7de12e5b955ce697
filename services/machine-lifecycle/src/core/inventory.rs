//! What an agent found by probing its machine.

use muster_model::{FileSystem, ResourceId, ResourceKind};

/// Where a logical CPU sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTopology {
    /// Physical package.
    pub package: u32,
    /// Core in the package.
    pub core: u32,
    /// NUMA node.
    pub node: u32,
}

/// What a disk is mounted as by order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Its file system; none where it is not known yet.
    pub file_system: Option<FileSystem>,
    /// Who ordered it.
    pub actor: String,
    /// The device.
    pub device: String,
    /// Why it can not be used now; empty where it can.
    pub trouble: String,
}

/// One thing that tests may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Unique on its machine.
    pub id: ResourceId,
    /// Its type.
    pub kind: ResourceKind,
    /// Device type, by which load numbers are set.
    pub device_type: String,
    /// Path on the machine; empty for CPUs and memory.
    pub path: String,
    /// Bytes of a disk or of memory; bits per second of a NIC; 0 for CPUs.
    pub size: u64,
    /// Signatures found on it, sorted.
    pub signatures: Vec<String>,
    /// A name that is the same on every machine that reaches the same disk; empty where there is none.
    pub shared_name: String,
    /// For a CPU, where it sits.
    pub topology: Option<CpuTopology>,
    /// For a disk that was mounted by order.
    pub area: Option<Area>,
}

impl Resource {
    /// Something is mounted from it: the signature says where.
    #[must_use]
    pub fn mounted(&self) -> Option<&str> {
        self.signatures.iter().find(|signature| signature.starts_with("mounted")).map(String::as_str)
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// CPU architecture.
    pub architecture: String,
    /// Kernel release.
    pub kernel_release: String,
    /// GNU build id of the running kernel; empty where it can not be read.
    pub kernel_build_id: String,
    /// Boot id of this boot.
    pub boot_id: String,
    /// Installed memory, bytes.
    pub memory_bytes: u64,
    /// Machine type.
    pub machine_type: String,
    /// Sorted by id, each id once.
    pub resources: Vec<Resource>,
    /// Host name, for people.
    pub host_name: String,
}

impl Inventory {
    /// How many resources of a kind there are.
    #[must_use]
    pub fn count(&self, kind: ResourceKind) -> usize {
        self.resources.iter().filter(|resource| resource.kind == kind).count()
    }
}
