//! What is stored: decision logs and reports. Survives every crash.

use std::collections::BTreeMap;

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_model::PoolTime;
use muster_proto::v1::{self, Entry, envelope::Body};
use prost::Message;

/// A stream of the simulated JetStream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    Reservations,
    Machines,
    Jobs,
    Reports,
}

impl Stream {
    /// The decision logs.
    pub(crate) const LOGS: [Self; 3] = [Self::Reservations, Self::Machines, Self::Jobs];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reservations => muster_bus::streams::RESERVATIONS,
            Self::Machines => muster_bus::streams::MACHINES,
            Self::Jobs => muster_bus::streams::JOBS,
            Self::Reports => muster_bus::streams::REPORTS,
        }
    }
}

/// What is stored: survives every crash.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    messages: BTreeMap<Stream, Vec<Stored>>,
}

/// A stored message.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(super) at: PoolTime,
    pub(super) message: StoredMessage,
    /// Entries, of a decision log.
    pub(crate) entries: Vec<Entry>,
    /// What its writer took for the message before it, of a decision log.
    follows: u64,
}

impl Stored {
    /// Its bytes.
    pub(crate) fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// Its writer had folded the message before it, as the chain of hashes says of a real one.
    pub(super) fn is_in_chain(&self) -> bool {
        self.follows + 1 == self.message.sequence
    }
}

impl Streams {
    pub(crate) fn of(&self, stream: Stream) -> &[Stored] {
        self.messages.get(&stream).map_or(&[], Vec::as_slice)
    }

    /// Stores a batch of reports.
    pub(crate) fn store_report(&mut self, now: PoolTime, machine: &str, envelope: &v1::Envelope) {
        let subject = format!("muster.v1.agent.{machine}.rpt");
        self.push(Stream::Reports, now, subject, envelope.encode_to_vec().into(), Vec::new(), 0);
    }

    /// Sequence of the last message.
    pub(super) fn last(&self, stream: Stream) -> u64 {
        self.of(stream).len() as u64
    }

    /// Appends a turn to a decision log, as its followers will read it.
    pub(super) fn append(
        &mut self,
        stream: Stream,
        now: PoolTime,
        term: u64,
        event_type: &str,
        entries: Vec<Entry>,
        follows: u64,
    ) {
        let block = v1::TurnBlock { entries: entries.clone() }.encode_to_vec().into();
        let previous_hash = Bytes::from_static(&[0; 32]);
        let turn = v1::Turn { previous_hash, event_type: event_type.into(), block, ..Default::default() };
        let sequence = self.last(stream) + 1;
        let envelope = v1::Envelope { lineage: 1, sequence, term, body: Some(Body::Turn(turn)), ..Default::default() };
        self.push(
            stream,
            now,
            "muster.v1.log.simulated.turn".into(),
            envelope.encode_to_vec().into(),
            entries,
            follows,
        );
    }

    fn push(
        &mut self,
        stream: Stream,
        at: PoolTime,
        subject: String,
        payload: Bytes,
        entries: Vec<Entry>,
        follows: u64,
    ) {
        let sequence = self.last(stream) + 1;
        let message = StoredMessage { sequence, stored: at, subject, payload, pending: 0 };
        self.messages.entry(stream).or_default().push(Stored { at, message, entries, follows });
    }
}
