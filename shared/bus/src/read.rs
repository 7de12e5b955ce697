//! Reading a stream in order from a given sequence, across every restart of the server.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use bytes::Bytes;
use futures::StreamExt;
use muster_model::PoolTime;

use crate::{Bus, BusError};

/// How long to wait before a reader that failed is made again.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// How often a reader that waits looks whether the connection was made again: a server that was restarted has forgotten its
/// consumer, and the client alone notices that by missed heartbeats only, after half a minute.
const CONNECTION_LOOK: Duration = Duration::from_millis(200);
/// Messages that are fetched ahead, unless the reader says otherwise: with turns of half a MiB, the client's own 500 hold a quarter of a GiB.
const AHEAD: i64 = 64;

/// A message as it is stored.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Sequence in the stream.
    pub sequence: u64,
    /// When the server stored it.
    pub stored: PoolTime,
    /// Its subject.
    pub subject: String,
    /// Its payload.
    pub payload: Bytes,
    /// How many messages the stream held after this one when it was delivered.
    pub pending: u64,
}

/// Reads a stream in order. A gap in the sequences is what the stream no longer holds: the caller judges it.
pub struct StreamReader {
    bus: Bus,
    stream: String,
    filter: String,
    next: u64,
    ahead: i64,
    /// The consumer, and the connection that it was made over.
    messages: Option<(pull::Ordered, u64)>,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").field("stream", &self.stream).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Bus {
    /// A reader of `stream` from `sequence` on (1 is the first), of subjects that match `filter` (empty means all).
    #[must_use]
    pub fn read(&self, stream: &str, filter: &str, sequence: u64) -> StreamReader {
        StreamReader {
            bus: self.clone(),
            stream: stream.into(),
            filter: filter.into(),
            next: sequence.max(1),
            ahead: AHEAD,
            messages: None,
        }
    }
}

impl StreamReader {
    /// The same with so many messages fetched ahead, which the client keeps in memory.
    #[must_use]
    pub fn ahead(mut self, messages: i64) -> Self {
        self.ahead = messages;
        self
    }

    /// The next message; waits as long as it takes, through every fault of the server. Cancel-safe.
    pub async fn next(&mut self) -> StoredMessage {
        loop {
            match self.try_next().await {
                Ok(message) => return message,
                Err(error) => {
                    tracing::debug!(stream = %self.stream, %error, "reading failed, trying again");
                    self.messages = None;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<StoredMessage, BusError> {
        let failed = |error: String| BusError::failed("read the stream", error);
        if self.messages.is_none() {
            let connection = self.bus.connections();
            self.messages = Some((self.open().await?, connection));
        }
        let (messages, connection) = self.messages.as_mut().expect("opened above");
        let message = tokio::select! {
            biased;
            message = messages.next() => message.ok_or_else(|| failed("it ended".into()))?,
            () = other_connection(&self.bus, *connection) => return Err(failed("the connection was made again".into())),
        };
        let message = message.map_err(|error| failed(error.to_string()))?;
        let info = message.info().map_err(|error| failed(error.to_string()))?;
        let stored = PoolTime(i64::try_from(info.published.unix_timestamp_nanos()).unwrap_or(i64::MAX));
        let (sequence, pending) = (info.stream_sequence, info.pending);
        self.next = sequence + 1;
        let message = message.message;
        Ok(StoredMessage { sequence, stored, subject: message.subject.to_string(), payload: message.payload, pending })
    }

    async fn open(&mut self) -> Result<pull::Ordered, BusError> {
        let failed = |error: String| BusError::failed(format!("read the stream {}", self.stream), error);
        let stream = self.bus.jetstream().get_stream_no_info(&self.stream).await.map_err(|e| failed(e.to_string()))?;
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next },
            filter_subject: self.filter.clone(),
            max_batch: self.ahead,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| failed(error.to_string()))?;
        consumer.messages().await.map_err(|error| failed(error.to_string()))
    }
}

/// Waits until another connection than `connection` was made.
async fn other_connection(bus: &Bus, connection: u64) {
    while bus.connections() == connection {
        tokio::time::sleep(CONNECTION_LOOK).await;
    }
}
