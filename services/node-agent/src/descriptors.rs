//! Descriptors that a process was given by whoever started it and that are nothing to it: a lock that is held by accident, a socket
//! that never ends.

/// The first descriptor that is not input, output or errors.
const FIRST: u32 = 3;
/// Where the kernel tells which are open.
const OPEN: &str = "/proc/self/fd";

/// Closes all but the first three. To be called at the beginning, when nothing of this process's own is open yet.
pub(crate) fn close_inherited() {
    // SAFETY: nothing in this process has opened anything yet, so nobody's descriptor is closed.
    unsafe {
        if libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, 0) == 0 {
            return;
        }
    }
    // Kernels before 5.9.
    let open = std::fs::read_dir(OPEN).into_iter().flatten().flatten();
    let numbers: Vec<u32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number >= FIRST) {
        // SAFETY: as above; the directory that was read is closed already, and closing it again is only refused.
        unsafe { libc::close(number.cast_signed()) };
    }
}
