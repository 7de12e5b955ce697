//! The page as its agent writes it.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use muster_model::pulse::PULSES;
use muster_model::{Pulse, PulseNumber};
use rustix::thread::futex;

use crate::layout::{MAGIC, Mapping, PAGE_BYTES, VERSION};

/// Who sleeps until an edge is woken when the pool time has moved by more than this: it would be that much early or late.
const OFFSET_MOVE_MAX: i64 = 100_000;

/// The page of this machine, to be written. There is one writer at a time: the agent, which holds its state directory.
#[derive(Debug)]
pub struct PulseWriter {
    page: Mapping,
    /// Offset at which sleepers were woken last.
    woken_at: i64,
}

impl PulseWriter {
    /// Makes the page, or goes on with the one that an earlier life of the agent left, whose processes have it mapped. Its definitions
    /// hold until others are set; `offset` is pool time less CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// The file can not be made or mapped.
    pub fn open(path: &Path, offset: impl FnOnce() -> i64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() != PAGE_BYTES as u64 {
            file.set_len(PAGE_BYTES as u64)?;
        }
        let page = Mapping::new(&file, true)?;
        let known = page.magic.load(Ordering::Acquire) == MAGIC && page.version.load(Ordering::Relaxed) == VERSION;
        let mut writer = Self { woken_at: page.offset.load(Ordering::Relaxed), page };
        if !known {
            writer.page.version.store(VERSION, Ordering::Relaxed);
            writer.set(&[]);
            writer.set_offset(offset());
            writer.page.magic.store(MAGIC, Ordering::Release);
        } else if !writer.page.sequence.load(Ordering::Relaxed).is_multiple_of(2) {
            // The writer before was killed in between: what is there is taken as whole until the next list.
            writer.change(|_| {});
        }
        Ok(writer)
    }

    /// Takes a whole list of definitions: what is not in it is free. True when something changed.
    pub fn set(&mut self, pulses: &[(PulseNumber, Pulse)]) -> bool {
        let mut wanted = [[0; 3]; PULSES];
        for (number, pulse) in pulses {
            wanted[usize::from(number.0)] = [pulse.block(), pulse.free(), pulse.phase()].map(nanoseconds);
        }
        let is_same =
            self.page.definitions.iter().zip(&wanted).all(|(now, wanted)| {
                now.iter().zip(wanted).all(|(now, wanted)| now.load(Ordering::Relaxed) == *wanted)
            });
        let unfinished = !self.page.sequence.load(Ordering::Relaxed).is_multiple_of(2);
        if is_same && !unfinished {
            return false;
        }
        self.change(|page| {
            for (place, wanted) in page.definitions.iter().zip(&wanted) {
                place.iter().zip(wanted).for_each(|(place, wanted)| place.store(*wanted, Ordering::Relaxed));
            }
        });
        true
    }

    /// The pool time is CLOCK_MONOTONIC and this. True when sleepers were woken because of it.
    pub fn set_offset(&mut self, offset: i64) -> bool {
        if (offset - self.woken_at).abs() <= OFFSET_MOVE_MAX {
            self.page.offset.store(offset, Ordering::Relaxed);
            return false;
        }
        self.woken_at = offset;
        self.change(|page| page.offset.store(offset, Ordering::Relaxed));
        true
    }

    /// Changes the page under an odd sequence, and wakes who sleeps on it.
    fn change(&self, change: impl FnOnce(&Mapping)) {
        let odd = self.page.sequence.load(Ordering::Relaxed) | 1;
        self.page.sequence.store(odd, Ordering::Relaxed);
        fence(Ordering::Release);
        change(&self.page);
        self.page.sequence.store(odd.wrapping_add(1), Ordering::Release);
        // It fails for no reason that waking again would help.
        let _: rustix::io::Result<usize> = futex::wake(&self.page.sequence, futex::Flags::empty(), i32::MAX as u32);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
