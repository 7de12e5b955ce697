//! What was done so far: counted exactly, reported every second and at the end.

use std::time::{Duration, Instant};

use muster_sdk::{Ending, Interval, LatencyGauges, METRIC_INTERVAL, Session, float};

use crate::core::Mode;

/// Counts of one process.
#[derive(Debug)]
pub(crate) struct Tally {
    begin: Instant,
    interval: Interval,
    /// From asking for a lock until it is granted.
    wait_latency: LatencyGauges,
    /// From its grant until it is given back.
    hold_latency: LatencyGauges,
    exclusive_locks: u64,
    shared_locks: u64,
    written_bytes: u64,
    /// Bytes of records that were verified and found right.
    verified_bytes: u64,
    pub(crate) errors: u64,
    /// Connections that were made again.
    pub(crate) reconnects: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            interval: Interval::new(METRIC_INTERVAL, now),
            wait_latency: LatencyGauges::new("wait_latency"),
            hold_latency: LatencyGauges::new("hold_latency"),
            exclusive_locks: 0,
            shared_locks: 0,
            written_bytes: 0,
            verified_bytes: 0,
            errors: 0,
            reconnects: 0,
        }
    }

    /// A lock was granted after so long.
    pub(crate) fn granted(&mut self, waited: Duration) {
        self.wait_latency.record(waited);
    }

    /// A lock was held for so long, with all checks, and given back.
    pub(crate) fn held(&mut self, mode: Mode, held: Duration) {
        self.hold_latency.record(held);
        match mode {
            Mode::Exclusive => self.exclusive_locks += 1,
            Mode::Shared => self.shared_locks += 1,
        }
    }

    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written_bytes += bytes as u64;
    }

    pub(crate) fn verified(&mut self, bytes: usize) {
        self.verified_bytes += bytes as u64;
    }

    /// Reports if it is time to; `levels` are those of a server.
    pub(crate) fn report(&mut self, session: &Session, levels: &[(&str, f64)]) {
        if self.interval.is_over(Instant::now()) {
            self.report_now(session, levels);
        }
    }

    fn report_now(&mut self, session: &Session, levels: &[(&str, f64)]) {
        let gauges = [self.wait_latency.values(), self.hold_latency.values(), levels.to_vec()].concat();
        session.metric("", &self.counters(), &gauges);
        self.wait_latency.clear();
        self.hold_latency.clear();
    }

    fn counters(&self) -> [(&'static str, f64); 6] {
        [
            ("exclusive_locks", float(self.exclusive_locks)),
            ("shared_locks", float(self.shared_locks)),
            ("written_bytes", float(self.written_bytes)),
            ("verified_bytes", float(self.verified_bytes)),
            ("errors", float(self.errors)),
            ("reconnects", float(self.reconnects)),
        ]
    }

    /// Reports for the last time and adds the totals to the ending.
    pub(crate) fn finish(&mut self, session: &Session, ending: Ending) -> Ending {
        self.report_now(session, &[]);
        let seconds = self.begin.elapsed().as_secs_f64();
        let locks = self.exclusive_locks + self.shared_locks;
        let rate = if seconds > 0.0 { float(locks) / seconds } else { 0.0 };
        let text = format!(
            "{} exclusive and {} shared locks, {rate:.0} a second, {seconds:.1} s, {} reconnects",
            self.exclusive_locks, self.shared_locks, self.reconnects
        );
        let ending = ending.totals(&self.counters()).total("seconds", seconds).total("locks_per_second", rate);
        ending.text(&text)
    }
}
