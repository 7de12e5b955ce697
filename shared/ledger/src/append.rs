//! The append: one message at exactly one sequence, with an outcome that is certain or said to be lost. And, for a turn that appends
//! nothing, whether the log still ends where it was folded to. What follows from an answer is decided in `certainty`.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use muster_bus::subjects;

use crate::certainty::{Heard, Next, Stands, after_attempt, after_end, after_look};
use crate::lease::Lease;
use crate::log::{Log, RETRY_DELAY};
use crate::{LedgerError, crash, metrics};

/// An acknowledgement is waited for so long before the same bytes are sent again.
const RESEND_AFTER: Duration = Duration::from_secs(1);
/// How often a new connection is looked for while an acknowledgement is waited for.
const CONNECTION_CHECK: Duration = Duration::from_millis(50);

/// A log that says where it ends, and refuses what follows there, is damaged after so long: the server may be late, but not for ever.
const CONTRADICTION_MAX: Duration = Duration::from_secs(5);

/// A server that is there and does not answer for so long has to be looked at: that is what a full disk of it is like.
const SILENCE_MAX: Duration = Duration::from_secs(5);

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

/// What was heard of one attempt, and why, for people.
struct Attempt {
    heard: Heard,
    reason: String,
}

impl Attempt {
    fn heard(heard: Heard) -> Self {
        Self { heard, reason: String::new() }
    }
}

/// Appends a message.
///
/// # Errors
/// When the log proves to be damaged: it acknowledged at a sequence that was not next, or is shorter than what it acknowledged before.
pub(crate) async fn append(log: &Log, until: Until<'_>, message: &Message<'_>) -> Result<Appended, LedgerError> {
    let mut unknown = None;
    let mut contradicted: Option<tokio::time::Instant> = None;
    while until.go_on() {
        let Attempt { heard, reason } = attempt(log, message).await;
        match after_attempt(message.expected, heard) {
            Next::Landed => return Ok(Appended::Landed),
            Next::Damaged => return Err(misplaced(log, message, heard)),
            Next::Look => {
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
            Next::Lost => {
                tracing::error!(
                    log = log.name,
                    reason,
                    "the log refuses an append: nothing can be decided until that is mended"
                );
                return Ok(Appended::Lost);
            }
            Next::Again if heard == Heard::NotReady => tokio::time::sleep(RETRY_DELAY).await,
            Next::Again => unknown.get_or_insert_with(|| Unknown::begin(log, message)).goes_on(log),
        }
    }
    Ok(Appended::Lost)
}

/// An append whose outcome is not known, for people.
struct Unknown {
    since: tokio::time::Instant,
    alarmed: bool,
}

impl Unknown {
    fn begin(log: &Log, message: &Message<'_>) -> Self {
        ::metrics::counter!(metrics::UNKNOWN_APPENDS, "log" => log.name).increment(1);
        tracing::warn!(log = log.name, sequence = message.expected + 1, "append with unknown outcome");
        Self { since: tokio::time::Instant::now(), alarmed: false }
    }

    fn goes_on(&mut self, log: &Log) {
        if !self.alarmed && self.since.elapsed() >= SILENCE_MAX {
            self.alarmed = true;
            tracing::error!(
                log = log.name,
                "the log does not answer an append: nothing is decided until it does; is the disk of nats-server full?"
            );
        }
    }
}

fn misplaced(log: &Log, message: &Message<'_>, heard: Heard) -> LedgerError {
    let at = if let Heard::Acknowledged(sequence) = heard { sequence } else { 0 };
    let reason = format!("it acknowledged message {} at {at}", message.expected + 1);
    LedgerError::damaged(log.name, reason)
}

/// Looks what stands at the sequence. None where nothing does, and the log ends right before it: the same bytes are to be sent again.
async fn settle(log: &Log, until: Until<'_>, message: &Message<'_>) -> Result<Option<Appended>, LedgerError> {
    while until.go_on() {
        if let Some(stands) = look(log, message).await {
            match after_look(message.expected, stands) {
                Next::Landed => return Ok(Some(Appended::Landed)),
                Next::Lost => return Ok(Some(Appended::Lost)),
                Next::Damaged => return Err(shorter(log, stands, message.expected)),
                Next::Again => {
                    tokio::time::sleep(RETRY_DELAY).await;
                    return Ok(None);
                }
                Next::Look => {}
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
    Ok(Some(Appended::Lost))
}

/// What stands where a message is to stand; none when the server does not say.
async fn look(log: &Log, message: &Message<'_>) -> Option<Stands> {
    match log.message(message.expected + 1).await {
        Ok(Some(found)) if found == message.payload => Some(Stands::Ours),
        Ok(Some(_)) => Some(Stands::Another),
        Ok(None) => log.ends().await.ok().flatten().map(|ends| Stands::Nothing(ends.last)),
        Err(error) => {
            tracing::debug!(log = log.name, %error, "looking at an append failed, trying again");
            None
        }
    }
}

/// Whether the log holds nothing newer than what is applied. Asked until there is an answer, or it is too late for one.
///
/// # Errors
/// When the log is shorter than what it acknowledged.
pub(crate) async fn is_newest(log: &Log, until: Until<'_>, applied: u64) -> Result<bool, LedgerError> {
    while until.go_on() {
        match log.ends().await {
            Ok(Some(ends)) => match after_end(applied, ends.last) {
                Next::Damaged => return Err(shorter(log, Stands::Nothing(ends.last), applied)),
                next => return Ok(next == Next::Landed),
            },
            Ok(None) => tokio::time::sleep(RETRY_DELAY).await,
            Err(error) => {
                tracing::debug!(log = log.name, %error, "looking at the log failed, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
    Ok(false)
}

fn shorter(log: &Log, stands: Stands, acknowledged: u64) -> LedgerError {
    let found = match stands {
        Stands::Nothing(last) => format!("it ends at message {last}"),
        Stands::Ours | Stands::Another => "it goes on".into(),
    };
    LedgerError::damaged(log.name, format!("{found}, and message {acknowledged} was acknowledged"))
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
        Err(_) => return Attempt::heard(Heard::Unknown),
    };
    crash::point("before_ack");
    tokio::select! {
        result = wait(acknowledgement) => match result {
            // An acknowledgement of another stream is none of ours: nothing is at sequence 0.
            Ok(ack) => Attempt::heard(Heard::Acknowledged(if ack.stream == log.name { ack.sequence } else { 0 })),
            Err(error) => judge(&error),
        },
        () = resend_due(log, connections) => Attempt::heard(Heard::Unknown),
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
    let heard = match error.kind() {
        PublishErrorKind::WrongLastSequence => Heard::Occupied,
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => Heard::NotReady,
        PublishErrorKind::MaxPayloadExceeded => Heard::Refused,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::WrongLastMessageId => {
            Heard::Unknown
        }
        PublishErrorKind::Other => judge_code(error),
    };
    Attempt { heard, reason: error.to_string() }
}

fn judge_code(error: &PublishError) -> Heard {
    use std::error::Error;
    let code = error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    match code.map(async_nats::jetstream::Error::error_code) {
        Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT) => Heard::Occupied,
        Some(
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES,
        ) => Heard::Refused,
        _ => Heard::Unknown,
    }
}
