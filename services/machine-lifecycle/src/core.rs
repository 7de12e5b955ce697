//! What is on a machine and whose it is, decided without I/O, clock or randomness.
//!
//! Responsible for the rules of hello, health, protection, tenure, epochs and fences. Not for how anything travels (`handler`,
//! `effects`) nor for what its bytes look like (`wire`).

mod apply;
mod boot;
pub mod check;
mod command;
pub mod decide;
pub mod direct;
mod event;
mod facts;
mod findings;
mod flakiness;
pub mod health;
mod input;
mod inventory;
mod kernel;
pub mod limits;
mod load;
mod machine;
mod observed;
pub mod power;
pub mod protection;
pub mod rails;
mod state;
mod storage;
mod tenure;
#[cfg(test)]
mod tests;
mod wanted;

use bytes::Bytes;
use muster_ledger::{At, Core, Decision, Findings, Now, Scope};
use muster_model::{MachineId, PoolTime, Refusal};

pub use boot::{Boot, Cleaning, Preparation, PreparedKernel, Running, Settings};
pub use command::{
    BootOrder, Command, FlagSetting, HoldSetting, PoolEntry, PowerOrdering, ProtectionSetting, SettingsChange,
    TagSetting,
};
pub use direct::DirectTask;
pub use event::{Event, Fact};
pub use facts::MachineFacts;
pub use flakiness::Recent;
pub use input::{Grant, Hello, Input, PowerActed, PowerLooked, Reply};
pub use inventory::{Area, CpuTopology, Inventory, Resource};
pub use kernel::{Kernel, KernelFile};
pub use load::LoadKey;
pub use machine::{Announcement, Machine, Protection};
pub use observed::{Heartbeat, Observation, Observed, Seen};
pub use state::{Past, State};
pub use storage::{StorageOrder, StorageOrdering, StorageReport, StorageWork};
pub use tenure::{Claim, Holder, Stage, Tenure};
pub use wanted::{BootTask, Desired, Effect, PrepareTask, Switch, desired_of};

use crate::wire;

/// The core of machine-lifecycle.
#[derive(Debug, Clone, Copy)]
pub struct MachineCore;

impl Core for MachineCore {
    type State = State;
    type Observed = Observed;
    type Input = Input;
    type Observation = Observation;
    type Event = Event;
    type Reply = Reply;
    type Effect = Effect;
    type Key = MachineId;

    const EVENT_TYPE: &'static str = "muster.v1.MachineEvent";

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

    fn touched(_state: &State, event: &Event) -> Vec<MachineId> {
        match event {
            Event::Machine { id, .. } => vec![id.clone()],
            Event::LoadNumberSet { .. } | Event::KernelAdded(_) | Event::KernelRemoved(_) | Event::HoldSet { .. } => {
                Vec::new()
            }
        }
    }

    fn wanted(state: &State, observed: &Observed, scope: Scope<'_, MachineId>, now: PoolTime) -> Vec<Effect> {
        wanted::wanted(state, observed, scope, now)
    }

    fn findings(state: &State, observed: &Observed, now: PoolTime) -> Findings {
        findings::findings(state, observed, now)
    }

    fn effect_key(effect: &Effect) -> String {
        effect.key()
    }

    fn project(state: &State, key: &MachineId) -> Vec<(String, Option<Bytes>)> {
        let value = state.machines.get(key).map(|machine| wire::record_bytes(key, machine));
        vec![(key.to_string(), value)]
    }

    fn keys(state: &State) -> Vec<MachineId> {
        state.machines.keys().cloned().collect()
    }

    fn encode_event(event: &Event) -> Bytes {
        wire::event_bytes(event)
    }

    fn decode_event(bytes: &Bytes) -> Result<Event, String> {
        wire::event_from_bytes(bytes).map_err(|error| error.to_string())
    }

    fn encode_state(state: &State) -> Bytes {
        wire::state_bytes(state)
    }

    fn decode_state(bytes: &Bytes) -> Result<State, String> {
        wire::state_from_bytes(bytes).map_err(|error| error.to_string())
    }

    fn in_pieces(input: &Input) -> bool {
        // A reservation has up to ten thousand machines.
        matches!(input, Input::Granted(_) | Input::Ended { .. } | Input::DeadlineMoved { .. })
    }

    fn frees(input: &Input) -> bool {
        // A hello is how drains and fences reach an agent; protection is never refused for want of room.
        matches!(input, Input::Hello(_) | Input::Command(Command::SetProtection { .. }))
    }

    fn encode_reply(reply: &Reply) -> Bytes {
        wire::reply_bytes(reply)
    }
}
