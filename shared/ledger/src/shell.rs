//! What a service gives to the ledger and gets from it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, StoredMessage};
use muster_model::{CommandId, Position, Refusal, Term};
use tokio_util::sync::CancellationToken;

use crate::{Core, View};

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
}

/// Access to a leading ledger. Cheap to clone.
pub struct Handle<C: Core> {
    _core: std::marker::PhantomData<C>,
}

/// What a service does around its core.
pub trait Shell<C: Core>: Send + Sync + 'static {
    /// Leads: serves the changing verbs until `lead.ended`. Called once per term, after `LeaderStarted` is acknowledged.
    fn lead(self: Arc<Self>, handle: Handle<C>, lead: Lead) -> impl Future<Output = ()> + Send;

    /// Performs one effect, and tells the handle what came of it. Up to 64 at once; one at a time per effect key.
    fn perform(self: Arc<Self>, effect: C::Effect, authority: Authority, handle: Handle<C>)
    -> impl Future<Output = ()> + Send;
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

impl<C: Core> Handle<C> {
    /// Gives a command. Answered after its entry is acknowledged, and within the lease.
    ///
    /// # Errors
    /// The core's refusal, or [`muster_model::RefusalCode::Unavailable`] when this is not the leader (any more).
    pub async fn command(&self, id: CommandId, actor: String, input: C::Input) -> Result<Answer, Refusal> {
        let _ = (id, actor, input);
        todo!()
    }

    /// Looks at acknowledged state, after it was checked that the log holds nothing newer.
    ///
    /// # Errors
    /// [`muster_model::RefusalCode::Unavailable`] when this is not the leader (any more).
    pub async fn query<R: Send + 'static>(
        &self,
        ask: impl FnOnce(View<'_, C>) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        let _ = ask;
        todo!()
    }

    /// Gives news to the volatile part. False when the queue is full: the news is dropped, which heartbeats may be.
    pub fn observe(&self, observation: C::Observation) -> bool {
        let _ = observation;
        todo!()
    }

    /// Gives an input that is nobody's command: what came of an effect. Waits for a place in the queue, not for the decision.
    pub async fn submit(&self, input: C::Input) {
        let _ = input;
        todo!()
    }
}

impl<C: Core> Clone for Handle<C> {
    fn clone(&self) -> Self {
        todo!()
    }
}

/// Runs a ledger until `stop`: follows the log, leads when it can.
///
/// # Errors
/// [`LedgerError`]: the service is to stop with an alarm.
pub async fn run<C: Core, S: Shell<C>>(
    bus: Bus,
    options: LedgerOptions<C>,
    shell: Arc<S>,
    stop: CancellationToken,
) -> Result<(), LedgerError> {
    let _ = (bus, options, shell, stop);
    todo!()
}
