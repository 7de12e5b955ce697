//! What was done so far: counted exactly, reported every second and at the end.

use std::time::{Duration, Instant};

use muster_model::quantity::print_size;
use muster_sdk::{Ending, Interval, LatencyGauges, METRIC_INTERVAL, Session, float};

/// Counts of one process.
#[derive(Debug)]
pub(crate) struct Tally {
    device: String,
    begin: Instant,
    interval: Interval,
    write_latency: LatencyGauges,
    read_latency: LatencyGauges,
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
            interval: Interval::new(METRIC_INTERVAL, now),
            write_latency: LatencyGauges::new("write_latency"),
            read_latency: LatencyGauges::new("read_latency"),
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
        if self.interval.is_over(now) {
            self.report_now(session);
        }
    }

    fn report_now(&mut self, session: &Session) {
        let gauges = [self.write_latency.values(), self.read_latency.values()].concat();
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
        let ending = ending.totals(&self.counters());
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
