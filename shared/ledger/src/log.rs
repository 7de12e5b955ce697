//! The stream of a log: its ends, and single messages of it.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Bus, BusError, StoredMessage, StreamReader, streams};

use crate::LedgerError;

/// How long one question to the stream may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// A message that the stream says it has is waited for so long.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before a question to the stream is asked again.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(250);

/// A log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// Where it is.
    pub(crate) bus: Bus,
    /// Name of its stream.
    pub(crate) name: &'static str,
    /// Its owner.
    pub(crate) service: Service,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// Messages in it.
    pub(crate) messages: u64,
    /// First sequence that is still there.
    pub(crate) first: u64,
    /// Last sequence that was given.
    pub(crate) last: u64,
    /// It is filled to 90 % or more.
    pub(crate) is_nearly_full: bool,
}

impl Log {
    /// The log of an owning service.
    ///
    /// # Errors
    /// When the service owns none.
    pub(crate) fn of(bus: &Bus, service: Service) -> Result<Self, LedgerError> {
        let name = streams::log_of(service).ok_or_else(|| {
            LedgerError::refused("none", format!("{} owns no log", service.as_str()), "run a service that owns one")
        })?;
        Ok(Self { bus: bus.clone(), name, service })
    }

    /// What the stream holds; none when there is no such stream.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn ends(&self) -> Result<Option<Ends>, BusError> {
        let asked = tokio::time::timeout(ASK_TIMEOUT, self.bus.jetstream().get_stream(self.name)).await;
        let stream = match asked.map_err(|_| self.failed("look at", "no answer"))? {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    return Ok(None);
                }
                _ => return Err(self.failed("look at", error)),
            },
        };
        let info = stream.cached_info();
        let (bytes, bytes_max) = (info.state.bytes, u64::try_from(info.config.max_bytes).unwrap_or(0));
        Ok(Some(Ends {
            messages: info.state.messages,
            first: info.state.first_sequence,
            last: info.state.last_sequence,
            is_nearly_full: bytes_max > 0 && bytes >= bytes_max / 10 * 9,
        }))
    }

    /// What the stream holds, for who can do nothing without it.
    ///
    /// # Errors
    /// When there is no such stream, or the server does not answer.
    pub(crate) async fn existing_ends(&self) -> Result<Ends, LedgerError> {
        let missing = || LedgerError::refused(self.name, "there is no such stream", "make it with `muster admin init`");
        self.ends().await?.ok_or_else(missing)
    }

    /// The next message of the stream, which says that it has more.
    ///
    /// # Errors
    /// When nothing comes.
    pub(crate) async fn next_of(&self, reader: &mut StreamReader) -> Result<StoredMessage, BusError> {
        let message = tokio::time::timeout(MESSAGE_TIMEOUT, reader.next()).await;
        message.map_err(|_| self.failed("read", "it says that it has more, and nothing came"))
    }

    /// Payload of a message; none when it is not there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn message(&self, sequence: u64) -> Result<Option<Bytes>, BusError> {
        let stream = self.bus.jetstream().get_stream_no_info(self.name).await;
        let stream = stream.map_err(|error| self.failed("open", error))?;
        let asked = tokio::time::timeout(ASK_TIMEOUT, stream.get_raw_message(sequence)).await;
        match asked.map_err(|_| self.failed("read", "no answer"))? {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                _ => Err(self.failed("read", error)),
            },
        }
    }

    fn failed(&self, what: &str, reason: impl std::fmt::Display) -> BusError {
        BusError::Failed { what: format!("{what} the stream {}", self.name), reason: reason.to_string() }
    }
}
