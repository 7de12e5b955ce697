//! Areas of memory: taken from the kernel, bound to a NUMA node where that is asked for, and read again past the caches.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// A page of the kernel's, and a line of the caches, of any machine in use.
const PAGE_BYTES: usize = 4096;
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// A piece of memory of its own. It begins at a page.
#[derive(Debug)]
pub(crate) struct Area {
    memory: NonNull<u8>,
    length: usize,
    /// The node it lies on, as the kernel says; none where it does not.
    node: Option<u32>,
}

impl Area {
    /// Takes memory; on a node, where one is named. All of it is there afterwards.
    pub(crate) fn take(length: usize, node: Option<u32>) -> io::Result<Self> {
        // SAFETY: new memory, at an address of the kernel's choice.
        let memory =
            unsafe { mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut area = Self { memory, length, node: None };
        if let Some(node) = node {
            area.bind(node)?;
        }
        area.bytes(0..length).fill(0);
        area.node = area.node_of(0);
        Ok(area)
    }

    fn bind(&self, node: u32) -> io::Result<()> {
        const NODES_MAX: u32 = u64::BITS * 16;
        let mut mask = [0_u64; (NODES_MAX / u64::BITS) as usize];
        let word = mask.get_mut((node / u64::BITS) as usize).ok_or(io::ErrorKind::InvalidInput)?;
        *word = 1 << (node % u64::BITS);
        // SAFETY: the memory is this area's, and the mask holds as many bits as are said, of which the kernel reads one less.
        let bound = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.memory.as_ptr(),
                self.length,
                libc::MPOL_BIND,
                mask.as_ptr(),
                libc::c_ulong::from(NODES_MAX),
                0,
            )
        };
        if bound == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The node that a byte lies on.
    fn node_of(&self, at: usize) -> Option<u32> {
        const NODE: libc::c_int = 1; // MPOL_F_NODE
        const ADDRESS: libc::c_int = 2; // MPOL_F_ADDR
        let mut node: libc::c_int = -1;
        // SAFETY: the kernel writes one number, and the address is only looked up.
        let found = unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut node,
                ptr::null_mut::<libc::c_ulong>(),
                0,
                self.memory.as_ptr().wrapping_add(at),
                NODE | ADDRESS,
            )
        };
        if found == 0 { u32::try_from(node).ok() } else { None }
    }

    pub(crate) fn node(&self) -> Option<u32> {
        self.node
    }

    pub(crate) fn bytes(&mut self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.length, "a range is in its area");
        // SAFETY: the memory is this area's, as long as that lives, and borrowed as the area is.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().add(range.start), range.len()) }
    }

    pub(crate) fn read(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.length, "a range is in its area");
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(range.start), range.len()) }
    }

    /// The address of a byte.
    pub(crate) fn address(&self, at: usize) -> usize {
        self.memory.as_ptr().addr() + at
    }

    /// The physical address of a byte, where the kernel tells this user.
    pub(crate) fn physical_address(&self, at: usize) -> Option<u64> {
        const ENTRY_BYTES: u64 = 8;
        const PRESENT: u64 = 1 << 63;
        const NUMBER_MASK: u64 = (1 << 55) - 1;
        let address = self.address(at);
        let mut entry = [0; ENTRY_BYTES as usize];
        let pages = File::open("/proc/self/pagemap").ok()?;
        pages.read_exact_at(&mut entry, (address / PAGE_BYTES) as u64 * ENTRY_BYTES).ok()?;
        let entry = u64::from_ne_bytes(entry);
        let number = entry & NUMBER_MASK;
        (entry & PRESENT != 0 && number != 0).then(|| number * PAGE_BYTES as u64 + (address % PAGE_BYTES) as u64)
    }

    /// Makes the next reading of a range come from memory and not from a cache, where the processor has a way to.
    pub(crate) fn forget_cached(&self, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        {
            let bytes = self.read(range);
            let lines = bytes.iter().step_by(LINE_BYTES).chain(bytes.last());
            // SAFETY: SSE2 is a part of x86_64, and the addresses are of bytes that are there.
            unsafe {
                lines.for_each(|byte| std::arch::x86_64::_mm_clflush(ptr::from_ref(byte)));
                std::arch::x86_64::_mm_mfence();
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = range;
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the memory is this area's, and nobody borrows it any more. What can not be given back goes with the process.
        let _: Result<(), rustix::io::Errno> = unsafe { munmap(self.memory.as_ptr().cast(), self.length) };
    }
}

/// Two different areas, the second one to be written to.
pub(crate) fn pair(areas: &mut [Area], from: usize, to: usize) -> (&Area, &mut Area) {
    let [from, to] = areas.get_disjoint_mut([from, to]).expect("a move is between two areas that are there");
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_zeroed_memory_of_its_own_that_keeps_what_is_written() {
        let mut areas = [Area::take(10_000, None).expect("memory"), Area::take(10_000, None).expect("memory")];
        assert!(areas[0].read(0..10_000).iter().all(|byte| *byte == 0));
        areas[0].bytes(5..7).copy_from_slice(&[1, 2]);
        let (from, to) = pair(&mut areas, 0, 1);
        to.bytes(9_998..10_000).copy_from_slice(from.read(5..7));
        areas[1].forget_cached(0..10_000);
        assert_eq!(areas[1].read(9_997..10_000), [0, 1, 2]);
    }

    #[test]
    fn a_node_that_is_not_there_is_refused_and_the_first_one_has_memory() {
        for node in [1023, 5000] {
            assert!(Area::take(4096, Some(node)).is_err());
        }
        // A container may be forbidden to bind memory.
        match Area::take(4096, Some(0)) {
            Ok(area) => assert_eq!(area.node().unwrap_or(0), 0),
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)), "{error}"),
        }
    }
}
