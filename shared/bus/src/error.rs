//! What can go wrong on the bus, by what a caller can do about it.

use std::time::Duration;

use crate::CredentialsError;

/// The bus can not be used, or refused what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No server answered in time.
    #[error("reach NATS at {url} within {waited:?}: {reason}; is nats-server running there, and is MUSTER_NATS right?")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// How long.
        waited: Duration,
        /// What the client said last.
        reason: String,
    },
    /// The server is older than Muster can trust.
    #[error("use nats-server {found} at {url}: {needed} or later is needed; install a newer one")]
    TooOld {
        /// Where.
        url: String,
        /// Its version.
        found: String,
        /// The least version.
        needed: &'static str,
    },
    /// The server does not let this identity in.
    #[error(
        "be admitted to NATS at {url} as {identity}: the server does not know the key; give --credentials FILE of a member of this pool, or ask an administrator for one"
    )]
    NotAdmitted {
        /// Where.
        url: String,
        /// Who; `nobody` without credentials.
        identity: String,
    },
    /// The server lets everybody in.
    #[error(
        "trust NATS at {url}: it has no authentication; include authorization.conf of `muster admin init --keys` in its configuration, or say --insecure-local instead of --credentials"
    )]
    Open {
        /// Where.
        url: String,
    },
    /// The credentials can not be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The server answered with an error, or not in time; what was asked for may or may not have happened.
    #[error("{what}: {reason}")]
    Failed {
        /// What was being done: `publish to muster.v1...`.
        what: String,
        /// What the client said.
        reason: String,
    },
}

impl BusError {
    /// A failure of `what`, because of `reason`.
    pub(crate) fn failed(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Failed { what: what.into(), reason: reason.to_string() }
    }
}

/// A request got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens on the subject: the request was not taken.
    #[error("nobody answers on {subject}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// The server does not let this identity ask that: the request was not taken.
    #[error("this identity may not ask on {subject}")]
    Forbidden {
        /// The subject.
        subject: String,
    },
    /// No answer in time: whether the request was taken is unknown.
    #[error("no answer on {subject} within {waited:?}")]
    TimedOut {
        /// The subject.
        subject: String,
        /// How long.
        waited: Duration,
    },
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The answer can not be decoded.
    #[error("decode the answer on {subject}: {reason}")]
    Undecodable {
        /// The subject.
        subject: String,
        /// Why.
        reason: String,
    },
}
