//! What a pure core is: state, inputs, events, effects, and the functions between them. No I/O, clock or randomness.

use bytes::Bytes;
use muster_model::{PoolTime, Position, Refusal, Term};

use crate::Findings;

/// The moment of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Pool time; never below that of any event in the log.
    pub time: PoolTime,
    /// Position that the events of this decision will have.
    pub position: Position,
    /// Term of the deciding leader.
    pub term: Term,
}

/// Where an event stands in the log.
#[derive(Debug, Clone)]
pub struct At<'a> {
    /// Position of its message.
    pub position: Position,
    /// Pool time of its entry.
    pub time: PoolTime,
    /// Actor of its entry; empty means the service itself.
    pub actor: &'a str,
}

/// What was decided from one input.
#[derive(Debug, Clone)]
pub struct Decision<C: Core> {
    /// Facts, in order. May be empty: then nothing is appended for a query-like command or a tick without due timers.
    pub events: Vec<C::Event>,
    /// The reply to a command; none for other inputs.
    pub reply: Option<C::Reply>,
}

/// Which part of the state [`Core::wanted`] and projections look at.
#[derive(Debug)]
pub enum Scope<'a, K> {
    /// Everything: the full pass.
    Full,
    /// Keys that were touched in this turn.
    Keys(&'a std::collections::BTreeSet<K>),
}

/// What a query sees: acknowledged state only.
#[derive(Debug)]
pub struct View<'a, C: Core> {
    /// The state.
    pub state: &'a C::State,
    /// What is volatile.
    pub observed: &'a C::Observed,
    /// The moment; `position` is the applied position.
    pub now: Now,
    /// Ledger's own account of itself, for status queries.
    pub followed: &'a std::collections::BTreeMap<String, Position>,
    /// UUID of the system.
    pub system: muster_model::SystemId,
}

impl<C: Core> View<'_, C> {
    /// BLAKE3 of the encoded state: equal on every replica at the same position. Computed when asked.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        crate::chain::hash(&C::encode_state(self.state))
    }
}

/// A pure core: the whole of what a service decides.
///
/// `State` is the fold of the log and the same on every replica: ordered maps only, no floats that depend on order of evaluation.
/// `Observed` is volatile: it is never logged or hashed.
pub trait Core: Sized + Send + Sync + 'static {
    /// Fold of the log.
    type State: Default + Send + Sync;
    /// Volatile knowledge: heartbeats, digests, measured load.
    type Observed: Default + Send + Sync;
    /// A command, a message of a followed stream, or the tick.
    type Input: Send;
    /// News for `Observed`.
    type Observation: Send;
    /// A past-tense fact.
    type Event: Clone + Send + Sync + std::fmt::Debug;
    /// Answer to a command.
    type Reply: Send;
    /// Something to be done outside. Idempotent, or guarded.
    type Effect: Clone + Send + Sync + std::fmt::Debug + 'static;
    /// Unit of change for effects and projections: a machine, a reservation.
    type Key: Ord + Clone + Send + Sync;

    /// Type name of the encoded events: `muster.v1.JobEvent`.
    const EVENT_TYPE: &'static str;

    /// Decides. Changes nothing; a refusal is for commands alone.
    ///
    /// # Errors
    /// The refusal of a command.
    fn decide(
        state: &Self::State,
        observed: &Self::Observed,
        input: &Self::Input,
        now: Now,
    ) -> Result<Decision<Self>, Refusal>;

    /// Folds one event.
    fn apply(state: &mut Self::State, event: &Self::Event, at: &At<'_>);

    /// Takes news into the volatile part.
    fn observe(observed: &mut Self::Observed, state: &Self::State, observation: Self::Observation, now: PoolTime);

    /// The input that lets due timers and the repair by the full pass decide; given at every tick of the leader.
    fn tick() -> Self::Input;

    /// Keys that an event is about to touch, by the state before it.
    fn touched(state: &Self::State, event: &Self::Event) -> Vec<Self::Key>;

    /// Keys of what the last event made the state forget beside what it touches, such as what is kept up to a number.
    fn forgotten(_state: &Self::State) -> Vec<Self::Key> {
        Vec::new()
    }

    /// What is to be done outside, by state alone. The same again until the state says that it is done.
    fn wanted(
        state: &Self::State,
        observed: &Self::Observed,
        scope: Scope<'_, Self::Key>,
        now: PoolTime,
    ) -> Vec<Self::Effect>;

    /// What the state and what is observed disagree about now, and what a person is to know: for who asks for a full pass.
    #[must_use]
    fn findings(_state: &Self::State, _observed: &Self::Observed, _now: PoolTime) -> Findings {
        Findings::default()
    }

    /// Identity of an effect: one with the same key that is still being performed is not begun again.
    fn effect_key(effect: &Self::Effect) -> String;

    /// Value of a key in the projection for readers; none removes it. The key is a KV key: letters, digits, `-`, `_`, `.`.
    fn project(state: &Self::State, key: &Self::Key) -> Vec<(String, Option<Bytes>)>;

    /// Every key of the state, for the full pass over the projection.
    fn keys(state: &Self::State) -> Vec<Self::Key>;

    /// Encodes an event as [`Core::EVENT_TYPE`].
    fn encode_event(event: &Self::Event) -> Bytes;

    /// Decodes an event.
    ///
    /// # Errors
    /// When the log was written by something newer.
    fn decode_event(bytes: &Bytes) -> Result<Self::Event, String>;

    /// Encodes the state deterministically: equal states give equal bytes on every replica.
    fn encode_state(state: &Self::State) -> Bytes;

    /// Decodes a state.
    ///
    /// # Errors
    /// When the snapshot was written by something newer.
    fn decode_state(bytes: &Bytes) -> Result<Self::State, String>;

    /// Whether what follows from an input of a followed log is decided in pieces that fit into a message: it is given again until nothing
    /// follows from it.
    #[must_use]
    fn in_pieces(input: &Self::Input) -> bool {
        let _ = input;
        false
    }

    /// Whether a command frees more than it takes (a stop, a release): only such are taken when the log's store is 90 % full.
    #[must_use]
    fn frees(input: &Self::Input) -> bool {
        let _ = input;
        false
    }

    /// Encodes a reply as the service's reply message (`muster.v1.JobReply`).
    fn encode_reply(reply: &Self::Reply) -> Bytes;
}
