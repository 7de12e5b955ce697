//! What the metrics of all modules have in common: when the next are due, and how counts become numbers.

use std::time::{Duration, Instant};

/// Time between two metrics.
pub const METRIC_INTERVAL: Duration = Duration::from_secs(1);

/// Intervals that follow each other. One that was missed does not come twice: the next begins when it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    length: Duration,
    begin: Instant,
}

impl Interval {
    /// The first one begins.
    #[must_use]
    pub fn new(length: Duration, now: Instant) -> Self {
        Self { length, begin: now }
    }

    /// Whether it is over; then the next one begins.
    pub fn is_over(&mut self, now: Instant) -> bool {
        let is_over = now.saturating_duration_since(self.begin) >= self.length;
        if is_over {
            self.begin = now;
        }
        is_over
    }
}

/// A count as a measured value. JSON's numbers hold counts exactly up to 2^53: 9 PB.
#[expect(clippy::cast_precision_loss, reason = "the wire's numbers are floating")]
#[must_use]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_over_once_and_a_missed_one_is_not_made_up_for() {
        let begin = Instant::now();
        let after = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut interval = Interval::new(METRIC_INTERVAL, begin);
        let over = [0, 999, 1_000, 1_001, 5_500, 6_000, 6_499, 6_500].map(|time| interval.is_over(after(time)));
        assert_eq!(over, [false, false, true, false, true, false, false, true]);
    }
}
