//! SIGTERM and SIGINT ask the test to stop, as an agent's stop does: for people who try a module by hand, and for a keeper that
//! ends a process whose agent is away.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

static SIGNALLED: AtomicBool = AtomicBool::new(false);
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Installs the handler; `wake` must stay open as long as the process lives.
pub(crate) fn install(wake: BorrowedFd<'_>) -> std::io::Result<()> {
    WAKE.store(wake.as_raw_fd(), Ordering::SeqCst);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the action is zeroed and then given a handler that only does what is allowed in one: atomics and write(2).
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether a signal came since the last call.
pub(crate) fn take() -> bool {
    SIGNALLED.swap(false, Ordering::SeqCst)
}

extern "C" fn on_signal(_signal: libc::c_int) {
    SIGNALLED.store(true, Ordering::SeqCst);
    let one = 1u64.to_ne_bytes();
    // SAFETY: write(2) is async-signal-safe, the buffer lives until it returns, and errno is put back for the interrupted code.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(WAKE.load(Ordering::SeqCst), one.as_ptr().cast(), one.len());
        *errno = before;
    }
}
