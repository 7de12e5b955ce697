//! The receiving end of a stream: reads much at once, verifies every packet where it lies, and looks closer only at what is wrong.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::time::Duration;

use muster_pattern::{SECTOR_BYTES, decode_header, verify};
use muster_sdk::wall_time_ns;

use crate::core::{Disorder, Sequence, Wrong};
use crate::finding::Found;
use crate::flow::Flow;
use crate::record::{End, RECORD_BYTES, Record};
use crate::socket;
use crate::talk::{Failure, Line};

/// Bytes of the buffer at least. It holds what one read brings, and is small enough that this is still in the cache when it is
/// verified.
const READ_BYTES: usize = 256 * 1024;
/// Room that is left for a read, at least; below it, what is not verified yet moves to the front.
const ROOM_MIN: usize = 64 * 1024;

/// The receiving end of a stream.
pub(crate) struct Receiver<'t> {
    line: Line<'t>,
    flow: Flow,
    peer: &'t str,
    same_clock: bool,
    buffer: Buffer,
    /// Bytes for which a read wakes now.
    wake_bytes: usize,
}

/// What was read and not yet looked at.
struct Buffer {
    bytes: Vec<u8>,
    held: Range<usize>,
}

/// What a packet that is not the expected one turns out to be.
enum Other {
    /// A right packet of another place of the sequence.
    Packet(u64),
    /// The end of the packets.
    Finish(u64),
    /// Wrong data.
    Wrong,
}

impl<'t> Receiver<'t> {
    pub(crate) fn new(line: Line<'t>, flow: Flow, peer: &'t str, same_clock: bool) -> Self {
        Self { line, flow, peer, same_clock, buffer: Buffer::new(flow.packet_bytes()), wake_bytes: 1 }
    }

    pub(crate) fn run(mut self) -> Result<(), Failure> {
        match self.receive() {
            Ok(()) => self.finish(),
            Err(Failure::Corrupt(reason)) => {
                self.say_received(&reason);
                self.line.talk.end();
                self.drain();
                Err(Failure::Corrupt(reason))
            }
            Err(lost @ Failure::Lost(_)) => Err(lost),
        }
    }

    /// Packets until their end.
    fn receive(&mut self) -> Result<(), Failure> {
        let size = self.flow.packet_bytes();
        loop {
            self.verify_held()?;
            if self.buffer.held.len() < size {
                self.read(size)?;
                continue;
            }
            let packet = self.buffer.peek(size);
            let mut sequence = self.line.stream.sequence();
            match self.look(packet) {
                Other::Packet(number) => self.take(&mut sequence, packet, number)?,
                Other::Finish(last) => {
                    sequence.finish(last).or_else(|wrong| self.found(packet).disorder(&wrong))?;
                    drop(sequence);
                    self.buffer.skip(size);
                    return Ok(());
                }
                Other::Wrong => {
                    let next = sequence.next();
                    self.found(packet).content(next)?;
                    // Where the test goes on, it takes the place of the packet that it should be.
                    sequence.take(next).or_else(|wrong| self.pass_over(&mut sequence, packet, &wrong))?;
                }
            }
            drop(sequence);
            self.buffer.skip(size);
        }
    }

    /// Takes a right packet that is not the next one.
    fn take(&self, sequence: &mut Sequence, packet: &[u8], number: u64) -> Result<(), Failure> {
        while let Err(wrong) = sequence.take(number) {
            self.pass_over(sequence, packet, &wrong)?;
            // What came again is not counted again.
            if wrong.disorder == Disorder::Duplicated {
                return Ok(());
            }
            if number < sequence.next() {
                break;
            }
        }
        self.count(1);
        Ok(())
    }

    /// Reports a wrong order; an error unless the test goes on after it.
    fn pass_over(&self, sequence: &mut Sequence, packet: &[u8], wrong: &Wrong) -> Result<(), Failure> {
        self.found(packet).disorder(wrong)?;
        sequence.pass_over(wrong);
        Ok(())
    }

    /// Verifies and skips the whole packets that are held, up to one that is not what is next.
    fn verify_held(&mut self) -> Result<(), Failure> {
        let size = self.flow.packet_bytes();
        let mut sequence = self.line.stream.sequence();
        let (mut verified, mut taken) = (0, Ok(()));
        let begin = self.buffer.held.start;
        while taken.is_ok() && self.buffer.held.len() >= size {
            let next = sequence.next();
            if verify(self.buffer.peek(size), &self.flow.expectation(next)).is_err() {
                break;
            }
            taken = sequence.take(next);
            self.buffer.skip(size);
            verified += 1;
        }
        self.count(verified);
        let last = self.buffer.held.start;
        if self.same_clock && last > begin {
            self.time(&self.buffer.bytes[last - size..last]);
        }
        taken.or_else(|wrong| self.pass_over(&mut sequence, &self.buffer.bytes[last - size..last], &wrong))
    }

    fn count(&self, packets: u64) {
        self.line.stream.add_received(packets);
        self.line.session.iterate(packets);
    }

    /// Records how long a packet was on its way: the last one of each read.
    fn time(&self, packet: &[u8]) {
        let written = packet.first_chunk().and_then(decode_header).map(|(_, header)| header.stamp.time);
        let latency = written.and_then(|written| wall_time_ns().checked_sub(written));
        if let Some(latency) = latency {
            self.line.stream.latency().record(Duration::from_nanos(latency));
        }
    }

    /// What a packet is that is not the next one.
    fn look(&self, packet: &[u8]) -> Other {
        let first: &[u8; SECTOR_BYTES] = packet.first_chunk().expect("a packet has a sector");
        if let Some(Record::Finish { last }) = Record::decode(first) {
            return Other::Finish(last);
        }
        let said = decode_header(first).map(|(_, header)| header.stamp.expectation.sequence);
        let is_ours = |number: &u64| verify(packet, &self.flow.expectation(*number)).is_ok();
        said.filter(is_ours).map_or(Other::Wrong, Other::Packet)
    }

    /// The peer ends, so this end does as well: says what was received, and hears what the peer received of what was sent here.
    fn finish(&mut self) -> Result<(), Failure> {
        let found = self.line.stream.found().reason("packets");
        self.say_received(found.as_deref().unwrap_or_default());
        self.line.talk.end();
        while self.buffer.held.len() < RECORD_BYTES {
            self.read(RECORD_BYTES)?;
        }
        let record = self.buffer.peek(RECORD_BYTES).first_chunk().and_then(Record::decode);
        let Some(Record::End(end)) = record else {
            return Err(Failure::Lost("after its last packet the peer said something else".into()));
        };
        let sent = self.line.stream.sent();
        if !end.wrong.is_empty() {
            return Err(Failure::Corrupt(format!("peer {} found corrupt data: {}", self.peer, end.wrong)));
        }
        if end.packets != sent {
            let reason = format!("peer {} received {} packets of {sent}", self.peer, end.packets);
            return Err(Failure::Corrupt(reason));
        }
        found.map_or(Ok(()), |reason| Err(Failure::Corrupt(reason)))
    }

    fn say_received(&self, wrong: &str) {
        let packets = self.line.stream.received();
        self.line.talk.received(self.line.number, End { packets, wrong: wrong.to_owned() });
    }

    /// Reads until the peer has closed, so that it is never held up by data that nobody wants any more.
    fn drain(&mut self) {
        self.buffer.held = 0..0;
        while self.read(1).is_ok() {
            self.buffer.held = 0..0;
        }
    }

    fn found<'f>(&'f self, packet: &'f [u8]) -> Found<'f> {
        Found { line: self.line, flow: self.flow, peer: self.peer, packet }
    }

    /// Reads some of what is held once `whole` bytes are.
    fn read(&mut self, whole: usize) -> Result<(), Failure> {
        let mut socket = self.line.socket;
        let wake_bytes = socket::wake_bytes(whole - self.buffer.held.len());
        if wake_bytes != self.wake_bytes {
            let set = socket::set_wake_bytes(socket, wake_bytes);
            set.map_err(|error| Failure::Lost(format!("the socket takes no option: {error}")))?;
            self.wake_bytes = wake_bytes;
        }
        loop {
            match socket.read(self.buffer.room()) {
                Ok(0) => return Err(Failure::Lost("the peer's end of the connection closed".into())),
                Ok(count) => {
                    self.buffer.held.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Lost(format!("receiving failed: {error}"))),
            }
        }
    }
}

impl Buffer {
    fn new(packet_bytes: usize) -> Self {
        Self { bytes: vec![0; READ_BYTES.max(packet_bytes + ROOM_MIN)], held: 0..0 }
    }

    /// The first bytes that are held.
    fn peek(&self, size: usize) -> &[u8] {
        &self.bytes[self.held.start..self.held.start + size]
    }

    fn skip(&mut self, size: usize) {
        self.held.start += size;
    }

    /// Room for a read. What is held is less than a packet then, and moves to the front when there is little room behind it.
    fn room(&mut self) -> &mut [u8] {
        if self.held.is_empty() {
            self.held = 0..0;
        } else if self.bytes.len() - self.held.end < ROOM_MIN {
            self.bytes.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        &mut self.bytes[self.held.end..]
    }
}
