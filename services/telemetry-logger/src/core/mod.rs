//! From messages to rows: pure. No I/O, clock or randomness, so two writers make the same rows of the same messages.

mod batch;
mod census;
mod event;
mod job;
mod log;
mod machine;
mod plan;
mod report;
mod sample;

pub(crate) use batch::{Batch, Limits, Repeats};
pub(crate) use census::{Census, SeriesBounds};

use bytes::Bytes;
use muster_model::{MachineId, PoolTime};
use muster_proto::v1::Envelope;
use muster_telemetry::records::{Origin, Records, Reject};
use prost::Message as _;

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Batches of samples.
    Samples,
    /// Batches of reports.
    Reports,
    /// Turns of a decision log.
    Log,
}

/// A message as its stream stored it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Sequence in the stream.
    pub(crate) sequence: u64,
    /// When the stream stored it.
    pub(crate) stored: PoolTime,
    /// Its subject.
    pub(crate) subject: String,
    /// The machine that the subject names; none where it names none.
    pub(crate) machine: Option<MachineId>,
    /// Its payload.
    pub(crate) payload: Bytes,
}

/// What one message says, as rows.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    /// The agent's batch that it is; none for a log.
    batch: Option<(Origin, u64)>,
    /// Its rows, unless it is a repeat.
    records: Records,
}

/// Decodes the messages of one stream, and remembers what they repeat.
#[derive(Debug)]
pub(crate) struct Decoder {
    kind: Kind,
    layouts: sample::Layouts,
}

impl Decoder {
    /// One that remembers nothing yet.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, layouts: sample::Layouts::default() }
    }

    /// Decodes a message. What can not be decoded becomes a reject, never an error.
    fn decode(&mut self, message: &Message) -> Decoded {
        let decoded = Envelope::decode(message.payload.clone()).map_err(|error| error.to_string()).and_then(
            |envelope| match self.kind {
                Kind::Samples => sample::decode(message, envelope, &mut self.layouts),
                Kind::Reports => report::decode(message, envelope),
                Kind::Log => log::decode(message, envelope),
            },
        );
        decoded.unwrap_or_else(|reason| Decoded::rejected(message, reason))
    }
}

impl Decoded {
    /// The message as a reject.
    fn rejected(message: &Message, reason: String) -> Self {
        let records = Records { rejects: vec![reject(message, reason, 1)], ..Records::default() };
        Self { batch: None, records }
    }

    /// Values that it brings.
    fn samples(&self) -> usize {
        self.records.samples.iter().map(|sample| sample.values.len()).sum()
    }
}

/// A part of a message that could not be taken.
fn reject(message: &Message, reason: String, items: u32) -> Reject {
    Reject {
        sequence: message.sequence,
        stored: message.stored,
        subject: message.subject.clone(),
        reason,
        items,
        payload: message.payload.clone(),
    }
}

/// The time that a sender says, or when the stream stored it where it says none.
fn said_time(time_ns: i64, message: &Message) -> PoolTime {
    if time_ns > 0 { PoolTime(time_ns) } else { message.stored }
}

/// Checks that an agent speaks of itself: its machine is in the subject too.
fn check_machine(message: &Message, machine: &str) -> Result<(), String> {
    match &message.machine {
        Some(named) if named.as_str() == machine => Ok(()),
        _ => Err(format!("the batch is of machine `{}`, its subject is not", machine.escape_debug())),
    }
}

#[cfg(test)]
mod tests;
