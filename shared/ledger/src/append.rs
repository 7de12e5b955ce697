//! The append: one message at exactly one sequence, with an outcome that is certain or said to be lost. And, for a turn that appends
//! nothing, whether the log still ends where it was folded to.
//!
//! An append whose outcome is unknown is settled by occupying the next sequence: identical bytes are sent again with the same
//! expected sequence until they are acknowledged or another message stands there. Nothing is answered before.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use muster_bus::subjects;

use crate::lease::Lease;
use crate::log::{Log, RETRY_DELAY};
use crate::{LedgerError, crash, metrics};

/// An acknowledgement is waited for so long before the same bytes are sent again.
const RESEND_AFTER: Duration = Duration::from_secs(1);
/// How often a new connection is looked for while an acknowledgement is waited for.
const CONNECTION_CHECK: Duration = Duration::from_millis(50);

/// A log that says where it ends, and refuses what follows there, is damaged after so long: the server may be late, but not for ever.
const CONTRADICTION_MAX: Duration = Duration::from_secs(5);

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Our message stands at the expected sequence.
    Landed,
    /// Another message stands there, the store refused ours, or the lease ended first: the state must be folded again.
    Lost,
}

/// How long an append is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until<'a> {
    /// A leader's append ends with its lease: the next leader's first message settles it.
    LeaseEnds(&'a Lease),
    /// One of a person's tools.
    Deadline(tokio::time::Instant),
}

impl Until<'_> {
    fn go_on(self) -> bool {
        match self {
            Self::LeaseEnds(lease) => {
                lease.turned();
                lease.is_valid()
            }
            Self::Deadline(deadline) => tokio::time::Instant::now() < deadline,
        }
    }
}

/// What is appended, and where.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Last token of its subject: genesis, leader, turn.
    pub(crate) kind: &'a str,
    /// Last sequence of the log before it.
    pub(crate) expected: u64,
    /// Its bytes.
    pub(crate) payload: Bytes,
}

/// How one attempt ended.
enum Attempt {
    Acknowledged(PublishAck),
    /// Something else stands at the sequence, or this message does.
    Occupied,
    /// The server said that it did not store it, and never will as it is.
    Refused(String),
    /// It may have been stored, or may still be.
    Unknown,
    /// The server is not ready; this attempt was not stored.
    NotReady,
}

/// Appends a message.
///
/// # Errors
/// When the log proves to be damaged: it acknowledged at a sequence that was not next, or is shorter than what it acknowledged before.
pub(crate) async fn append(log: &Log, until: Until<'_>, message: &Message<'_>) -> Result<Appended, LedgerError> {
    let mut is_unknown = false;
    let mut contradicted: Option<tokio::time::Instant> = None;
    while until.go_on() {
        match attempt(log, message).await {
            Attempt::Acknowledged(ack) => return acknowledged(log, message, &ack),
            Attempt::Occupied => {
                if let Some(appended) = settle(log, until, message).await? {
                    return Ok(appended);
                }
                // A tool that rebuilds the log has its own deadline.
                let for_long = contradicted.get_or_insert_with(tokio::time::Instant::now).elapsed() > CONTRADICTION_MAX;
                if for_long && matches!(until, Until::LeaseEnds(_)) {
                    let last = message.expected;
                    let reason = format!("it ends at message {last}, and refuses one that follows {last}");
                    return Err(LedgerError::damaged(log.name, reason));
                }
            }
            Attempt::Refused(reason) => {
                tracing::error!(
                    log = log.name,
                    reason,
                    "the log refuses an append: nothing can be decided until that is mended"
                );
                return Ok(Appended::Lost);
            }
            Attempt::Unknown => {
                if !is_unknown {
                    ::metrics::counter!(metrics::UNKNOWN_APPENDS, "log" => log.name).increment(1);
                    tracing::warn!(log = log.name, sequence = message.expected + 1, "append with unknown outcome");
                }
                is_unknown = true;
            }
            Attempt::NotReady => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
    Ok(Appended::Lost)
}

fn acknowledged(log: &Log, message: &Message<'_>, ack: &PublishAck) -> Result<Appended, LedgerError> {
    if ack.sequence == message.expected + 1 && ack.stream == log.name {
        return Ok(Appended::Landed);
    }
    let reason = format!("it acknowledged message {} at {}", message.expected + 1, ack.sequence);
    Err(LedgerError::damaged(log.name, reason))
}

/// Looks what stands at the sequence. None where nothing does, and the log ends right before it: the same bytes are to be sent again.
async fn settle(log: &Log, until: Until<'_>, message: &Message<'_>) -> Result<Option<Appended>, LedgerError> {
    while until.go_on() {
        match log.message(message.expected + 1).await {
            Ok(Some(found)) if found == message.payload => return Ok(Some(Appended::Landed)),
            Ok(Some(_)) => return Ok(Some(Appended::Lost)),
            Ok(None) => {
                let last = log.ends().await.ok().flatten().map(|ends| ends.last);
                match last {
                    Some(last) if last < message.expected => return Err(shorter(log, last, message.expected)),
                    Some(last) if last > message.expected => return Ok(Some(Appended::Lost)),
                    Some(_) => {
                        tokio::time::sleep(RETRY_DELAY).await;
                        return Ok(None);
                    }
                    None => tokio::time::sleep(RETRY_DELAY).await,
                }
            }
            Err(error) => {
                tracing::debug!(log = log.name, %error, "looking at an append failed, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
    Ok(Some(Appended::Lost))
}

/// Whether the log holds nothing newer than what is applied. Asked until there is an answer, or it is too late for one.
///
/// # Errors
/// When the log is shorter than what it acknowledged.
pub(crate) async fn is_newest(log: &Log, until: Until<'_>, applied: u64) -> Result<bool, LedgerError> {
    while until.go_on() {
        match log.ends().await {
            Ok(Some(ends)) if ends.last < applied => return Err(shorter(log, ends.last, applied)),
            Ok(Some(ends)) => return Ok(ends.last == applied),
            Ok(None) => tokio::time::sleep(RETRY_DELAY).await,
            Err(error) => {
                tracing::debug!(log = log.name, %error, "looking at the log failed, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
    Ok(false)
}

fn shorter(log: &Log, last: u64, acknowledged: u64) -> LedgerError {
    LedgerError::damaged(log.name, format!("it ends at message {last}, and message {acknowledged} was acknowledged"))
}

async fn attempt(log: &Log, message: &Message<'_>) -> Attempt {
    let connections = log.bus.connections();
    let publish = PublishMessage::build()
        .payload(message.payload.clone())
        .header("Content-Type", "application/protobuf")
        .header("Muster-Type", "muster.v1.Envelope")
        .expected_stream(log.name)
        .expected_last_sequence(message.expected);
    let subject = subjects::log(log.service, message.kind);
    let sending = log.bus.jetstream().send_publish(subject, publish);
    let acknowledgement = match tokio::time::timeout(RESEND_AFTER, sending).await {
        Ok(Ok(acknowledgement)) => acknowledgement,
        Ok(Err(error)) => return judge(&error),
        Err(_) => return Attempt::Unknown,
    };
    crash::point("before_ack");
    tokio::select! {
        result = wait(acknowledgement) => result.map_or_else(|error| judge(&error), Attempt::Acknowledged),
        () = resend_due(log, connections) => Attempt::Unknown,
    }
}

async fn wait(acknowledgement: PublishAckFuture) -> Result<PublishAck, PublishError> {
    acknowledgement.await
}

/// Comes true when the same bytes are to be sent again: after a second, or as soon as there is a new connection.
async fn resend_due(log: &Log, connections: u64) {
    let deadline = tokio::time::Instant::now() + RESEND_AFTER;
    while tokio::time::Instant::now() < deadline && log.bus.connections() == connections {
        tokio::time::sleep(CONNECTION_CHECK).await;
    }
}

fn judge(error: &PublishError) -> Attempt {
    match error.kind() {
        PublishErrorKind::WrongLastSequence => Attempt::Occupied,
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => Attempt::NotReady,
        PublishErrorKind::MaxPayloadExceeded => Attempt::Refused(error.to_string()),
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::WrongLastMessageId => {
            Attempt::Unknown
        }
        PublishErrorKind::Other => judge_code(error),
    }
}

fn judge_code(error: &PublishError) -> Attempt {
    use std::error::Error;
    let code = error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    match code.map(async_nats::jetstream::Error::error_code) {
        Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT) => Attempt::Occupied,
        Some(
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES,
        ) => Attempt::Refused(error.to_string()),
        _ => Attempt::Unknown,
    }
}
