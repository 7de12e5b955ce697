//! What was done so far: counted exactly, reported every second and at the end.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_sdk::{Ending, Interval, METRIC_INTERVAL, Session, float};

use crate::settings::Settings;
use crate::socket;
use crate::stream::Stream;

/// Bytes in the unit that people read.
const MIB: f64 = 1024.0 * 1024.0;

/// Counts of one process.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) streams: Arc<[Stream]>,
    packet_bytes: u64,
    begin: Instant,
    interval: Interval,
    /// Most packets that were ever sent: a counter only rises, though a break takes packets back.
    sent_most: u64,
    /// Of connections that are over.
    retransmits: u64,
    /// Meetings after the first.
    pub(crate) reconnects: u64,
}

impl Tally {
    pub(crate) fn new(settings: &Settings) -> Self {
        let now = Instant::now();
        Self {
            streams: (0..settings.streams).map(|_| Stream::new()).collect(),
            packet_bytes: settings.packet_bytes as u64,
            begin: now,
            interval: Interval::new(METRIC_INTERVAL, now),
            sent_most: 0,
            retransmits: 0,
            reconnects: 0,
        }
    }

    /// The work begins.
    pub(crate) fn begin(&mut self) {
        self.begin = Instant::now();
        self.interval = Interval::new(METRIC_INTERVAL, self.begin);
    }

    /// Time since the work began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// The packets that are to come next, of each stream.
    pub(crate) fn next_packets(&self) -> Vec<u64> {
        self.streams.iter().map(|stream| stream.sequence().next()).collect()
    }

    /// Reports if it is time to.
    pub(crate) fn report(&mut self, session: &Session, sockets: &[TcpStream]) {
        if self.interval.is_over(Instant::now()) {
            self.report_now(session, sockets);
        }
    }

    /// Reports, and keeps what the kernel counted of connections that are over.
    pub(crate) fn close(&mut self, session: &Session, sockets: &[TcpStream]) {
        self.interval = Interval::new(METRIC_INTERVAL, Instant::now());
        self.report_now(session, sockets);
        self.retransmits += retransmits(sockets);
    }

    fn report_now(&mut self, session: &Session, sockets: &[TcpStream]) {
        self.sent_most = self.sent_most.max(self.sent());
        let counters = self.counters(self.sent_most, retransmits(sockets));
        let mut gauges = self.latencies();
        let round_trips = sockets.iter().map(|socket| socket::kernel(socket).round_trip);
        if let Some(longest) = round_trips.max() {
            gauges.push(("round_trip_seconds", longest.as_secs_f64()));
        }
        session.metric("", &counters, &gauges);
    }

    fn sent(&self) -> u64 {
        self.streams.iter().map(Stream::sent).sum()
    }

    /// Packets that were received and found right.
    pub(crate) fn received(&self) -> u64 {
        self.streams.iter().map(Stream::received).sum()
    }

    fn counters(&self, sent: u64, retransmits: u64) -> [(&'static str, f64); 7] {
        let received = self.received();
        [
            ("sent_bytes", float(sent * self.packet_bytes)),
            ("sent_packets", float(sent)),
            ("received_bytes", float(received * self.packet_bytes)),
            ("received_packets", float(received)),
            ("verified_bytes", float(received * self.packet_bytes)),
            ("retransmits", float(self.retransmits + retransmits)),
            ("reconnects", float(self.reconnects)),
        ]
    }

    /// Latencies of the interval; none where the two clocks are not one.
    fn latencies(&self) -> Vec<(&'static str, f64)> {
        let mut gauges: Vec<(&'static str, f64)> = Vec::new();
        for stream in self.streams.iter() {
            let mut latency = stream.latency();
            if latency.is_empty() {
                continue;
            }
            let values = [latency.percentile_seconds(50), latency.percentile_seconds(99), latency.greatest_seconds()];
            latency.clear();
            // Of several streams, the slowest.
            for (name, value) in LATENCIES.into_iter().zip(values) {
                match gauges.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => *known = known.max(value),
                    None => gauges.push((name, value)),
                }
            }
        }
        gauges
    }

    /// Adds the totals to the ending.
    pub(crate) fn finish(&self, ending: Ending) -> Ending {
        let seconds = self.elapsed().as_secs_f64();
        let ending = ending.totals(&self.counters(self.sent(), 0));
        let bytes = |packets: u64| format!("{:.1} MiB", float(packets * self.packet_bytes) / MIB);
        let text = format!(
            "{} sent, {} received and verified, {seconds:.1} s, {} reconnects",
            bytes(self.sent()),
            bytes(self.received()),
            self.reconnects,
        );
        ending.total("seconds", seconds).text(&text)
    }
}

const LATENCIES: [&str; 3] = ["latency_p50_seconds", "latency_p99_seconds", "latency_max_seconds"];

fn retransmits(sockets: &[TcpStream]) -> u64 {
    sockets.iter().map(|socket| socket::kernel(socket).retransmits).sum()
}
