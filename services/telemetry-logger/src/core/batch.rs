//! A batch: consecutive messages of one stream that become one transaction.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::PoolTime;
use muster_telemetry::records::{Gap, Origin, Records};

use super::{Decoded, Decoder, Kind, Message};

/// Reason of rejects that PostgreSQL refused; its own words follow.
const REASON_STORE: &str = "the store can not hold it";

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Values of samples.
    pub(crate) samples_max: usize,
    /// Bytes of payloads.
    pub(crate) bytes_max: usize,
    /// Messages.
    pub(crate) messages_max: usize,
}

/// Newest batches of agents that are known, so that repeats are dropped.
pub(crate) type Repeats = BTreeMap<Origin, u64>;

/// Consecutive messages.
#[derive(Debug)]
pub(crate) struct Batch {
    kind: Kind,
    stream: String,
    /// Position before the first message.
    from: u64,
    /// Position after the last.
    to: u64,
    /// Messages, with what they say until it is taken for a transaction.
    messages: Vec<(Message, Option<Decoded>)>,
    origins: BTreeSet<Origin>,
    samples: usize,
    bytes: usize,
}

impl Batch {
    /// An empty batch after a position.
    pub(crate) fn new(kind: Kind, stream: &str, from: u64) -> Self {
        let (messages, origins) = (Vec::new(), BTreeSet::new());
        Self { kind, stream: stream.into(), from, to: from, messages, origins, samples: 0, bytes: 0 }
    }

    /// Adds the next message; one that is not beyond the last is passed over.
    pub(crate) fn push(&mut self, message: Message, decoder: &mut Decoder) {
        if message.sequence <= self.to {
            return;
        }
        let decoded = decoder.decode(&message);
        self.origins.extend(decoded.batch.as_ref().map(|(origin, _)| origin.clone()));
        self.samples += decoded.samples();
        self.bytes += message.payload.len();
        self.to = message.sequence;
        self.messages.push((message, Some(decoded)));
    }

    /// It is to be written now.
    pub(crate) fn is_full(&self, limits: Limits) -> bool {
        self.samples >= limits.samples_max || self.bytes >= limits.bytes_max || self.len() >= limits.messages_max
    }

    /// How many messages are in it.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Values of samples in it.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// Position before its first message.
    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    /// Position after its last message.
    pub(crate) fn to(&self) -> u64 {
        self.to
    }

    /// When the stream stored its first message; none of an empty one.
    pub(crate) fn oldest(&self) -> Option<PoolTime> {
        self.messages.first().map(|(message, _)| message.stored)
    }

    /// Agents that speak in it.
    pub(crate) fn origins(&self) -> &BTreeSet<Origin> {
        &self.origins
    }

    /// Its rows: without repeats, with gaps where sequences are missing. Asked for again, the messages are decoded again.
    pub(crate) fn records(&mut self, repeats: &Repeats) -> Records {
        let mut decoder = Decoder::new(self.kind);
        let stored = self.messages.last().map(|(message, _)| message.stored);
        let mut all = Records { stored, ..Records::default() };
        let mut before = self.from;
        for (message, decoded) in &mut self.messages {
            let decoded = decoded.take().unwrap_or_else(|| decoder.decode(message));
            all.gaps.extend(gap(&self.stream, before, message.sequence));
            before = message.sequence;
            if let Some((origin, batch)) = decoded.batch {
                let newest = all.batches.get(&origin).or_else(|| repeats.get(&origin)).copied().unwrap_or(0);
                if batch <= newest {
                    continue;
                }
                all.batches.insert(origin, batch);
            }
            append(&mut all, decoded.records);
        }
        all
    }

    /// The same messages, one batch each: to find the one that PostgreSQL refuses.
    pub(crate) fn split(self) -> Vec<Self> {
        let (mut from, mut decoder) = (self.from, Decoder::new(self.kind));
        let mut parts = Vec::with_capacity(self.messages.len());
        for (message, _) in self.messages {
            let mut part = Self::new(self.kind, &self.stream, from);
            part.push(message, &mut decoder);
            from = part.to;
            parts.push(part);
        }
        parts
    }

    /// The same positions, with every message as a reject.
    pub(crate) fn rejected(mut self, reason: &str) -> Self {
        let mut decoder = Decoder::new(self.kind);
        for (message, decoded) in &mut self.messages {
            let mut rejected = Decoded::rejected(message, format!("{REASON_STORE}: {reason}"));
            // The chain of a log must not lose a link because of what could not be decoded from it.
            rejected.records.archived = decoder.decode(message).records.archived;
            *decoded = Some(rejected);
        }
        self
    }
}

/// The gap between two consecutive messages, if there is one.
fn gap(stream: &str, before: u64, next: u64) -> Option<Gap> {
    let reason = "the stream no longer held them";
    let (first, last) = (before + 1, next - 1);
    (first <= last).then(|| Gap { place: stream.into(), machine: None, first, last, reason: reason.into() })
}

fn append(all: &mut Records, part: Records) {
    let Records {
        stored: _,
        rejects,
        gaps,
        batches,
        bounds,
        layouts,
        samples,
        reports,
        archived,
        events,
        runs,
        jobs,
        processes,
        states,
        tasks,
    } = part;
    all.rejects.extend(rejects);
    all.gaps.extend(gaps);
    all.batches.extend(batches);
    all.bounds.extend(bounds);
    all.layouts.extend(layouts);
    all.samples.extend(samples);
    all.reports.extend(reports);
    all.archived.extend(archived);
    all.events.extend(events);
    for (run, started) in runs {
        all.runs.entry(run).or_insert(started);
    }
    all.jobs.extend(jobs);
    for (id, change) in processes {
        super::job::merge(all.processes.entry(id).or_default(), change);
    }
    all.states.extend(states);
    for (id, change) in tasks {
        super::plan::merge(all.tasks.entry(id).or_default(), change);
    }
}
