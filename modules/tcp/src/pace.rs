//! A limit of bytes a second, or none. What was not used is not saved up.

use std::time::{Duration, Instant};

/// Turns of the limit in a second, at most: each writes what came due.
const TURNS: u64 = 50;

/// One sender's limit.
#[derive(Debug)]
pub(crate) struct Pace {
    /// 0 without a limit.
    rate_max: u64,
    next: Instant,
}

impl Pace {
    /// Most bytes a second; 0 for no limit.
    pub(crate) fn new(rate_max: u64, now: Instant) -> Self {
        Self { rate_max, next: now }
    }

    /// Most bytes a second; 0 for no limit.
    pub(crate) fn rate_max(&self) -> u64 {
        self.rate_max
    }

    /// Bytes of one turn, so that a limited sender writes little at once.
    pub(crate) fn turn_bytes(&self) -> u64 {
        if self.rate_max == 0 { u64::MAX } else { self.rate_max / TURNS }
    }

    /// How long to wait before the next write.
    pub(crate) fn pause(&self) -> Duration {
        // A sender without a limit reads no clock.
        if self.rate_max == 0 { Duration::ZERO } else { self.pause_at(Instant::now()) }
    }

    /// Counts a write.
    pub(crate) fn wrote(&mut self, bytes: u64) {
        if self.rate_max > 0 {
            self.wrote_at(bytes, Instant::now());
        }
    }

    fn pause_at(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    fn wrote_at(&mut self, bytes: u64, now: Instant) {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate_max);
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
        assert_eq!((pace.pause_at(begin), pace.turn_bytes()), (Duration::ZERO, 20_000));
        pace.wrote_at(250_000, begin);
        assert_eq!(pace.pause_at(begin), Duration::from_millis(250));
        let later = begin + Duration::from_secs(60);
        assert_eq!(pace.pause_at(later), Duration::ZERO);
        pace.wrote_at(1_000_000, later);
        assert_eq!(pace.pause_at(later), Duration::from_secs(1));
    }

    #[test]
    fn without_a_limit_there_is_no_pause() {
        let mut pace = Pace::new(0, Instant::now());
        pace.wrote(u64::MAX);
        assert_eq!((pace.pause(), pace.turn_bytes()), (Duration::ZERO, u64::MAX));
    }
}
