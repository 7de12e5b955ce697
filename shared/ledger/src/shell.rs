//! What a service gives to the ledger and gets from it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, StoredMessage};
use muster_model::{PoolTime, Position, Term};
use tokio_util::sync::CancellationToken;

use crate::lease::Lease;
use crate::{Core, Handle};

/// A stream that a log follows.
pub struct Source<C: Core> {
    /// Name of the stream.
    pub stream: &'static str,
    /// Subjects of it; empty means all.
    pub filter: &'static str,
    /// It is a decision log: its positions carry its lineage.
    pub is_log: bool,
    /// Turns a message into inputs. An error becomes a `Rejected` entry, and the message is passed over.
    pub take: fn(&StoredMessage) -> Result<Vec<C::Input>, String>,
}

/// How a ledger runs.
pub struct LedgerOptions<C: Core> {
    /// The owning service.
    pub service: Service,
    /// Name of this instance, for people and for the lease: unique per process.
    pub instance: String,
    /// Time between ticks of the leader.
    pub tick: Duration,
    /// Followed streams.
    pub sources: Vec<Source<C>>,
    /// KV memory bucket for the projection; none for no projection.
    pub projection: Option<&'static str>,
    /// A snapshot is taken after so many messages.
    pub snapshot_every: u64,
}

/// A reply to a command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Position of the entry, or the applied position when nothing was appended.
    pub position: Position,
    /// Term of the leader that answers.
    pub term: Term,
    /// The reply, encoded by [`Core::encode_reply`].
    pub reply: Bytes,
}

/// Leadership, for as long as it lasts.
#[derive(Debug, Clone)]
pub struct Lead {
    /// Our term.
    pub term: Term,
    /// Cancelled when leadership ends: nothing may be answered or done after.
    pub ended: CancellationToken,
    /// What leadership rests on.
    pub(crate) lease: Arc<Lease>,
}

impl Lead {
    /// Whether an answer may be given now: leadership has not ended, and the lease holds. A process that was stopped for a while knows
    /// by its lease alone that another may lead.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.ended.is_cancelled() && self.lease.is_valid()
    }
}

/// What a service does around its core.
pub trait Shell<C: Core>: Send + Sync + 'static {
    /// Gets ready to lead: called with the state at the end of the log and the time of its last event, before `LeaderStarted` is
    /// appended. The lease is held meanwhile, so it may take up to two seconds.
    fn prepare(&self, _state: &C::State, _last: PoolTime) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Leads: serves the changing verbs until `lead.ended`. Called once per term, after `LeaderStarted` is acknowledged.
    fn lead(self: Arc<Self>, handle: Handle<C>, lead: Lead) -> impl Future<Output = ()> + Send;

    /// Performs one effect, and tells the handle what came of it. Up to 64 at once; one at a time per effect key.
    fn perform(
        self: Arc<Self>,
        effect: C::Effect,
        authority: Authority,
        handle: Handle<C>,
    ) -> impl Future<Output = ()> + Send;
}

/// Why a ledger can not run.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The log is empty, damaged, or another system's: a person must look.
    #[error("{log}: {reason}; {next}")]
    Refused {
        /// The log.
        log: &'static str,
        /// What is wrong.
        reason: String,
        /// What to do.
        next: String,
    },
    /// The bus failed for good.
    #[error(transparent)]
    Bus(#[from] muster_bus::BusError),
}

impl LedgerError {
    /// A log that must not be used as it is.
    pub(crate) fn refused(log: &'static str, reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Refused { log, reason: reason.into(), next: next.into() }
    }

    /// A log whose chain is broken.
    pub(crate) fn damaged(log: &'static str, reason: impl Into<String>) -> Self {
        Self::refused(
            log,
            reason,
            format!("stop its service, keep the stream for inspection, run `muster admin recover {log}`"),
        )
    }
}
