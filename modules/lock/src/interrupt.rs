//! A thread that waits for a file's lock waits in the kernel, and only a signal ends that: here others send it one when the test is over,
//! or when it has waited for too long.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The signal; nothing else in a module uses it.
const SIGNAL: libc::c_int = libc::SIGUSR1;

/// Who waits, and since when.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    waiting: Mutex<BTreeMap<usize, (libc::pthread_t, Instant)>>,
}

impl Interrupts {
    /// Makes the signal end a wait, and do nothing else.
    pub(crate) fn install() -> std::io::Result<Self> {
        // SAFETY: the action is zeroed and then given a handler that does nothing; without SA_RESTART, so that waits end.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut())
        };
        if result == 0 { Ok(Self::default()) } else { Err(std::io::Error::last_os_error()) }
    }

    /// Waits, in this thread, which is the only one under this number.
    pub(crate) fn waiting<T>(&self, number: usize, since: Instant, wait: impl FnOnce() -> T) -> T {
        // SAFETY: it only names the calling thread.
        let thread = unsafe { libc::pthread_self() };
        self.all().insert(number, (thread, since));
        let result = wait();
        self.all().remove(&number);
        result
    }

    /// Interrupts those whose time is over. One that is about to wait is missed: so it is to be called again and again.
    pub(crate) fn look(&self, is_over: impl Fn(Instant) -> bool) {
        for (thread, since) in self.all().values() {
            if is_over(*since) {
                // SAFETY: the thread lives, as it takes itself out of the map, which is locked, before it ends.
                unsafe { libc::pthread_kill(*thread, SIGNAL) };
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<usize, (libc::pthread_t, Instant)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

extern "C" fn on_signal(_signal: libc::c_int) {}
