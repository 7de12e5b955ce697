//! The sending end of a stream: packets, as many as fit one write, then how many there were, then what was received here.

use std::io::Write;
use std::time::{Duration, Instant};

use muster_pattern::SECTOR_BYTES;
use muster_sdk::wall_time_ns;

use crate::flow::Flow;
use crate::inject;
use crate::pace::Pace;
use crate::record::Record;
use crate::settings::Injection;
use crate::talk::{Failure, Line};

/// Bytes of a write: packets share it. Small enough that what was filled is still in the cache when the kernel copies it.
const WRITE_BYTES: usize = 256 * 1024;

/// The sending end of a stream.
pub(crate) struct Sender<'t> {
    line: Line<'t>,
    flow: Flow,
    /// Packet that is sent next.
    next: u64,
    pace: Pace,
    inject: Option<Injection>,
}

impl<'t> Sender<'t> {
    pub(crate) fn new(line: Line<'t>, flow: Flow, next: u64) -> Self {
        let pace = Pace::new(line.talk.stream_rate_max(), Instant::now());
        // One stream does it, once.
        let inject = line.settings.inject.filter(|_| line.number == 0 && next <= inject::AT_PACKET);
        Self { line, flow, next, pace, inject }
    }

    pub(crate) fn run(mut self) -> Result<(), Failure> {
        self.line.stream.set_sent(self.next - 1);
        if self.line.settings.sends() {
            self.send_packets()?;
        } else {
            while self.line.talk.is_going() {
                self.line.talk.wait_while_going(Duration::MAX, self.line.talk.stream_rate_max());
            }
        }
        self.finish()
    }

    fn send_packets(&mut self) -> Result<(), Failure> {
        let mut buffer = vec![0; self.packets_of_write() * self.flow.packet_bytes()];
        while self.line.talk.is_going() {
            if self.take_rate() {
                buffer.resize(self.packets_of_write() * self.flow.packet_bytes(), 0);
            }
            if !self.keep_pace() {
                continue;
            }
            if self.line.session.gate() {
                continue;
            }
            if let Some(injection) = self.inject.filter(|_| self.next >= inject::AT_PACKET) {
                self.inject = None;
                self.send_wrong(injection)?;
                continue;
            }
            let time = wall_time_ns();
            for (packet, buffer) in (self.next..).zip(buffer.chunks_exact_mut(self.flow.packet_bytes())) {
                self.flow.fill(buffer, packet, time);
            }
            self.write(&buffer)?;
            self.sent(buffer.len() as u64, self.next + (buffer.len() / self.flow.packet_bytes()) as u64);
        }
        Ok(())
    }

    /// Packets that share a write. Who injects writes them one by one, so that the injection comes at its packet.
    fn packets_of_write(&self) -> usize {
        let bytes = usize::try_from(self.pace.turn_bytes()).unwrap_or(usize::MAX).min(WRITE_BYTES);
        if self.inject.is_some() { 1 } else { (bytes / self.flow.packet_bytes()).max(1) }
    }

    fn send_wrong(&mut self, injection: Injection) -> Result<(), Failure> {
        let (bytes, next) = inject::wrong(injection, &self.flow, self.next, wall_time_ns(), self.line.session.seed());
        let name = match injection {
            Injection::Content(class) => class.to_string(),
            Injection::Order(disorder) => disorder.to_string(),
        };
        self.line.session.event("injected", &format!("{name} at packet {}", self.next));
        self.write(&bytes)?;
        self.sent(bytes.len() as u64, next);
        Ok(())
    }

    fn sent(&mut self, bytes: u64, next: u64) {
        self.pace.wrote(bytes);
        if !self.line.settings.receives() {
            self.line.session.iterate(next - self.next);
        }
        self.next = next;
        self.line.stream.set_sent(next - 1);
    }

    /// Takes another limit, where there is one; true where the pace is another.
    fn take_rate(&mut self) -> bool {
        let rate = self.line.talk.stream_rate_max();
        let is_other = rate != self.pace.rate_max();
        if is_other {
            self.pace = Pace::new(rate, Instant::now());
        }
        is_other
    }

    /// Waits for its turn; false when it has waited, as the end or another limit may have come meanwhile.
    fn keep_pace(&self) -> bool {
        let pause = self.pace.pause();
        if pause.is_zero() {
            return true;
        }
        self.line.talk.wait_while_going(pause, self.pace.rate_max());
        false
    }

    /// Says how many packets there were, in the place of one, and when everything was received here, what.
    fn finish(&mut self) -> Result<(), Failure> {
        let mut packet = vec![0; self.flow.packet_bytes()];
        packet[..SECTOR_BYTES].copy_from_slice(&Record::Finish { last: self.next - 1 }.encode());
        self.write(&packet)?;
        match self.line.talk.wait_received(self.line.number) {
            Some(end) => self.write(&Record::End(end).encode()),
            None => Ok(()),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut socket = self.line.socket;
        socket.write_all(bytes).map_err(|error| Failure::Lost(format!("sending failed: {error}")))
    }
}
