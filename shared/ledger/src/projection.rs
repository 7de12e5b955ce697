//! Projections for readers: a KV memory bucket that follows the state, written as atomic batches.
//!
//! Deciding never reads it. What is written is the difference between what is wanted and what is there; `_head` comes last, and a
//! bucket without it is being rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{kv, stream};
use bytes::Bytes;
use muster_bus::{Bus, BusError};
use muster_model::{Position, Term};
use muster_proto::v1::Envelope;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Core;
use crate::fold::Fold;
use crate::log::Log;
use crate::run::Context;

/// Key of the position that the bucket is at.
const HEAD_KEY: &str = "_head";
/// How long the server remembers that a key was removed, for readers that were away; without it every key that ever was stays in its
/// memory.
const MARKER_TTL: &str = "60s";
/// Keys of one atomic batch, `_head` beside them.
const BATCH_MAX: usize = 999;
/// Changes that wait to be written.
const CHANGES_MAX: usize = 4;
/// How long one batch may take.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a bucket that nothing changes is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before a bucket that failed is looked at again.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Values of keys; none removes one.
type Values = Vec<(String, Option<Bytes>)>;

/// A change of the projection.
struct Change {
    values: Values,
    position: Position,
    term: Term,
}

/// Collects what changed, for the writer.
pub(crate) struct Projector<C: Core> {
    dirty: BTreeSet<C::Key>,
    /// The whole state was given once.
    has_begun: bool,
    changes: mpsc::Sender<Change>,
}

impl<C: Core> Projector<C> {
    /// Starts the writer of a leader; none when there is no projection.
    pub(crate) fn start(context: &Arc<Context<C>>, fold: &Fold<C>, tasks: &mut JoinSet<()>) -> Option<Self> {
        let bucket = context.options.projection?;
        let (changes, changes_end) = mpsc::channel(CHANGES_MAX);
        let writer = Writer {
            log: context.log.clone(),
            bucket,
            want: BTreeMap::new(),
            have: BTreeMap::new(),
            last: None,
            position: fold.head.position,
            term: fold.head.term,
        };
        tasks.spawn(writer.run(changes_end));
        let dirty = C::keys(&fold.state).into_iter().collect();
        Some(Self { dirty, has_begun: false, changes })
    }

    /// Keys were touched.
    pub(crate) fn touch(&mut self, touched: &BTreeSet<C::Key>) {
        self.dirty.extend(touched.iter().cloned());
    }

    /// Whether there is something to send.
    pub(crate) fn has_dirty(&self) -> bool {
        !self.has_begun || !self.dirty.is_empty()
    }

    /// Gives what changed to the writer; while that is busy, it keeps on collecting.
    pub(crate) fn send(&mut self, fold: &Fold<C>) {
        let Ok(permit) = self.changes.try_reserve() else { return };
        let dirty = std::mem::take(&mut self.dirty);
        let values = dirty.iter().flat_map(|key| C::project(&fold.state, key)).collect();
        permit.send(Change { values, position: fold.head.position, term: fold.head.term });
        self.has_begun = true;
    }
}

/// Writes one bucket.
struct Writer {
    log: Log,
    bucket: &'static str,
    want: BTreeMap<String, Bytes>,
    have: BTreeMap<String, Bytes>,
    /// Last sequence of the bucket; none when it has to be read.
    last: Option<u64>,
    position: Position,
    term: Term,
}

/// What became of a write.
enum Written {
    Done,
    /// A newer leader writes.
    Superseded,
}

impl Writer {
    async fn run(mut self, mut changes: mpsc::Receiver<Change>) {
        loop {
            match tokio::time::timeout(CHECK_EVERY, changes.recv()).await {
                Ok(Some(change)) => self.merge(change),
                Ok(None) => return,
                Err(_) if self.is_there().await => continue,
                Err(_) => self.last = None,
            }
            while let Ok(change) = changes.try_recv() {
                self.merge(change);
            }
            loop {
                match self.write().await {
                    Ok(Written::Done) => break,
                    Ok(Written::Superseded) => return,
                    Err(error) => {
                        tracing::debug!(bucket = self.bucket, %error, "writing the projection failed, trying again");
                        self.last = None;
                        tokio::time::sleep(RETRY_DELAY).await;
                    }
                }
            }
        }
    }

    /// Whether the bucket is as it was left: it goes with the server's memory.
    async fn is_there(&self) -> bool {
        let name = format!("KV_{}", self.bucket);
        match self.log.bus.jetstream().get_stream(&name).await {
            Ok(found) => self.last.is_none_or(|last| last == found.cached_info().state.last_sequence),
            // A server that is away says nothing about the bucket; without the stream a write would say so.
            Err(error) => !matches!(error.kind(), GetStreamErrorKind::JetStream(_)) || self.last.is_none(),
        }
    }

    fn merge(&mut self, change: Change) {
        for (key, value) in change.values {
            match value {
                Some(value) => drop(self.want.insert(key, value)),
                None => drop(self.want.remove(&key)),
            }
        }
        (self.position, self.term) = (change.position, change.term);
    }

    async fn write(&mut self) -> Result<Written, BusError> {
        let mut last = match self.last {
            Some(last) => last,
            None => match self.read().await? {
                Some(last) => last,
                None => return Ok(Written::Superseded),
            },
        };
        let mut difference = self.difference();
        loop {
            let rest = difference.split_off(difference.len().min(BATCH_MAX));
            let mut batch = difference;
            if rest.is_empty() {
                batch.push((HEAD_KEY.into(), Some(self.head())));
            }
            last = self.commit(&batch, last).await?;
            self.last = Some(last);
            for (key, value) in batch {
                match value {
                    Some(value) => drop(self.have.insert(key, value)),
                    None => drop(self.have.remove(&key)),
                }
            }
            if rest.is_empty() {
                return Ok(Written::Done);
            }
            difference = rest;
        }
    }

    fn difference(&self) -> Values {
        let changed = self.want.iter().filter(|(key, value)| self.have.get(*key) != Some(value));
        let gone = self.have.keys().filter(|key| *key != HEAD_KEY && !self.want.contains_key(*key));
        let changed = changed.map(|(key, value)| (key.clone(), Some(value.clone())));
        changed.chain(gone.map(|key| (key.clone(), None))).collect()
    }

    fn head(&self) -> Bytes {
        let (lineage, sequence) = (self.position.lineage.0, self.position.sequence.0);
        Envelope { lineage, sequence, term: self.term.0, ..Envelope::default() }.encode_to_vec().into()
    }

    /// Reads what is in the bucket, and its last sequence; makes it when it is missing. None when a newer leader wrote it.
    async fn read(&mut self) -> Result<Option<u64>, BusError> {
        let bus = &self.log.bus;
        let state = ensure(&self.log, self.bucket).await?;
        self.have.clear();
        if state.messages > 0 {
            let mut reader = bus.read(&format!("KV_{}", self.bucket), "", state.first_sequence);
            loop {
                let message = tokio::time::timeout(COMMIT_TIMEOUT, reader.next()).await;
                let message = message.map_err(|_| failed(self.bucket, &"no answer"))?;
                let prefix = format!("$KV.{}.", self.bucket);
                if let Some(key) = message.subject.strip_prefix(&prefix).filter(|_| !message.payload.is_empty()) {
                    self.have.insert(key.to_owned(), message.payload.clone());
                }
                if message.pending == 0 {
                    break;
                }
            }
        }
        let head = self.have.get(HEAD_KEY).and_then(|head| Envelope::decode(head.clone()).ok()).unwrap_or_default();
        let ours = (self.position.lineage.0, self.term.0);
        if (head.lineage, head.term) > ours {
            tracing::info!(bucket = self.bucket, "a newer leader writes the projection");
            return Ok(None);
        }
        Ok(Some(state.last_sequence))
    }

    /// Writes one atomic batch after `last`: all of it or nothing.
    async fn commit(&self, batch: &Values, last: u64) -> Result<u64, BusError> {
        let bus = &self.log.bus;
        let id = uuid::Uuid::now_v7().simple().to_string();
        for (index, (key, value)) in batch.iter().enumerate() {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", (index + 1).to_string());
            if index == 0 {
                headers.insert("Nats-Expected-Last-Sequence", last.to_string());
            }
            if value.is_none() {
                headers.insert("KV-Operation", "DEL");
                headers.insert("Nats-TTL", MARKER_TTL);
            }
            let subject = format!("$KV.{}.{key}", self.bucket);
            let payload = value.clone().unwrap_or_default();
            if index + 1 < batch.len() {
                let sent = bus.client().publish_with_headers(subject, headers, payload).await;
                sent.map_err(|error| failed(self.bucket, &error))?;
                continue;
            }
            headers.insert("Nats-Batch-Commit", "1");
            let message = PublishMessage::build().headers(headers).payload(payload);
            let sent =
                bus.jetstream().send_publish(subject, message).await.map_err(|error| failed(self.bucket, &error))?;
            let committed = tokio::time::timeout(COMMIT_TIMEOUT, std::future::IntoFuture::into_future(sent)).await;
            let committed = committed.map_err(|_| failed(self.bucket, &"no answer"))?;
            return Ok(committed.map_err(|error| failed(self.bucket, &error))?.sequence);
        }
        Ok(last)
    }
}

/// The state of the bucket's stream, which is made when it is missing: a memory bucket goes with its server.
async fn ensure(log: &Log, bucket: &'static str) -> Result<stream::State, BusError> {
    let bus: &Bus = &log.bus;
    let name = format!("KV_{bucket}");
    if let Ok(found) = bus.jetstream().get_stream(&name).await {
        let info = found.cached_info();
        if info.config.allow_atomic_publish && info.config.allow_message_ttl {
            return Ok(info.state.clone());
        }
        let config = with_batches(info.config.clone());
        bus.jetstream().update_stream(config).await.map_err(|error| failed(bucket, &error))?;
        return Ok(info.state.clone());
    }
    let replicas = bus.jetstream().get_stream(log.name).await.map_or(1, |log| log.cached_info().config.num_replicas);
    let config = kv::Config {
        bucket: bucket.into(),
        description: "Projection for readers; never read by who decides.".into(),
        history: 1,
        storage: stream::StorageType::Memory,
        num_replicas: replicas,
        ..Default::default()
    };
    bus.jetstream().create_key_value(config).await.map_err(|error| failed(bucket, &error))?;
    let made = bus.jetstream().get_stream(&name).await.map_err(|error| failed(bucket, &error))?;
    let info = made.cached_info();
    let config = with_batches(info.config.clone());
    bus.jetstream().update_stream(config).await.map_err(|error| failed(bucket, &error))?;
    Ok(info.state.clone())
}

/// What a bucket is made without: atomic batches, and marks of removal that go away.
fn with_batches(config: stream::Config) -> stream::Config {
    stream::Config { allow_atomic_publish: true, allow_message_ttl: true, ..config }
}

fn failed(bucket: &str, reason: &dyn std::fmt::Display) -> BusError {
    BusError::Failed { what: format!("write the projection {bucket}"), reason: reason.to_string() }
}
