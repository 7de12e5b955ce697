//! What the page looks like, in the byte order of the machine: both ends are on it.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

use muster_model::pulse::PULSES;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Size of the file.
pub const PAGE_BYTES: usize = 8_192;
/// Its first eight bytes.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"MUSTPULS");
/// Version of this layout.
pub(crate) const VERSION: u32 = 1;

/// The page.
#[repr(C)]
pub(crate) struct Layout {
    /// [`MAGIC`]; written last by who makes the page.
    pub(crate) magic: AtomicU64,
    /// [`VERSION`].
    pub(crate) version: AtomicU32,
    /// Odd while definitions are being written; changes with them, and with a noteworthy move of the offset. Waited for as a futex.
    pub(crate) sequence: AtomicU32,
    /// Pool time less CLOCK_MONOTONIC, nanoseconds.
    pub(crate) offset: AtomicI64,
    /// Room for more.
    reserved: [u64; 5],
    /// Block, free and phase of each pulse, nanoseconds; block 0 is free always.
    pub(crate) definitions: [[AtomicU64; 3]; PULSES],
}

const _: () = assert!(size_of::<Layout>() <= PAGE_BYTES);

/// The page in memory.
pub(crate) struct Mapping {
    base: NonNull<Layout>,
}

// SAFETY: everything behind the pointer is atomic, and it is valid until the mapping is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").finish_non_exhaustive()
    }
}

impl Mapping {
    /// Maps a file of at least [`PAGE_BYTES`].
    pub(crate) fn new(file: &File, writable: bool) -> io::Result<Self> {
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too short for a pulse page"));
        }
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at a place of the kernel's choice; the file is never shortened by us.
        let base = unsafe { mmap(std::ptr::null_mut(), PAGE_BYTES, protection, MapFlags::SHARED, file, 0)? };
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        Ok(Self { base })
    }
}

impl Deref for Mapping {
    type Target = Layout;
    fn deref(&self) -> &Layout {
        // SAFETY: the mapping is as long as the layout, aligned to a page, and all bit patterns are valid.
        unsafe { self.base.as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference outlives `self`.
        let _: rustix::io::Result<()> = unsafe { munmap(self.base.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// CLOCK_MONOTONIC, nanoseconds.
#[must_use]
pub fn monotonic() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
