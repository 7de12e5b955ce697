//! The page as a process sees it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use muster_model::pulse::{all_free_from, any_blocks, blocked_from};
use muster_model::{PoolTime, Pulse, PulseNumber};
use rustix::thread::futex;

use crate::layout::{MAGIC, Mapping, VERSION, monotonic};

/// Looks at a page that is being written, before it counts as left behind by an agent that was killed.
const LOOKS_MAX: u32 = 1_000;

/// The page of this machine's agent, to be looked at.
#[derive(Debug)]
pub struct PulsePage {
    page: Mapping,
}

/// Some pulses as they were at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    sequence: u32,
    offset: i64,
    pulses: Vec<Pulse>,
}

impl PulsePage {
    /// Maps the page.
    ///
    /// # Errors
    /// It is not there, or is no pulse page of this version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let page = Mapping::new(&File::open(path)?, false)?;
        if page.magic.load(Ordering::Acquire) != MAGIC || page.version.load(Ordering::Relaxed) != VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no pulse page of this version"));
        }
        Ok(Self { page })
    }

    /// Looks at some pulses; those that are not defined are free, and left out.
    #[must_use]
    pub fn look(&self, numbers: &[PulseNumber]) -> Seen {
        let mut seen = self.look_once(numbers);
        for _ in 0..LOOKS_MAX {
            fence(Ordering::Acquire);
            let now = self.page.sequence.load(Ordering::Relaxed);
            // Odd for long: its agent was killed at it. What it wrote is what there is, and its next life writes it anew.
            if now == seen.sequence && now.is_multiple_of(2) {
                return seen;
            }
            std::thread::yield_now();
            seen = self.look_once(numbers);
        }
        seen
    }

    fn look_once(&self, numbers: &[PulseNumber]) -> Seen {
        let sequence = self.page.sequence.load(Ordering::Acquire);
        let offset = self.page.offset.load(Ordering::Relaxed);
        let definition = |number: &PulseNumber| {
            let parts = &self.page.definitions[usize::from(number.0)];
            let [block, free, phase] = [0, 1, 2].map(|part| Duration::from_nanos(parts[part].load(Ordering::Relaxed)));
            Pulse::new(block, free, phase).ok()
        };
        Seen { sequence, offset, pulses: numbers.iter().filter_map(definition).collect() }
    }

    /// Sleeps until something is not any more as it was seen; may return earlier.
    pub fn wait_changed(&self, seen: &Seen) {
        // Interrupted, or changed meanwhile: the caller looks again in any case.
        let _: rustix::io::Result<()> = futex::wait(&self.page.sequence, futex::Flags::empty(), seen.sequence, None);
    }
}

impl Seen {
    /// The pool time now.
    #[must_use]
    pub fn now(&self) -> PoolTime {
        PoolTime(monotonic().saturating_add(self.offset))
    }

    /// One of them blocks at this time.
    #[must_use]
    pub fn blocks(&self, at: PoolTime) -> bool {
        any_blocks(&self.pulses, at)
    }

    /// The first time from `at` on at which all are free, or one before it.
    #[must_use]
    pub fn free_from(&self, at: PoolTime) -> PoolTime {
        all_free_from(&self.pulses, at)
    }

    /// The first time from `at` on at which one of them blocks; none without pulses.
    #[must_use]
    pub fn blocked_from(&self, at: PoolTime) -> Option<PoolTime> {
        blocked_from(&self.pulses, at)
    }
}
