//! Envelopes, publishing, requests and plain subscriptions.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use futures::StreamExt;
use muster_model::{CommandId, Epoch, Incarnation, Position, Term};
use muster_proto::v1::{Envelope, envelope::Body};
use prost::Message;

use crate::{Bus, BusError, RequestError};

/// With which authority something is said: what stands beside the body in an envelope.
#[derive(Debug, Clone, Copy, Default)]
pub struct Authority {
    /// Position in the sender's log that it follows from.
    pub position: Position,
    /// Term of the sending leader.
    pub term: Term,
    /// Epoch of the machine concerned.
    pub epoch: Epoch,
    /// Incarnation of the agent concerned.
    pub incarnation: Incarnation,
    /// The command, when it is one.
    pub command: Option<CommandId>,
}

/// The body of an envelope.
///
/// # Errors
/// Says so when there is none: the sender knows a newer Muster.
pub fn body(envelope: Envelope) -> Result<Body, &'static str> {
    envelope.body.ok_or("the envelope has no body that this version knows")
}

/// A message that was heard.
#[derive(Debug)]
pub struct Inbound {
    /// Subject it came on.
    pub subject: String,
    /// Where an answer is wanted, if at all.
    pub reply: Option<String>,
    /// The message, or why it can not be decoded.
    pub envelope: Result<Envelope, String>,
}

impl Bus {
    /// An envelope around a body, stamped with who, when and a fresh id.
    #[must_use]
    pub fn envelope(&self, body: Body, authority: Authority) -> Envelope {
        Envelope {
            id: Bytes::copy_from_slice(&fresh_id()),
            source: self.source.to_string(),
            actor: self.actor.to_string(),
            time_ns: self.now().0,
            lineage: authority.position.lineage.0,
            sequence: authority.position.sequence.0,
            term: authority.term.0,
            epoch: authority.epoch.0,
            incarnation: authority.incarnation.0,
            cmd_id: authority.command.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0)),
            body: Some(body),
            asked_at_ns: 0,
        }
    }

    /// Publishes on a core subject: heard by who listens now, or by nobody.
    ///
    /// # Errors
    /// When it is too large, or the connection is gone for good.
    pub async fn publish(&self, subject: &str, envelope: &Envelope) -> Result<(), BusError> {
        let payload = envelope.encode_to_vec().into();
        let result = self.client().publish_with_headers(subject.to_owned(), headers(), payload).await;
        result.map_err(|error| BusError::failed(format!("publish to {subject}"), error))
    }

    /// Publishes with a reply subject, on which answers may come; used by heartbeats.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn publish_with_reply(&self, subject: &str, reply: &str, envelope: &Envelope) -> Result<(), BusError> {
        let payload = envelope.encode_to_vec().into();
        let (subject, reply) = (subject.to_owned(), reply.to_owned());
        let result = self.client().publish_with_reply_and_headers(subject.clone(), reply, headers(), payload).await;
        result.map_err(|error| BusError::failed(format!("publish to {subject}"), error))
    }

    /// Answers on a reply subject; who asked and hears nothing asks again.
    pub async fn answer(&self, reply: &str, body: Body, authority: Authority) {
        if let Err(error) = self.publish(reply, &self.envelope(body, authority)).await {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }

    /// A fresh subject that only this connection listens on.
    #[must_use]
    pub fn new_inbox(&self) -> String {
        self.client().new_inbox()
    }

    /// Asks, and waits for one answer.
    ///
    /// # Errors
    /// [`RequestError`]: by it, a caller knows whether the request can have been taken.
    pub async fn request(
        &self,
        subject: &str,
        envelope: &Envelope,
        timeout: Duration,
    ) -> Result<Envelope, RequestError> {
        // No headers here and in answers: they are for who reads a stream, and cost more than a small body.
        let request = async_nats::Request::new().payload(envelope.encode_to_vec().into()).timeout(Some(timeout));
        let message =
            self.client().send_request(subject.to_owned(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders { subject: subject.to_owned() },
                RequestErrorKind::TimedOut => RequestError::TimedOut { subject: subject.to_owned(), waited: timeout },
                _ => RequestError::Bus(BusError::failed(format!("ask on {subject}"), error)),
            })?;
        let undecodable = |reason: String| RequestError::Undecodable { subject: subject.to_owned(), reason };
        if message.payload.is_empty() {
            return Err(undecodable("the answer is empty".into()));
        }
        Envelope::decode(message.payload).map_err(|error| undecodable(error.to_string()))
    }

    /// Listens on a core subject. With `queue`, each message reaches one listener of that group.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn subscribe(
        &self,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<impl futures::Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
        let failed = |error: String| BusError::failed(format!("listen on {subject}"), error);
        let subscriber = match queue {
            None => self.client().subscribe(subject.to_owned()).await,
            Some(queue) => self.client().queue_subscribe(subject.to_owned(), queue.to_owned()).await,
        }
        .map_err(|error| failed(error.to_string()))?;
        Ok(subscriber.map(|message| Inbound {
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            envelope: Envelope::decode(message.payload).map_err(|error| error.to_string()),
        }))
    }

    /// Publishes into a stream and waits until it is stored; `message_id` makes a retry harmless. Retries are the caller's.
    ///
    /// # Errors
    /// After a time-out it is unknown whether it was stored.
    pub async fn store(&self, subject: &str, message_id: &str, payload: Bytes) -> Result<u64, BusError> {
        let failed = |error: String| BusError::failed(format!("store on {subject}"), error);
        let mut headers = headers();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, message_id);
        let sent = self.jetstream().publish_with_headers(subject.to_owned(), headers, payload).await;
        let acknowledged = sent.map_err(|error| failed(error.to_string()))?.await;
        Ok(acknowledged.map_err(|error| failed(error.to_string()))?.sequence)
    }
}

/// A fresh UUIDv7. Unlike [`uuid::Uuid::now_v7`] it costs no system call; ids of the same millisecond have no order.
#[must_use]
pub fn fresh_id() -> [u8; 16] {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    *uuid::Builder::from_unix_timestamp_millis(milliseconds, &rand::random()).as_uuid().as_bytes()
}

/// Content type and type name, for who reads the stream without Muster.
pub(crate) fn headers() -> async_nats::HeaderMap {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Content-Type", "application/protobuf");
    headers.insert("Muster-Type", "muster.v1.Envelope");
    headers
}
