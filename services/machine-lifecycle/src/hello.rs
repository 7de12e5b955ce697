//! Hellos of agents: decided like a command, answered from the log.

use std::sync::Arc;

use futures::Stream;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus, BusError, Inbound};
use muster_ledger::{Handle, Lead, answer_each};
use muster_model::{CommandId, Incarnation, PoolTime, Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body};
use prost::Message;

use crate::core::{Input, MachineCore};
use crate::shell::MachineShell;
use crate::{metrics, wire};

/// Hellos that are decided at once; more wait in the subscription.
const HELLOS_MAX: usize = 1_024;
/// An agent whose clock differs from the pool's by more gets its request id dated anew.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 3_600_000;

pub(crate) async fn subscribe(bus: &Bus) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
    bus.subscribe(&subjects::every_hello(Service::MachineLifecycle), None).await
}

/// Answers hellos until leadership ends.
pub(crate) async fn listen(
    shell: Arc<MachineShell>,
    hellos: impl Stream<Item = Inbound> + Send + Unpin,
    handle: Handle<MachineCore>,
    lead: Lead,
) {
    let bus = &shell.bus;
    answer_each(bus, hellos, HELLOS_MAX, &lead, |inbound| answer(bus.clone(), inbound, handle.clone())).await;
}

async fn answer(bus: Bus, inbound: Inbound, handle: Handle<MachineCore>) -> Option<(Body, Authority)> {
    if inbound.reply.is_none() {
        metrics::invalid();
        return None;
    }
    let answered = decide(&bus, inbound, &handle).await;
    let (body, authority) = match answered {
        Ok((answer, authority)) => (Body::HelloAnswer(answer), authority),
        // Not the leader any more: silence, so that the one who is can answer.
        Err(refusal) if refusal.code == RefusalCode::Unavailable => return None,
        Err(refusal) => {
            tracing::warn!(%refusal, "a hello was refused");
            (Body::Refusal((&refusal).into()), Authority::default())
        }
    };
    metrics::hello(matches!(body, Body::HelloAnswer(_)));
    Some((body, authority))
}

async fn decide(
    bus: &Bus,
    inbound: Inbound,
    handle: &Handle<MachineCore>,
) -> Result<(v1::HelloAnswer, Authority), Refusal> {
    let envelope = inbound.envelope.map_err(|error| invalid(&error))?;
    let machine = subjects::machine_of(&inbound.subject).ok_or_else(|| invalid("its subject names no machine"))?;
    let id = request_id(&envelope, bus.now())?;
    let actor = envelope.source.clone();
    let Body::Hello(hello) = muster_bus::body(envelope).map_err(invalid)? else {
        return Err(invalid("it is not a hello"));
    };
    let hello = wire::hello_from_wire(&machine, hello).map_err(|error| invalid(&error.to_string()))?;
    let answer = handle.command(id, actor, Input::Hello(hello)).await?;
    let reply = v1::HelloAnswer::decode(answer.reply).map_err(|error| invalid(&error.to_string()))?;
    let mut authority = Authority { position: answer.position, term: answer.term, ..Authority::default() };
    if let Some(v1::hello_answer::Kind::Machine(desired)) = &reply.kind {
        authority.epoch = muster_model::Epoch(desired.epoch);
        authority.incarnation = Incarnation(desired.incarnation);
    }
    Ok((reply, authority))
}

/// The id under which a hello is remembered: that of its envelope, so that a message that is delivered twice grants one incarnation.
/// The clock of a machine under test may be years off, and an old id would be refused: then the date in it is the pool's.
fn request_id(envelope: &v1::Envelope, now: PoolTime) -> Result<CommandId, Refusal> {
    let mut id: [u8; 16] = envelope.id.as_ref().try_into().map_err(|_| invalid("its id is not a UUIDv7"))?;
    let now_ms = u64::try_from(now.0).unwrap_or(0) / 1_000_000;
    if CommandId(id).made_ms().abs_diff(now_ms) > CLOCK_DIFFERENCE_MAX_MS {
        id[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    }
    Ok(CommandId(id))
}

fn invalid(why: &str) -> Refusal {
    metrics::invalid();
    Refusal::new(RefusalCode::Invalid, "take a hello", why, "update the node agent on this machine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_keeps_its_random_part_and_gets_a_date_that_is_not_years_off() {
        let now = PoolTime(1_800_000_000_000_000_000);
        let envelope =
            v1::Envelope { id: vec![0; 6].into_iter().chain([7; 10]).collect::<Vec<_>>().into(), ..Default::default() };
        let id = request_id(&envelope, now).unwrap();
        assert_eq!(id.made_ms(), 1_800_000_000_000);
        assert_eq!(id.0[6..], [7; 10]);
        let again = v1::Envelope { id: id.0.to_vec().into(), ..Default::default() };
        assert_eq!(request_id(&again, now).unwrap(), id);
        assert!(request_id(&v1::Envelope::default(), now).is_err());
    }
}
