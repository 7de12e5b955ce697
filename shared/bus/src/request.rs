//! Envelopes, publishing, requests and plain subscriptions.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use futures::StreamExt;
use muster_model::{CommandId, Epoch, Incarnation, MachineId, Position, Term};
use muster_proto::v1::{Envelope, envelope::Body};
use prost::Message;
use tokio::sync::broadcast;

use crate::{Bus, BusError, RequestError, subjects};

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
    /// The command, when it is one; in what answers an agent, the id of the message that is answered.
    pub command: Option<CommandId>,
}

/// The body of an envelope.
///
/// # Errors
/// Says so when there is none: the sender knows a newer Muster.
pub fn body(envelope: Envelope) -> Result<Body, &'static str> {
    envelope.body.ok_or("the envelope has no body that this version knows")
}

/// What an answer to a message names as answered: the message's own id.
#[must_use]
pub fn question(envelope: &Envelope) -> Option<CommandId> {
    envelope.id.as_ref().try_into().ok().map(CommandId)
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
    /// Its bytes, as they came: what a signature is over.
    pub payload: Bytes,
}

/// An answer that was heard.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub envelope: Envelope,
    /// Its bytes, as they came: what a signature is over.
    pub payload: Bytes,
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
            signature: None,
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

    /// Tells an agent what it is to do, signed where this process has a key for that, and waits for its answer.
    ///
    /// # Errors
    /// As [`Bus::request`].
    pub async fn command(
        &self,
        machine: &MachineId,
        verb: &str,
        envelope: &Envelope,
        timeout: Duration,
    ) -> Result<Envelope, RequestError> {
        let payload = self.seal(machine, envelope);
        Ok(self.ask(&subjects::command(machine, verb), payload, timeout).await?.envelope)
    }

    /// Answers what an agent said, signed where this process has a key for that; `authority.command` names what is answered.
    pub async fn answer_agent(&self, machine: &MachineId, reply: &str, body: Body, authority: Authority) {
        let payload = self.seal(machine, &self.envelope(body, authority));
        if let Err(error) = self.client().publish_with_headers(reply.to_owned(), headers(), payload).await {
            tracing::debug!(%error, machine_id = %machine, "an answer could not be sent");
        }
    }

    fn seal(&self, machine: &MachineId, envelope: &Envelope) -> Bytes {
        let content = envelope.encode_to_vec();
        match &self.signing {
            Some(signing) => signing.seal(machine, content),
            None => content.into(),
        }
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
        Ok(self.request_whole(subject, envelope, timeout).await?.envelope)
    }

    /// The same, with the bytes of the answer.
    ///
    /// # Errors
    /// As [`Bus::request`].
    pub async fn request_whole(
        &self,
        subject: &str,
        envelope: &Envelope,
        timeout: Duration,
    ) -> Result<Answer, RequestError> {
        self.ask(subject, envelope.encode_to_vec().into(), timeout).await
    }

    async fn ask(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Answer, RequestError> {
        // No headers here and in answers: they are for who reads a stream, and cost more than a small body.
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(timeout));
        if let (Some(identity), Some(machine)) = (&self.identity, subjects::commanded(subject)) {
            let unique = uuid::Uuid::from_bytes(rand::random()).simple();
            request = request.inbox(format!("{}.{unique}", identity.inbox_for_agent(&machine)));
        }
        let mut forbidden = self.forbidden.subscribe();
        let asking = self.client().send_request(subject.to_owned(), request);
        let asked = tokio::select! {
            asked = asking => asked,
            () = refused(&mut forbidden, subject) => return Err(RequestError::Forbidden { subject: subject.to_owned() }),
        };
        let message = asked.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => RequestError::NoResponders { subject: subject.to_owned() },
            RequestErrorKind::TimedOut => RequestError::TimedOut { subject: subject.to_owned(), waited: timeout },
            _ => RequestError::Bus(BusError::failed(format!("ask on {subject}"), error)),
        })?;
        let undecodable = |reason: String| RequestError::Undecodable { subject: subject.to_owned(), reason };
        if message.payload.is_empty() {
            return Err(undecodable("the answer is empty".into()));
        }
        let payload = message.payload;
        let envelope = Envelope::decode(payload.clone()).map_err(|error| undecodable(error.to_string()))?;
        Ok(Answer { envelope, payload })
    }

    /// Asks everybody who listens, and takes every answer that comes within `wait`.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn ask_all(&self, subject: &str, envelope: &Envelope, wait: Duration) -> Result<Vec<Envelope>, BusError> {
        let inbox = self.new_inbox();
        let mut heard = self.subscribe(&inbox, None).await?;
        self.publish_with_reply(subject, &inbox, envelope).await?;
        let end = tokio::time::Instant::now() + wait;
        let mut answers = Vec::new();
        while let Ok(Some(inbound)) = tokio::time::timeout_at(end, heard.next()).await {
            // Where nobody listens, the server itself answers with nothing.
            answers.extend(inbound.envelope.ok().filter(|answer| answer.body.is_some()));
        }
        Ok(answers)
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
        let said = subscriber.filter(|message| std::future::ready(!is_stored(message)));
        Ok(said.map(|message| Inbound {
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            envelope: Envelope::decode(message.payload.clone()).map_err(|error| error.to_string()),
            payload: message.payload,
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

/// Waits until the server says that it does not let a subject be published on.
async fn refused(forbidden: &mut broadcast::Receiver<Arc<str>>, subject: &str) {
    loop {
        match forbidden.recv().await {
            Ok(refused) if *refused == *subject => return,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// A fresh UUIDv7. Unlike [`uuid::Uuid::now_v7`] it costs no system call; ids of the same millisecond have no order.
#[must_use]
pub fn fresh_id() -> [u8; 16] {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    *uuid::Builder::from_unix_timestamp_millis(milliseconds, &rand::random()).as_uuid().as_bytes()
}

/// Whether JetStream delivered a message from what it stores. A server delivers to whatever subject it is asked to, whoever asks, and
/// so publishes where who asks may not: nothing of that is taken for a message of who may. What it answers itself is JSON, and is
/// directed as easily.
pub(crate) fn is_stored(message: &async_nats::Message) -> bool {
    let of_stream =
        message.headers.as_ref().is_some_and(|headers| headers.get(async_nats::header::NATS_STREAM).is_some());
    let of_consumer = message.reply.as_ref().is_some_and(|reply| reply.starts_with("$JS."));
    let of_server = message.payload.first() == Some(&b'{');
    if of_stream || of_consumer || of_server {
        metrics::counter!(crate::metrics::MISDIRECTED).increment(1);
        tracing::warn!(subject = %message.subject, "a stored message, or an answer of the server, was directed to a subject of live ones: not taken");
    }
    of_stream || of_consumer || of_server
}

/// Content type and type name, for who reads the stream without Muster.
pub(crate) fn headers() -> async_nats::HeaderMap {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Content-Type", "application/protobuf");
    headers.insert("Muster-Type", "muster.v1.Envelope");
    headers
}
