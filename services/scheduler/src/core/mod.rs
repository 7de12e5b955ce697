//! The pure core of the scheduler: what runs, where, and what is to be told to whom. No I/O, clock or randomness.

mod apply;
pub mod attached;
mod check;
mod decide;
mod dictionary;
pub mod event;
pub mod facts;
mod fit;
pub mod input;
pub mod job;
pub mod limits;
mod lists;
pub mod machine;
pub mod master;
pub mod module;
mod nearest;
mod observed;
mod parameters;
pub mod placement;
mod pool;
mod pool_clock;
mod pulses;
pub mod resources;
mod selection;
pub(crate) mod state;
#[cfg(test)]
mod tests;
pub mod trigger;
mod uses;
mod wanted;

use bytes::Bytes;
use muster_ledger::{At, Core, Decision, Now, Scope};
use muster_model::{MachineId, PoolTime, Refusal};

pub use check::check;
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
        touched(state, event)
    }

    fn forgotten(state: &State) -> Vec<Key> {
        state.forgotten.0.clone()
    }

    fn wanted(state: &State, observed: &Observed, scope: Scope<'_, Key>, now: PoolTime) -> Vec<Effect> {
        wanted::wanted(state, observed, scope, now)
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

/// Keys that an event touches: what it changes is on its machines, and in its jobs. What it makes the state forget is not among them.
fn touched(state: &State, event: &Event) -> Vec<Key> {
    let process = |id: &muster_model::ProcessId, machine: &MachineId| {
        let job = id.dpid.job;
        [Key::Job(job), Key::Part(job, machine.clone()), Key::Machine(machine.clone())]
    };
    match event {
        Event::RunStarted(_) => {
            let armed = state.machines.iter().filter(|(_, machine)| !machine.arms.is_empty());
            armed.map(|(id, _)| Key::Machine(id.clone())).collect()
        }
        Event::ModuleAdded(_) | Event::ModuleRemoved(_) | Event::ReportsTaken(_) | Event::LoadNumberSeen(_) => {
            Vec::new()
        }
        Event::MasterChanged(_) => Vec::new(),
        Event::ReservationSeen(..) | Event::StartAttached(_) | Event::AttachedEnded(..) => Vec::new(),
        Event::JobStarted(started) => {
            let job = started.spec.job;
            let machines = started.placements.iter().map(|placement| placement.machine.clone());
            machines
                .flat_map(|machine| [Key::Part(job, machine.clone()), Key::Machine(machine)])
                .chain([Key::Job(job)])
                .collect()
        }
        Event::StopRequested(stop) => {
            let machines = state.jobs.get(&stop.job).into_iter().flat_map(|job| job.parts.keys().cloned());
            machines.map(Key::Machine).chain([Key::Job(stop.job)]).collect()
        }
        Event::ProcessesChanged(changes) => {
            changes.iter().flat_map(|change| process(&change.id, &change.machine)).collect()
        }
        Event::MachineSeen(seen) => vec![Key::Machine(seen.seen.machine.clone())],
        Event::TriggerArmed(armed) => armed.machines.iter().map(|(id, _)| Key::Machine(id.clone())).collect(),
        Event::TriggerDisarmed(disarmed) => disarmed.machines.iter().cloned().map(Key::Machine).collect(),
        Event::TriggerFired(_) => Vec::new(),
        Event::AbsenceExpected(absence) => process(&absence.id, &absence.machine).into(),
        Event::TriggerActed(acted) => vec![Key::Machine(acted.machine.clone())],
        Event::ProcessReplaced(replaced) => {
            let before = state.processes.get(&replaced.id.dpid).map(|process| process.machine.clone());
            let members = replaced.placement.members.iter();
            let gang = members.flat_map(|member| state.gang(replaced.id.dpid.job, *member));
            let mates = gang.map(|(_, mate)| Key::Machine(mate.machine.clone()));
            let machines = [Some(replaced.placement.machine.clone()), before].into_iter().flatten();
            let moved = machines.flat_map(|machine| process(&replaced.id, &machine));
            moved.chain(mates).collect()
        }
        Event::PulseSet(number, _) => state.machines_gated(&[*number]).into_iter().map(Key::Machine).collect(),
        Event::PulsesCleared(numbers) => state.machines_gated(numbers).into_iter().map(Key::Machine).collect(),
        Event::JobChanged(changed) => {
            let machines = state.jobs.get(&changed.job).into_iter().flat_map(|job| job.parts.keys().cloned());
            machines.map(Key::Machine).chain([Key::Job(changed.job)]).collect()
        }
    }
}
