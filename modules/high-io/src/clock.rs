//! The clock of the hot path: read once per transfer, asked as often as one likes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time when it was last read.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Instant,
    /// Wall time of the base.
    base_wall: Duration,
    now: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { base: now, base_wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), now }
    }

    /// Reads it.
    pub(crate) fn read(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    /// When it was last read.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Nanoseconds since 1970 of a time.
    pub(crate) fn wall(&self, time: Instant) -> u64 {
        let wall = self.base_wall + time.saturating_duration_since(self.base);
        u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
    }
}
