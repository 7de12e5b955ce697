//! Heartbeats and pings: news for the volatile part. Heartbeats that ask for it are answered with the pool time.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use muster_bus::{Authority, Bus, BusError, Inbound, question, subjects};
use muster_ledger::{Handle, Lead};
use muster_model::CommandId;
use muster_proto::v1::{HeartbeatAnswer, envelope::Body};

use crate::core::input::Heartbeat;
use crate::core::{JobCore, Observation};
use crate::shell::{Generations, JobShell};
use crate::{metrics, wire};

/// How often the copy of the generations is renewed.
const GENERATIONS_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn subscribe(bus: &Bus) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
    bus.subscribe(subjects::EVERY_HEARTBEAT, None).await
}

pub(crate) async fn subscribe_pings(bus: &Bus) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
    bus.subscribe(subjects::EVERY_PING, None).await
}

/// Renews the copy of the generations until leadership ends.
pub(crate) async fn keep_generations(shell: Arc<JobShell>, handle: Handle<JobCore>) {
    loop {
        let asked = handle.query(|view| {
            let machines = view.state.machines.iter();
            machines
                .map(|(id, machine)| (id.clone(), (machine.generation, machine.seen.incarnation)))
                .collect::<Generations>()
        });
        let Ok(generations) = asked.await else { return };
        *shell.generations.write().expect("no holder of the generations panics") = Arc::new(generations);
        tokio::time::sleep(GENERATIONS_INTERVAL).await;
    }
}

/// Takes heartbeats until leadership ends.
pub(crate) async fn listen(
    shell: Arc<JobShell>,
    mut heartbeats: impl Stream<Item = Inbound> + Send + Unpin,
    handle: Handle<JobCore>,
    lead: Lead,
) {
    while let Some(inbound) = heartbeats.next().await {
        metrics::heartbeat();
        let reply = inbound.reply.clone();
        let answered = inbound.envelope.as_ref().ok().and_then(question);
        let Some((number, heartbeat)) = decode(inbound) else {
            metrics::invalid();
            continue;
        };
        if let Some(reply) = reply {
            answer(&shell, &reply, (number, answered), &heartbeat, &lead).await;
        }
        // A full queue drops it: the next one is a second away.
        handle.observe(Observation::Heartbeat(heartbeat));
    }
}

fn decode(inbound: Inbound) -> Option<(u64, Heartbeat)> {
    let machine = subjects::machine_of(&inbound.subject)?;
    let envelope = inbound.envelope.ok()?;
    let incarnation = envelope.incarnation;
    let Some(Body::Heartbeat(heartbeat)) = envelope.body else { return None };
    let decoded = wire::agents::heartbeat(incarnation, &heartbeat).ok()?;
    (decoded.machine == machine).then_some((heartbeat.number, decoded))
}

/// Answers with the pool time. Before the state is known nothing is said of generations, only of time.
async fn answer(
    shell: &JobShell,
    reply: &str,
    (number, answered): (u64, Option<CommandId>),
    heartbeat: &Heartbeat,
    lead: &Lead,
) {
    let generations = shell.generations.read().expect("no holder of the generations panics").clone();
    let known = generations.get(&heartbeat.machine);
    let hello_again = match known {
        Some((_, incarnation)) => heartbeat.incarnation < *incarnation,
        None => !generations.is_empty(),
    };
    if !lead.holds() {
        return;
    }
    let answer = HeartbeatAnswer {
        number,
        generation: known.map(|(generation, _)| (*generation).into()),
        pool_time_ns: shell.bus.now().0,
        hello_again,
        holder_deadline_ns: 0,
    };
    let authority = Authority { term: lead.term, command: answered, ..Authority::default() };
    shell.bus.answer_agent(&heartbeat.machine, reply, Body::HeartbeatAnswer(answer), authority).await;
}

/// Takes results of pings until leadership ends.
pub(crate) async fn listen_to_pings(mut pings: impl Stream<Item = Inbound> + Send + Unpin, handle: Handle<JobCore>) {
    while let Some(inbound) = pings.next().await {
        let batch = inbound.envelope.ok().and_then(|envelope| match envelope.body {
            Some(Body::PingBatch(batch)) => wire::agents::pings(batch).ok(),
            _ => None,
        });
        match batch {
            Some((machine, pinged)) if subjects::machine_of(&inbound.subject).as_ref() == Some(&machine) => {
                handle.observe(Observation::Pings { machine, pinged });
            }
            Some(_) | None => metrics::invalid(),
        }
    }
}
