//! What was done so far: counted exactly, reported every second and at the end.

use std::time::{Duration, Instant};

use muster_model::quantity::print_size;
use muster_sdk::{Ending, Latency, Session};

/// Time between two metrics.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts of one process.
#[derive(Debug)]
pub(crate) struct Tally {
    device: String,
    begin: Instant,
    reported: Instant,
    write_latency: Latency,
    read_latency: Latency,
    pub(crate) writes: u64,
    pub(crate) reads: u64,
    pub(crate) written_bytes: u64,
    pub(crate) read_bytes: u64,
    /// Bytes that were read and found right.
    pub(crate) verified_bytes: u64,
    /// Passes that were written and read back whole.
    pub(crate) passes: u64,
    /// Transfers that failed, and those that brought wrong data.
    pub(crate) errors: u64,
    /// Time that was spent writing (mixed reads included), and reading back.
    pub(crate) writing: Duration,
    pub(crate) reading: Duration,
}

impl Tally {
    pub(crate) fn new(device: &str) -> Self {
        let now = Instant::now();
        Self {
            device: device.to_owned(),
            begin: now,
            reported: now,
            write_latency: Latency::new(),
            read_latency: Latency::new(),
            writes: 0,
            reads: 0,
            written_bytes: 0,
            read_bytes: 0,
            verified_bytes: 0,
            passes: 0,
            errors: 0,
            writing: Duration::ZERO,
            reading: Duration::ZERO,
        }
    }

    /// When the work began.
    pub(crate) fn begin(&self) -> Instant {
        self.begin
    }

    pub(crate) fn wrote(&mut self, bytes: usize, latency: Duration) {
        self.writes += 1;
        self.written_bytes += bytes as u64;
        self.write_latency.record(latency);
    }

    pub(crate) fn read(&mut self, bytes: usize, latency: Duration) {
        self.reads += 1;
        self.read_bytes += bytes as u64;
        self.read_latency.record(latency);
    }

    /// Reports if it is time to.
    pub(crate) fn report(&mut self, session: &Session, now: Instant) {
        if now.saturating_duration_since(self.reported) >= INTERVAL {
            self.reported = now;
            self.report_now(session);
        }
    }

    fn report_now(&mut self, session: &Session) {
        let mut gauges = Vec::new();
        gauges.extend(quantiles(&self.write_latency, WRITE_NAMES));
        gauges.extend(quantiles(&self.read_latency, READ_NAMES));
        session.metric(&self.device, &self.counters(), &gauges);
        self.write_latency.clear();
        self.read_latency.clear();
    }

    fn counters(&self) -> [(&'static str, f64); 7] {
        [
            ("written_bytes", float(self.written_bytes)),
            ("read_bytes", float(self.read_bytes)),
            ("verified_bytes", float(self.verified_bytes)),
            ("writes", float(self.writes)),
            ("reads", float(self.reads)),
            ("passes", float(self.passes)),
            ("errors", float(self.errors)),
        ]
    }

    /// Reports for the last time and adds the totals to the ending; `way` says how the transfers were made.
    pub(crate) fn finish(&mut self, session: &Session, ending: Ending, way: &str) -> Ending {
        self.report_now(session);
        let seconds = self.begin.elapsed().as_secs_f64();
        let iops = if seconds > 0.0 { float(self.writes + self.reads) / seconds } else { 0.0 };
        let ending = self.counters().iter().fold(ending, |ending, (name, value)| ending.total(name, *value));
        let text = format!(
            "{}: {} passes, {} written, {} verified, {seconds:.1} s, {iops:.0} transfers/s, {way}",
            self.device,
            self.passes,
            print_size(self.written_bytes),
            print_size(self.verified_bytes),
        );
        let (writing, reading) = (self.writing.as_secs_f64(), self.reading.as_secs_f64());
        let ending = ending.total("write_seconds", writing).total("read_seconds", reading);
        ending.total("seconds", seconds).total("iops", iops).text(&text)
    }
}

const WRITE_NAMES: [&str; 4] = [
    "write_latency_p50_seconds",
    "write_latency_p99_seconds",
    "write_latency_p999_seconds",
    "write_latency_max_seconds",
];
const READ_NAMES: [&str; 4] =
    ["read_latency_p50_seconds", "read_latency_p99_seconds", "read_latency_p999_seconds", "read_latency_max_seconds"];

/// None where nothing was done: an absent level is not a level of zero.
fn quantiles(latency: &Latency, names: [&'static str; 4]) -> Vec<(&'static str, f64)> {
    if latency.is_empty() {
        return Vec::new();
    }
    let [p50, p99, p999] = [500, 990, 999].map(|per_mille| latency.quantile_seconds(per_mille));
    let values = [p50, p99, p999, latency.greatest_seconds()];
    names.into_iter().zip(values).collect()
}

/// JSON's numbers hold counts exactly up to 2^53: 9 PB.
#[expect(clippy::cast_precision_loss, reason = "the wire's numbers are floating")]
fn float(count: u64) -> f64 {
    count as f64
}
