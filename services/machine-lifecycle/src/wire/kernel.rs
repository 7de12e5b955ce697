//! Kernels.

use std::collections::BTreeSet;

use muster_model::{KernelName, PoolTime};
use muster_proto::WireError;
use muster_proto::v1;

use crate::core::{Kernel, KernelFile};

/// A kernel.
#[must_use]
pub fn kernel_to_wire(kernel: &Kernel) -> v1::Kernel {
    let initrd = kernel.initrd.as_ref();
    v1::Kernel {
        name: kernel.name.to_string(),
        release: kernel.release.clone(),
        build_id: kernel.build_id.clone(),
        architecture: kernel.architecture.clone(),
        image_sha256: kernel.image.sha256.clone(),
        image_size_bytes: kernel.image.size_bytes,
        initrd_sha256: initrd.map_or_else(String::new, |file| file.sha256.clone()),
        initrd_size_bytes: initrd.map_or(0, |file| file.size_bytes),
        command_line: kernel.command_line.clone(),
        added_ns: kernel.added.0,
    }
}

pub(super) fn kernel_from_wire(wire: Option<v1::Kernel>) -> Result<Kernel, WireError> {
    let wire = wire.ok_or_else(|| WireError::missing("KernelAdded", "kernel"))?;
    let initrd = KernelFile { sha256: wire.initrd_sha256, size_bytes: wire.initrd_size_bytes };
    Ok(Kernel {
        name: kernel_name(&wire.name)?,
        release: wire.release,
        build_id: wire.build_id,
        architecture: wire.architecture,
        image: KernelFile { sha256: wire.image_sha256, size_bytes: wire.image_size_bytes },
        initrd: Some(initrd).filter(|file| !file.sha256.is_empty()),
        command_line: wire.command_line,
        added: PoolTime(wire.added_ns),
    })
}

pub(super) fn kernel_name(text: &str) -> Result<KernelName, WireError> {
    KernelName::new(text).map_err(|error| WireError::invalid("Kernel", "name", error))
}

pub(super) fn changed_to_wire(kernel: &Kernel, unchanged: bool, unused: &BTreeSet<String>) -> v1::KernelChanged {
    let unused = unused.iter().cloned().collect();
    v1::KernelChanged { kernel: Some(kernel_to_wire(kernel)), unchanged, unused }
}
