//! Many transfers at once, through io_uring: submitted in batches, to a registered file and, where the kernel lets us pin them,
//! from registered buffers.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode};

use super::{Kind, Patience};
use crate::target::Target;

/// How often the kernel may say that it is out of means for a moment, in one call.
const BUSY_MAX: u32 = 10_000;
/// The one registered file, and the one registered buffer, which holds all slots.
const FILE: Fixed = Fixed(0);
const BUFFER: u16 = 0;

/// A ring.
pub(crate) struct Uring {
    ring: IoUring,
    /// The buffers are registered: the kernel need not find their pages each time.
    has_fixed_buffers: bool,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("has_fixed_buffers", &self.has_fixed_buffers).finish_non_exhaustive()
    }
}

impl Uring {
    /// # Safety
    /// The memory stays where it is for as long as the ring lives.
    pub(super) unsafe fn new(depth: usize, target: &Target, memory: &mut [u8]) -> io::Result<Self> {
        let entries = u32::try_from(depth.next_power_of_two()).map_err(io::Error::other)?;
        let ring = build(entries)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Read::CODE) || !probe.is_supported(opcode::Write::CODE) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring can not read and write"));
        }
        ring.submitter().register_files(&[target.file().as_raw_fd()])?;
        let vector = libc::iovec { iov_base: memory.as_mut_ptr().cast(), iov_len: memory.len() };
        // Copies through the page cache gain nothing from pinned pages. A limit on pinned memory is no reason to give up.
        // SAFETY: the memory stays where it is, as the caller promises.
        let has_fixed_buffers = target.is_direct() && unsafe { ring.submitter().register_buffers(&[vector]) }.is_ok();
        // Saves a look-up in each call; older kernels do without.
        let _: io::Result<()> = ring.submitter().register_ring_fd();
        Ok(Self { ring, has_fixed_buffers })
    }

    /// Adds a transfer to the next batch.
    ///
    /// # Safety
    /// The memory belongs to the kernel until the transfer has ended: it stays, and nothing else uses it.
    pub(crate) unsafe fn push(&mut self, slot: usize, kind: Kind, memory: *mut [u8], offset: u64) {
        let length = u32::try_from(memory.len()).expect("a transfer is at most 16 MiB");
        let start = memory.cast::<u8>();
        let entry = match (kind, self.has_fixed_buffers) {
            (Kind::Read, true) => opcode::ReadFixed::new(FILE, start, length, BUFFER).offset(offset).build(),
            (Kind::Write, true) => opcode::WriteFixed::new(FILE, start, length, BUFFER).offset(offset).build(),
            (Kind::Read, false) => opcode::Read::new(FILE, start, length).offset(offset).build(),
            (Kind::Write, false) => opcode::Write::new(FILE, start, length).offset(offset).build(),
        };
        // SAFETY: the memory outlives the transfer, as the caller promises.
        let pushed = unsafe { self.ring.submission().push(&entry.user_data(slot as u64)) };
        pushed.expect("the queue has an entry for each slot");
    }

    /// Submits the batch and waits.
    pub(crate) fn submit(&mut self, patience: Patience) -> io::Result<()> {
        let mut busy = 0;
        loop {
            let result = match patience {
                Patience::None => self.ring.submit(),
                Patience::One => self.ring.submit_and_wait(1),
                Patience::AtMost(limit) => {
                    let limit = Timespec::from(limit);
                    self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit))
                }
            };
            match result.map_err(|error| (error.raw_os_error(), error)) {
                Ok(_) | Err((Some(libc::ETIME | libc::EBUSY), _)) => return Ok(()),
                Err((Some(libc::EINTR), _)) => {}
                Err((Some(libc::EAGAIN), _)) if busy < BUSY_MAX => {
                    busy += 1;
                    std::thread::yield_now();
                }
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// The next one that has ended.
    pub(crate) fn next_ended(&mut self) -> Option<(usize, io::Result<usize>)> {
        let entry = self.ring.completion().next()?;
        let slot = usize::try_from(entry.user_data()).expect("it was a slot when it was pushed");
        let result = usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()));
        Some((slot, result))
    }
}

/// A ring that runs its work when we wait for it, which saves interrupts; kernels before 6.1 get a plain one.
fn build(entries: u32) -> io::Result<IoUring> {
    let quiet = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries);
    match quiet {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(entries),
        other => other,
    }
}
