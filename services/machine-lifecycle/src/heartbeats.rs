//! Heartbeats: news for the volatile part, and an answer to each that asks for one.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use muster_bus::{Authority, Bus, BusError, Inbound, subjects};
use muster_ledger::{Handle, Lead};
use muster_model::Incarnation;
use muster_proto::v1::envelope::Body;

use crate::core::{Heartbeat, MachineCore, Observation};
use crate::shell::MachineShell;
use crate::{metrics, wire};

/// Heartbeats that are taken at once: those that wait when one is looked at. One look at the state answers them all.
const BATCH_MAX: usize = 1_024;

pub(crate) async fn subscribe(bus: &Bus) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
    bus.subscribe(subjects::EVERY_HEARTBEAT, None).await
}

/// A heartbeat that wants an answer.
struct Asking {
    reply: String,
    number: u64,
    incarnation: Incarnation,
    machine: muster_model::MachineId,
}

/// Takes heartbeats until leadership ends.
pub(crate) async fn listen(
    shell: Arc<MachineShell>,
    heartbeats: impl Stream<Item = Inbound> + Send + Unpin,
    handle: Handle<MachineCore>,
    lead: Lead,
) {
    let mut batches = heartbeats.ready_chunks(BATCH_MAX);
    while let Some(batch) = batches.next().await {
        metrics::heartbeats(batch.len());
        let mut asking = Vec::new();
        for inbound in batch {
            take(inbound, &handle, &mut asking);
        }
        answer(&shell.bus, asking, &handle, &lead).await;
    }
}

fn take(inbound: Inbound, handle: &Handle<MachineCore>, asking: &mut Vec<Asking>) {
    let reply = inbound.reply.clone();
    let Some((number, heartbeat)) = decode(inbound) else { return metrics::invalid() };
    if let Some(reply) = reply {
        let (machine, incarnation) = (heartbeat.machine.clone(), heartbeat.incarnation);
        asking.push(Asking { reply, number, incarnation, machine });
    }
    // A full queue drops it: the next one is a second away.
    handle.observe(Observation::Heartbeat(heartbeat));
}

fn decode(inbound: Inbound) -> Option<(u64, Heartbeat)> {
    let machine = subjects::machine_of(&inbound.subject)?;
    let envelope = inbound.envelope.ok()?;
    let incarnation = Incarnation(envelope.incarnation);
    let Some(Body::Heartbeat(heartbeat)) = envelope.body else { return None };
    let number = heartbeat.number;
    Some((number, wire::heartbeat_from_wire(&machine, incarnation, heartbeat).ok()?))
}

async fn answer(bus: &Bus, asking: Vec<Asking>, handle: &Handle<MachineCore>, lead: &Lead) {
    if asking.is_empty() {
        return;
    }
    let answers = handle.query(move |view| {
        let answer = |asking: Asking| {
            let machine = view.state.machines.get(&asking.machine);
            let answer = wire::heartbeat_answer(asking.number, asking.incarnation, machine);
            (asking.reply, answer, view.now.position)
        };
        asking.into_iter().map(answer).collect::<Vec<_>>()
    });
    // Not the leader any more: silence.
    let Ok(answers) = answers.await else { return };
    for (reply, answer, position) in answers {
        if !lead.holds() {
            return;
        }
        let authority = Authority { position, term: lead.term, ..Authority::default() };
        bus.answer(&reply, Body::HeartbeatAnswer(answer), authority).await;
    }
}
