//! The way into a leading ledger: commands, queries, observations and inputs wait here for their turn.

use std::collections::VecDeque;

use muster_bus::subjects::Service;
use muster_model::{CommandId, Position, Refusal, RefusalCode};
use muster_proto::v1;
use tokio::sync::{mpsc, oneshot};

use crate::{Answer, Core, View, metrics};

/// Takes a command's answer, in the leader's loop; dropped unasked when leadership ends.
pub type ReplyTo = Box<dyn FnOnce(Result<Answer, Refusal>) + Send>;
/// A query; dropped unasked when leadership ends.
pub type Query<C> = Box<dyn FnOnce(View<'_, C>) + Send>;

/// Takes what a full pass that was asked for found; dropped unasked when leadership ends.
pub(crate) type CheckTo = oneshot::Sender<v1::CheckReply>;

/// A message of a followed stream, taken.
pub struct Delivery<C: Core> {
    /// Name of the stream.
    pub(crate) stream: &'static str,
    /// Position of the message.
    pub(crate) position: Position,
    /// What it means, or why that can not be said.
    pub(crate) inputs: Result<VecDeque<C::Input>, String>,
    /// It can move the position by itself: it is not merely another log's note of a position.
    pub(crate) counts: bool,
}

/// Who gives a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// On whose behalf.
    pub actor: String,
    /// The identity that sent it; empty where the bus can not tell.
    pub sender: String,
}

impl From<String> for By {
    /// Somebody of whom no more is known.
    fn from(actor: String) -> Self {
        Self { actor, sender: String::new() }
    }
}

/// What waits for a turn.
pub enum Waiting<C: Core> {
    /// A command.
    Command {
        /// Its id.
        id: CommandId,
        /// Who gives it.
        by: By,
        /// What it is.
        input: C::Input,
        /// Where its answer goes.
        reply: ReplyTo,
    },
    /// A query.
    Query(Query<C>),
    /// What came of an effect.
    Own(C::Input),
    /// News of a followed stream.
    Followed(Delivery<C>),
}

/// Access to a leading ledger. Cheap to clone.
pub struct Handle<C: Core> {
    service: Service,
    waiting: mpsc::Sender<Waiting<C>>,
    observations: mpsc::Sender<C::Observation>,
    checks: mpsc::Sender<CheckTo>,
}

/// The ends at which a leader takes what a handle gives.
pub(crate) struct Intake<C: Core> {
    /// What waits for a turn.
    pub(crate) waiting: mpsc::Receiver<Waiting<C>>,
    /// What was observed.
    pub(crate) observations: mpsc::Receiver<C::Observation>,
    /// Who asks for a full pass.
    pub(crate) checks: mpsc::Receiver<CheckTo>,
}

/// Inputs wait here at most.
const WAITING_MAX: usize = 16_384;
/// Observations wait here at most.
const OBSERVATIONS_MAX: usize = 32_768;
/// Full passes that are asked for wait here at most.
const CHECKS_MAX: usize = 4;

impl<C: Core> Handle<C> {
    pub(crate) fn new(service: Service) -> (Self, Intake<C>) {
        let (waiting, waiting_end) = mpsc::channel(WAITING_MAX);
        let (observations, observations_end) = mpsc::channel(OBSERVATIONS_MAX);
        let (checks, checks_end) = mpsc::channel(CHECKS_MAX);
        let intake = Intake { waiting: waiting_end, observations: observations_end, checks: checks_end };
        (Self { service, waiting, observations, checks }, intake)
    }

    /// Gives a command. Answered after its entry is acknowledged, and within the lease.
    ///
    /// # Errors
    /// The core's refusal, or [`RefusalCode::Unavailable`] when this is not the leader (any more).
    pub async fn command(&self, id: CommandId, actor: String, input: C::Input) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        // Who asked may have gone away: a retry is answered from the memory.
        self.give(id, actor.into(), input, move |answered| drop(reply.send(answered))).await?;
        answer.await.unwrap_or_else(|_| Err(self.unavailable()))
    }

    /// Gives a command, and waits for a place in the queue only: for who serves thousands per second without a task for each. `then`
    /// is called with what [`Handle::command`] would answer, in the leader's loop, so it must only pass it on. When leadership ends
    /// before, it is dropped: nothing may be answered then, and the asker's retry goes to the next leader.
    ///
    /// # Errors
    /// [`RefusalCode::Unavailable`] when this is not the leader (any more); `then` is not called.
    pub async fn give(
        &self,
        id: CommandId,
        by: By,
        input: C::Input,
        then: impl FnOnce(Result<Answer, Refusal>) + Send + 'static,
    ) -> Result<(), Refusal> {
        let given = self.waiting.send(Waiting::Command { id, by, input, reply: Box::new(then) }).await;
        given.map_err(|_| self.unavailable())
    }

    /// Looks at acknowledged state, after it was checked that the log holds nothing newer.
    ///
    /// # Errors
    /// [`RefusalCode::Unavailable`] when this is not the leader (any more).
    pub async fn query<R: Send + 'static>(
        &self,
        ask: impl FnOnce(View<'_, C>) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        let (reply, answer) = oneshot::channel();
        let query: Query<C> = Box::new(move |view| drop(reply.send(ask(view))));
        self.waiting.send(Waiting::Query(query)).await.map_err(|_| self.unavailable())?;
        answer.await.map_err(|_| self.unavailable())
    }

    /// Has a full pass made now, and says what it found and did.
    ///
    /// # Errors
    /// [`RefusalCode::Unavailable`] when this is not the leader (any more).
    pub(crate) async fn check(&self) -> Result<v1::CheckReply, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.checks.send(reply).await.map_err(|_| self.unavailable())?;
        answer.await.map_err(|_| self.unavailable())
    }

    /// Gives news to the volatile part. False when the queue is full: the news is dropped, which heartbeats may be.
    pub fn observe(&self, observation: C::Observation) -> bool {
        let taken = self.observations.try_send(observation).is_ok();
        if !taken {
            ::metrics::counter!(metrics::OBSERVATIONS_DROPPED, "service" => self.service.as_str()).increment(1);
        }
        taken
    }

    /// Gives an input that is nobody's command: what came of an effect. Waits for a place in the queue, not for the decision.
    pub async fn submit(&self, input: C::Input) {
        if self.waiting.send(Waiting::Own(input)).await.is_err() {
            tracing::debug!("leadership ended before an input was taken: the next leader's full pass repairs it");
        }
    }

    /// Gives a message of a followed stream. False when leadership is over.
    pub(crate) async fn deliver(&self, delivery: Delivery<C>) -> bool {
        self.waiting.send(Waiting::Followed(delivery)).await.is_ok()
    }

    fn unavailable(&self) -> Refusal {
        let what = format!("ask {}", self.service.as_str());
        Refusal::new(
            RefusalCode::Unavailable,
            what,
            "this instance does not lead any more",
            "try again with the same command id; another instance leads within seconds",
        )
    }
}

impl<C: Core> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self {
            service: self.service,
            waiting: self.waiting.clone(),
            observations: self.observations.clone(),
            checks: self.checks.clone(),
        }
    }
}

impl<C: Core> std::fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("service", &self.service).finish_non_exhaustive()
    }
}
