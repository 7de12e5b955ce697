//! One direction of one stream: what its packets hold.

use muster_pattern::{Expectation, Owner, Stamp, fill, name_hash};

use crate::settings::{PACKET_BYTES_MAX, Role};

/// Who writes a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The process.
    pub(crate) owner: Owner,
    /// [`name_hash`] of its machine.
    pub(crate) machine: u32,
}

/// One direction of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    writer: Writer,
    stream: usize,
    target: u32,
    packet_bytes: usize,
}

impl Flow {
    pub(crate) fn new(writer: Writer, sender: Role, stream: usize, packet_bytes: usize) -> Self {
        let target = name_hash(&name(sender, stream));
        Self { writer, stream, target, packet_bytes }
    }

    /// What a packet must hold; the first one is 1. Offsets tell the streams of a process apart in every word; within a stream, a
    /// place of a packet has the same offset in all of them, and their numbers are the passes.
    pub(crate) fn expectation(&self, packet: u64) -> Expectation {
        Expectation {
            owner: self.writer.owner,
            target: self.target,
            machine: self.writer.machine,
            sequence: packet,
            offset: (self.stream * PACKET_BYTES_MAX) as u64,
        }
    }

    /// Fills a packet.
    pub(crate) fn fill(&self, buffer: &mut [u8], packet: u64, time: u64) {
        fill(buffer, &Stamp { expectation: self.expectation(packet), time });
    }

    /// Bytes of a packet.
    pub(crate) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// Byte of the flow at which a packet begins.
    pub(crate) fn byte_of(&self, packet: u64) -> u64 {
        packet.saturating_sub(1) * self.packet_bytes as u64
    }
}

/// `server-to-client/0`
pub(crate) fn name(sender: Role, stream: usize) -> String {
    format!("{}-to-{}/{stream}", sender.name(), sender.other().name())
}
