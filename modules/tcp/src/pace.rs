//! A limit of bytes a second. What was not used is not saved up.

use std::time::{Duration, Instant};

/// Turns of the limit in a second, at most: each writes what came due.
const TURNS: u64 = 50;

/// One sender's limit.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    next: Instant,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second, next: now }
    }

    /// Bytes of one turn, so that a limited sender writes little at once.
    pub(crate) fn turn_bytes(&self) -> u64 {
        self.bytes_per_second / TURNS
    }

    /// How long to wait before the next write.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Counts a write.
    pub(crate) fn wrote(&mut self, bytes: u64, now: Instant) {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.next = self.next.max(now) + time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_as_long_as_what_was_written_takes_and_idleness_is_not_saved_up() {
        let begin = Instant::now();
        let mut pace = Pace::new(1_000_000, begin);
        assert_eq!((pace.pause(begin), pace.turn_bytes()), (Duration::ZERO, 20_000));
        pace.wrote(250_000, begin);
        assert_eq!(pace.pause(begin), Duration::from_millis(250));
        let later = begin + Duration::from_secs(60);
        assert_eq!(pace.pause(later), Duration::ZERO);
        pace.wrote(1_000_000, later);
        assert_eq!(pace.pause(later), Duration::from_secs(1));
    }
}
