//! The pure core of the scheduler: what runs, where, and what is to be told to whom. No I/O, clock or randomness.

mod apply;
pub mod attached;
mod check;
mod check_plan;
mod decide;
mod dictionary;
pub mod errand;
pub mod event;
pub mod facts;
mod findings;
mod fit;
pub mod groups;
pub mod input;
pub mod job;
mod judge;
pub mod limits;
mod lists;
pub mod machine;
pub mod master;
pub mod module;
mod nearest;
mod observed;
mod parameters;
pub mod placement;
pub mod plan;
mod plan_fold;
mod pool;
mod pool_clock;
mod pulses;
pub mod resources;
mod selection;
pub(crate) mod state;
pub mod sync;
pub mod test_event;
#[cfg(test)]
mod tests;
mod touched;
pub mod trigger;
mod uses;
mod wanted;

use bytes::Bytes;
use muster_ledger::{At, Core, Decision, Findings, Now, Scope};
use muster_model::{PoolTime, Refusal};

pub use check::check;
pub(crate) use decide::{place_task, tasks_waiting};
pub use event::Event;
pub use input::{Effect, Input, Key, Observation, Reply};
pub use observed::{Agent, Observed};
pub use pool_clock::cold_start;
pub use state::State;
pub use wanted::desired;

use crate::wire;

/// The core of the scheduler.
#[derive(Debug, Clone, Copy)]
pub struct JobCore;

impl Core for JobCore {
    type State = State;
    type Observed = Observed;
    type Input = Input;
    type Observation = Observation;
    type Event = Event;
    type Reply = Reply;
    type Effect = Effect;
    type Key = Key;

    const EVENT_TYPE: &'static str = "muster.v1.JobEvent";

    fn decide(state: &State, observed: &Observed, input: &Input, now: Now) -> Result<Decision<Self>, Refusal> {
        decide::decide(state, observed, input, now)
    }

    fn apply(state: &mut State, event: &Event, at: &At<'_>) {
        apply::apply(state, event, at);
    }

    fn observe(observed: &mut Observed, state: &State, observation: Observation, now: PoolTime) {
        observed.take(state, observation, now);
    }

    fn tick() -> Input {
        Input::Tick
    }

    fn touched(state: &State, event: &Event) -> Vec<Key> {
        touched::touched(state, event)
    }

    fn forgotten(state: &State) -> Vec<Key> {
        state.forgotten.0.clone()
    }

    fn wanted(state: &State, observed: &Observed, scope: Scope<'_, Key>, now: PoolTime) -> Vec<Effect> {
        wanted::wanted(state, observed, scope, now)
    }

    fn findings(state: &State, observed: &Observed, now: PoolTime) -> Findings {
        findings::findings(state, observed, now)
    }

    fn effect_key(effect: &Effect) -> String {
        match effect {
            Effect::SendUpdate(update) => format!("update/{}", update.machine),
            Effect::ListKnown { machine, .. } => format!("inventory/{machine}"),
        }
    }

    fn project(state: &State, key: &Key) -> Vec<(String, Option<Bytes>)> {
        wire::projection::project(state, key)
    }

    fn keys(state: &State) -> Vec<Key> {
        let parts = state.jobs.iter().flat_map(|(number, job)| {
            let parts = job.parts.keys().map(|machine| Key::Part(*number, machine.clone()));
            parts.chain([Key::Job(*number)])
        });
        parts.chain(state.machines.keys().cloned().map(Key::Machine)).collect()
    }

    fn encode_event(event: &Event) -> Bytes {
        wire::events::encode(event)
    }

    fn decode_event(bytes: &Bytes) -> Result<Event, String> {
        wire::events::decode(bytes)
    }

    fn encode_state(state: &State) -> Bytes {
        wire::snapshot::encode(state)
    }

    fn decode_state(bytes: &Bytes) -> Result<State, String> {
        wire::snapshot::decode(bytes)
    }

    fn frees(input: &Input) -> bool {
        if let Input::FromCenter { input, .. } = input {
            return Self::frees(input);
        }
        // A hello is how stops reach an agent.
        matches!(
            input,
            Input::Stop(_) | Input::RemoveModule(_) | Input::Hello(_) | Input::ClearPulses(_) | Input::Disarm(_)
        )
    }

    fn encode_reply(reply: &Reply) -> Bytes {
        wire::replies::encode(reply)
    }
}
