//! Kernels that machines can be booted into.

use muster_model::{KernelName, PoolTime};

/// A file of the object store `kernels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFile {
    /// SHA-256, lower-case hex: its name in the store.
    pub sha256: String,
    /// Size, bytes.
    pub size_bytes: u64,
}

/// A kernel, with what its image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its name.
    pub name: KernelName,
    /// Release, as uname(2) tells it.
    pub release: String,
    /// GNU build id, lower-case hex; empty where it was taken in without one.
    pub build_id: String,
    /// Architecture, as uname(2) tells it.
    pub architecture: String,
    /// The image.
    pub image: KernelFile,
    /// The initial RAM disk.
    pub initrd: Option<KernelFile>,
    /// What is added to the command line.
    pub command_line: String,
    /// When it was added.
    pub added: PoolTime,
}

impl Kernel {
    /// Its files.
    pub fn files(&self) -> impl Iterator<Item = &KernelFile> {
        std::iter::once(&self.image).chain(&self.initrd)
    }
}
