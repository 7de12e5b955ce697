//! What was done so far: counted exactly, reported every second and at the end.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use muster_model::quantity::print_size;
use muster_sdk::{Ending, Interval, LatencyGauges, METRIC_INTERVAL, Session, float};

/// Bytes and time of one size of areas.
#[derive(Debug, Clone, Copy)]
struct OfSize {
    area_bytes: u64,
    bytes: u64,
    moving: Duration,
    verifying: Duration,
}

/// Counts of one process.
#[derive(Debug)]
pub(crate) struct Tally {
    begin: Instant,
    interval: Interval,
    move_latency: LatencyGauges,
    verify_latency: LatencyGauges,
    sizes: Vec<OfSize>,
    pub(crate) filled_bytes: u64,
    pub(crate) moved_bytes: u64,
    /// Bytes that were verified after a move, and found right.
    pub(crate) verified_bytes: u64,
    pub(crate) moves: u64,
    /// Moves between two NUMA nodes.
    pub(crate) remote_moves: u64,
    /// Passes that were filled, moved and verified whole.
    pub(crate) passes: u64,
    pub(crate) errors: u64,
}

impl Tally {
    pub(crate) fn new(sizes: &[u64]) -> Self {
        let now = Instant::now();
        let of = |area_bytes: &u64| OfSize {
            area_bytes: *area_bytes,
            bytes: 0,
            moving: Duration::ZERO,
            verifying: Duration::ZERO,
        };
        Self {
            begin: now,
            interval: Interval::new(METRIC_INTERVAL, now),
            move_latency: LatencyGauges::new("move_latency"),
            verify_latency: LatencyGauges::new("verify_latency"),
            sizes: sizes.iter().map(of).collect(),
            filled_bytes: 0,
            moved_bytes: 0,
            verified_bytes: 0,
            moves: 0,
            remote_moves: 0,
            passes: 0,
            errors: 0,
        }
    }

    /// When the work began.
    pub(crate) fn begin(&self) -> Instant {
        self.begin
    }

    /// Counts a move, and the verification that found it right.
    pub(crate) fn moved(&mut self, bytes: u64, is_remote: bool, moving: Duration, verifying: Duration) {
        self.moves += 1;
        self.moved_bytes += bytes;
        self.verified_bytes += bytes;
        self.remote_moves += u64::from(is_remote);
        self.move_latency.record(moving);
        self.verify_latency.record(verifying);
        if let Some(size) = self.sizes.iter_mut().find(|size| size.area_bytes == bytes) {
            size.bytes += bytes;
            size.moving += moving;
            size.verifying += verifying;
        }
    }

    /// Reports if it is time to.
    pub(crate) fn report(&mut self, session: &Session, now: Instant) {
        if self.interval.is_over(now) {
            self.report_now(session);
        }
    }

    fn report_now(&mut self, session: &Session) {
        let gauges = [self.move_latency.values(), self.verify_latency.values()].concat();
        session.metric("", &self.counters(), &gauges);
        self.move_latency.clear();
        self.verify_latency.clear();
    }

    fn counters(&self) -> [(&'static str, f64); 7] {
        [
            ("filled_bytes", float(self.filled_bytes)),
            ("moved_bytes", float(self.moved_bytes)),
            ("verified_bytes", float(self.verified_bytes)),
            ("moves", float(self.moves)),
            ("remote_moves", float(self.remote_moves)),
            ("passes", float(self.passes)),
            ("errors", float(self.errors)),
        ]
    }

    /// Reports for the last time and adds the totals to the ending.
    pub(crate) fn finish(&mut self, session: &Session, ending: Ending) -> Ending {
        self.report_now(session);
        let seconds = self.begin.elapsed().as_secs_f64();
        let mut text = format!(
            "{} passes, {} moves, {} moved and verified, {seconds:.1} s",
            self.passes,
            self.moves,
            print_size(self.moved_bytes)
        );
        let sum = |of: fn(&OfSize) -> Duration| self.sizes.iter().map(of).sum::<Duration>().as_secs_f64();
        for size in self.sizes.iter().filter(|size| size.bytes > 0) {
            let rate = |time: Duration| float(size.bytes) / time.as_secs_f64().max(1e-9) / 1e9;
            let (area, moved, verified) = (print_size(size.area_bytes), rate(size.moving), rate(size.verifying));
            let _ = write!(text, "; {area}: {moved:.1} GB/s moved, {verified:.1} GB/s verified");
        }
        let ending = ending.totals(&self.counters());
        let ending = ending.total("move_seconds", sum(|size| size.moving));
        let ending = ending.total("verify_seconds", sum(|size| size.verifying));
        let rate = if seconds > 0.0 { float(self.moves) / seconds } else { 0.0 };
        ending.total("seconds", seconds).total("moves_per_second", rate).text(&text)
    }
}
