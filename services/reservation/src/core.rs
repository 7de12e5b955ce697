//! What reservation decides, purely: who gets which machines, when, and until when.
//!
//! The only allocator: which machines are taken is known from its own log alone (granted, and not back), so no machine is ever
//! held twice (I1). What machines are and where they stand is folded from MACHINES into [`Machine`]s. Not responsible for what
//! is on a machine, nor for its epoch: machine-lifecycle follows this log and changes tenure.

mod apply;
mod check;
mod decide;
mod event;
mod explain;
mod findings;
mod grants;
mod group;
mod image;
mod input;
mod limits;
mod line;
mod machine;
mod matching;
mod notice;
mod outlook;
mod quorum;
mod quota;
mod record;
mod reservation;
mod rollout;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeSet;

use bytes::Bytes;
use muster_ledger::{At, Core, Decision, Findings, Now, Scope};
use muster_model::{PoolTime, Refusal, ReservationId};

pub use check::check;
pub use event::Event;
pub use explain::{Explained, Kept, explain};
pub use input::{ClientsWanted, Command, Extension, Input, Reserve};
pub use limits::{
    COMMENT_SIZE_MAX, DRAIN_MAX, DURATION_MAX, ENDED_KEPT, MACHINES_MAX, PREPARATION_MAX, QUEUE_MAX, REASON_SIZE_MAX,
    SELECTOR_SIZE_MAX,
};
pub use machine::{Boot, Machine, News, Tenure};
pub use notice::{Delivery, Letter, Notice, Notices, Notify, Outcome, Recipient};
pub use quorum::Rollout;
pub use quota::{EVERYBODY, Quota, Quotas};
pub use record::{Listed, Record, records};
pub use reservation::{End, Ended, Grant, Request, Reservation, Stage};
pub use state::State;
pub use usage::Usage;

use crate::wire;
use limits::LETTERS_MAX;

/// The core of reservation.
#[derive(Debug)]
pub struct ReservationCore;

/// Answer to a command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The reservation after it.
    Reservation(Box<Record>),
    /// Several reservations after it.
    Reservations(Vec<Record>),
    /// The quota after it.
    Quota {
        /// Whose.
        name: String,
        /// What they may have.
        quota: Quota,
    },
}

/// What is done outside of the log. For machines there is nothing: machine-lifecycle follows it.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Somebody is told of a reservation.
    Tell(Box<Letter>),
}

impl Core for ReservationCore {
    type State = State;
    type Observed = ();
    type Input = Input;
    type Observation = ();
    type Event = Event;
    type Reply = Reply;
    type Effect = Effect;
    type Key = ReservationId;

    const EVENT_TYPE: &'static str = "muster.v1.ReservationEvent";

    fn decide(state: &State, _observed: &(), input: &Input, now: Now) -> Result<Decision<Self>, Refusal> {
        match input {
            Input::Command { user, command } => decide::command(state, user, command, now),
            Input::Machine { machine, news } => Ok(silent(decide::machine(state, machine, news, now))),
            Input::CheckoutAsked { user, machines, job, task } => {
                Ok(silent(decide::checkout_asked(state, user, machines, (*job, *task), now)))
            }
            Input::ClientsWanted(wanted) => Ok(silent(decide::clients_wanted(state, wanted))),
            Input::GroupEnded { master, reason } => Ok(silent(group::ended(state, *master, reason))),
            Input::Taken(position) => Ok(silent(decide::taken(state, *position))),
            Input::Noticed { id, notice, recipient, attempts, deadline, failed } => {
                let attempt = decide::Attempted { attempts: *attempts, deadline: *deadline, failed: failed.as_deref() };
                Ok(silent(decide::noticed(state, *id, (*notice, *recipient), attempt, now)))
            }
            Input::Used(id) => Ok(silent(decide::used(state, *id))),
            Input::Tick => Ok(silent(settle::pass(state, now))),
        }
    }

    fn apply(state: &mut State, event: &Event, at: &At<'_>) {
        apply::apply(state, event, at);
    }

    fn observe(_observed: &mut (), _state: &State, _observation: (), _now: PoolTime) {}

    fn tick() -> Input {
        Input::Tick
    }

    fn touched(state: &State, event: &Event) -> Vec<ReservationId> {
        match event {
            Event::MachineSeen { machine, .. } => state.holder(machine).into_iter().collect(),
            Event::Queued { id, .. }
            | Event::Granted { id, .. }
            | Event::Ready { id, .. }
            | Event::Extended { id, .. }
            | Event::Ended { id, .. }
            | Event::Dropped { id, .. }
            | Event::Dismissed { id, .. }
            | Event::Countdown { id, .. }
            | Event::Aged { id }
            | Event::Noticed { id, .. }
            | Event::TakenUp { id, .. }
            | Event::MachineReturned { id, .. } => vec![*id],
            Event::QuotaSet { .. } => Vec::new(),
        }
    }

    fn wanted(state: &State, _observed: &(), scope: Scope<'_, ReservationId>, now: PoolTime) -> Vec<Effect> {
        let letters: Vec<Letter> = match scope {
            Scope::Full => state.untold().flat_map(|told| told.letters(now)).take(LETTERS_MAX).collect(),
            Scope::Keys(keys) => {
                let touched = keys.iter().filter_map(|id| state.reservation(*id));
                touched.flat_map(|told| told.letters(now)).take(LETTERS_MAX).collect()
            }
        };
        letters.into_iter().map(|letter| Effect::Tell(Box::new(letter))).collect()
    }

    fn findings(state: &State, _observed: &(), now: PoolTime) -> Findings {
        findings::findings(state, now)
    }

    fn effect_key(effect: &Effect) -> String {
        match effect {
            Effect::Tell(letter) => format!("{}-{:?}-{:?}", letter.id, letter.notice, letter.recipient),
        }
    }

    fn project(state: &State, key: &ReservationId) -> Vec<(String, Option<Bytes>)> {
        let record = state.reservation(*key).map(|reservation| Record::of(state, reservation));
        vec![(key.to_string(), record.map(|record| wire::encode_record(&record)))]
    }

    fn keys(state: &State) -> Vec<ReservationId> {
        state.reservations().map(|reservation| reservation.id).collect()
    }

    fn encode_event(event: &Event) -> Bytes {
        wire::encode_event(event)
    }

    fn decode_event(bytes: &Bytes) -> Result<Event, String> {
        wire::decode_event(bytes)
    }

    fn encode_state(state: &State) -> Bytes {
        wire::encode_state(state)
    }

    fn decode_state(bytes: &Bytes) -> Result<State, String> {
        wire::decode_state(bytes)
    }

    fn frees(input: &Input) -> bool {
        matches!(input, Input::Command { command, .. } if command.frees()) || matches!(input, Input::GroupEnded { .. })
    }

    fn encode_reply(reply: &Reply) -> Bytes {
        wire::encode_reply(reply)
    }
}

/// A decision that answers nobody.
fn silent(events: Vec<Event>) -> Decision<ReservationCore> {
    Decision { events, reply: None }
}

/// Machines by id, as everywhere in this core.
type MachineSet = BTreeSet<muster_model::MachineId>;
