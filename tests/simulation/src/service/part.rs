//! What a service is made of beside the ledger: its core, and how what is said to it becomes inputs.

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_ledger::Core;
use muster_model::Refusal;
use muster_proto::v1::{self, envelope::Body};

use super::Stream;

/// What a service is made of beside the ledger.
pub(crate) trait Part: 'static {
    type Core: Core;
    /// Its log.
    const LOG: Stream;
    /// The streams that it follows.
    const SOURCES: &'static [Stream];

    /// Inputs of a followed message.
    fn take(stream: Stream, message: &StoredMessage) -> Result<Vec<<Self::Core as Core>::Input>, String>;
    /// The core's own check.
    fn check(state: &<Self::Core as Core>::State) -> Result<(), String>;
    /// What the shell observes when it begins to lead.
    fn began() -> Option<<Self::Core as Core>::Observation>;
    /// What the shell observes when its connection came back.
    fn reconnected() -> Option<<Self::Core as Core>::Observation>;
    /// The input of a person's command.
    fn command(envelope: &v1::Envelope) -> Result<<Self::Core as Core>::Input, Refusal>;
    /// A command's reply as a body.
    fn reply(bytes: Bytes) -> Body;
    /// The input of an agent's hello.
    fn hello(machine: &str, envelope: &v1::Envelope) -> Option<<Self::Core as Core>::Input>;
    /// The answer to a hello, from the state after it.
    fn hello_answer(
        state: &<Self::Core as Core>::State,
        machine: &str,
        envelope: &v1::Envelope,
        reply: Bytes,
    ) -> Option<v1::HelloAnswer>;
    /// What a heartbeat says, and its answer.
    fn heartbeat(
        state: &<Self::Core as Core>::State,
        machine: &str,
        envelope: &v1::Envelope,
    ) -> Option<(<Self::Core as Core>::Observation, v1::HeartbeatAnswer)>;
    /// The command that performs an effect: machine, epoch, incarnation, command.
    fn command_of(effect: &<Self::Core as Core>::Effect) -> AgentOrder;
    /// What comes of an effect, once its agent has answered.
    fn answered(effect: &<Self::Core as Core>::Effect, reply: &v1::AgentReply) -> News<Self::Core>;
}

/// A command to an agent.
pub(crate) struct AgentOrder {
    pub(crate) machine: String,
    pub(crate) epoch: u64,
    pub(crate) incarnation: u64,
    pub(crate) command: v1::AgentCommand,
}

/// Observations and inputs.
pub(crate) type News<C> = (Vec<<C as Core>::Observation>, Vec<<C as Core>::Input>);
