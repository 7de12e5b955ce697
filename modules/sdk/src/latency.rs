//! Latencies of an interval in fixed memory: buckets of 1/16 of an octave, so a quantile is right to 6 %.

use std::time::Duration;

const STEPS_LOG: u32 = 4;
const STEPS: u64 = 1 << STEPS_LOG;
const BUCKETS: usize = (u64::BITS as usize) << STEPS_LOG;

/// A histogram of nanoseconds.
#[derive(Debug, Clone)]
pub struct Latency {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
    greatest: Duration,
}

impl Latency {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, greatest: Duration::ZERO }
    }

    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.greatest = self.greatest.max(latency);
    }

    /// Nothing was recorded since the last clear.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Seconds of the greatest one.
    #[must_use]
    pub fn greatest_seconds(&self) -> f64 {
        self.greatest.as_secs_f64()
    }

    /// Seconds that so many percent are at or below, never more than the greatest.
    #[must_use]
    pub fn percentile_seconds(&self, percent: u64) -> f64 {
        self.quantile_seconds(percent * 10)
    }

    /// Seconds that so many of a thousand are at or below, never more than the greatest.
    #[must_use]
    pub fn quantile_seconds(&self, per_mille: u64) -> f64 {
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_nanos(upper(bucket)).min(self.greatest).as_secs_f64();
            }
        }
        self.greatest_seconds()
    }

    /// Forgets all, at the end of an interval.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.greatest = Duration::ZERO;
    }
}

/// Latencies that are told as gauges of an interval: `NAME_p50_seconds`, `NAME_p99_seconds`, `NAME_p999_seconds` and
/// `NAME_max_seconds`.
#[derive(Debug, Clone)]
pub struct LatencyGauges {
    latency: Latency,
    names: [String; 4],
}

impl LatencyGauges {
    /// Empty ones.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let names = ["p50", "p99", "p999", "max"].map(|level| format!("{name}_{level}_seconds"));
        Self { latency: Latency::new(), names }
    }

    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        self.latency.record(latency);
    }

    /// Names and values; none where nothing was recorded: an absent level is not a level of zero.
    #[must_use]
    pub fn values(&self) -> Vec<(&str, f64)> {
        if self.latency.is_empty() {
            return Vec::new();
        }
        let [p50, p99, p999] = [500, 990, 999].map(|per_mille| self.latency.quantile_seconds(per_mille));
        let values = [p50, p99, p999, self.latency.greatest_seconds()];
        self.names.iter().map(String::as_str).zip(values).collect()
    }

    /// Forgets all, at the end of an interval.
    pub fn clear(&mut self) {
        self.latency.clear();
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let octave = nanoseconds.max(STEPS).ilog2();
    let step = (nanoseconds >> (octave - STEPS_LOG)) & (STEPS - 1);
    let first = if nanoseconds < STEPS { 0 } else { (u64::from(octave - STEPS_LOG) + 1) << STEPS_LOG };
    usize::try_from(first + if nanoseconds < STEPS { nanoseconds } else { step }).unwrap_or(BUCKETS - 1)
}

/// Greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let (octave, step) = (bucket as u64 >> STEPS_LOG, bucket as u64 & (STEPS - 1));
    match octave.checked_sub(1) {
        None => step,
        Some(shift) => ((STEPS + step) << shift) + ((1 << shift) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_at_most_a_sixteenth_below_the_top_of_its_bucket() {
        let powers = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) + 1, (1 << bit) - 1]);
        for value in powers.chain(0..2000) {
            let top = upper(bucket(value));
            assert!(top >= value && top - value <= value / 16, "{value} {top}");
        }
    }

    #[test]
    fn quantiles_are_of_what_was_recorded() {
        let mut latency = Latency::new();
        assert!(latency.is_empty());
        for milliseconds in 1..=100 {
            latency.record(Duration::from_millis(milliseconds));
        }
        assert!((0.050..0.054).contains(&latency.percentile_seconds(50)));
        assert!((0.099..=0.100).contains(&latency.quantile_seconds(990)));
        assert!((latency.percentile_seconds(100) - 0.1).abs() < 1e-9);
        latency.clear();
        assert!(latency.is_empty());
    }

    #[test]
    fn gauges_carry_their_names_and_are_absent_where_nothing_was_recorded() {
        let mut gauges = LatencyGauges::new("read_latency");
        assert_eq!(gauges.values(), []);
        gauges.record(Duration::from_secs(1));
        let names = ["p50", "p99", "p999", "max"].map(|level| format!("read_latency_{level}_seconds"));
        assert_eq!(gauges.values(), names.each_ref().map(|name| (name.as_str(), 1.0)));
        gauges.clear();
        assert_eq!(gauges.values(), []);
    }
}
