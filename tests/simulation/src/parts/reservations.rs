//! reservation.

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_model::Refusal;
use muster_proto::v1::{self, envelope::Body};
use muster_reservation::core::{self, Input, ReservationCore, State};
use muster_reservation::wire;
use prost::Message;

use crate::service::{AgentOrder, News, Part, Stream};

pub(crate) struct ReservationPart;

impl Part for ReservationPart {
    type Core = ReservationCore;
    const LOG: Stream = Stream::Reservations;
    const SOURCES: &'static [Stream] = &[Stream::Machines, Stream::Jobs];

    fn take(stream: Stream, message: &StoredMessage) -> Result<Vec<Input>, String> {
        if stream == Stream::Jobs { wire::take_jobs(message) } else { wire::take(message) }
    }

    fn check(state: &State) -> Result<(), String> {
        core::check(state)
    }

    fn began() -> Option<()> {
        None
    }

    fn reconnected() -> Option<()> {
        None
    }

    fn command(envelope: &v1::Envelope) -> Result<Input, Refusal> {
        let Some(Body::ReservationCommand(command)) = envelope.body.clone() else { return Err(super::misunderstood()) };
        let command = wire::command(command, "simulated").map_err(|_| super::misunderstood())?;
        Ok(Input::Command { user: envelope.actor.clone(), command: Box::new(command) })
    }

    fn reply(bytes: Bytes) -> Body {
        Body::ReservationReply(v1::ReservationReply::decode(bytes).expect("a reply of our own"))
    }

    fn hello(_machine: &str, _envelope: &v1::Envelope) -> Option<Input> {
        None
    }

    fn hello_answer(_state: &State, _machine: &str, _hello: &v1::Envelope, _reply: Bytes) -> Option<v1::HelloAnswer> {
        None
    }

    fn heartbeat(_state: &State, _machine: &str, _envelope: &v1::Envelope) -> Option<((), v1::HeartbeatAnswer)> {
        None
    }

    fn command_of(effect: &core::Effect) -> AgentOrder {
        panic!("nobody in the simulation asks to be told of anything: {effect:?}")
    }

    fn answered(effect: &core::Effect, _reply: &v1::AgentReply) -> News<ReservationCore> {
        panic!("nobody in the simulation asks to be told of anything: {effect:?}")
    }
}
