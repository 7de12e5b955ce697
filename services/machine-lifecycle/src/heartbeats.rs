//! Heartbeats: news for the volatile part, and an answer to each that asks for one.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use muster_bus::{Authority, Bus, BusError, Inbound, question, subjects};
use muster_ledger::{Handle, Lead};
use muster_model::{CommandId, Incarnation};
use muster_proto::v1::envelope::Body;
use tokio::sync::mpsc;

use crate::core::{Heartbeat, MachineCore, Observation};
use crate::shell::MachineShell;
use crate::{metrics, wire};

/// Heartbeats that want an answer wait here at most. What finds no place is not answered: the agent asks again seconds later.
const ASKING_MAX: usize = 16_384;

pub(crate) async fn subscribe(bus: &Bus) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
    bus.subscribe(subjects::EVERY_HEARTBEAT, None).await
}

/// A heartbeat that wants an answer.
#[derive(Debug)]
struct Asking {
    reply: String,
    number: u64,
    /// The heartbeat itself.
    answered: Option<CommandId>,
    incarnation: Incarnation,
    machine: muster_model::MachineId,
}

/// Takes heartbeats until leadership ends, and answers beside it: an answer waits for a turn of the log, and heartbeats that wait for a turn
/// would be dropped where ten thousand come in a second.
pub(crate) async fn listen(
    shell: Arc<MachineShell>,
    mut heartbeats: impl Stream<Item = Inbound> + Send + Unpin,
    handle: Handle<MachineCore>,
    lead: Lead,
) {
    let (asking, waiting) = mpsc::channel(ASKING_MAX);
    let hear = async {
        while let Some(inbound) = heartbeats.next().await {
            metrics::heartbeat();
            take(inbound, &handle, &asking);
        }
    };
    tokio::select! {
        () = hear => {}
        () = answer_all(&shell.bus, waiting, &handle, &lead) => {}
    }
}

fn take(inbound: Inbound, handle: &Handle<MachineCore>, asking: &mpsc::Sender<Asking>) {
    let (reply, answered) = (inbound.reply.clone(), inbound.envelope.as_ref().ok().and_then(question));
    let Some((number, heartbeat)) = decode(inbound) else { return metrics::invalid() };
    let (machine, incarnation) = (heartbeat.machine.clone(), heartbeat.incarnation);
    // A full queue drops it: the next one is a second away.
    handle.observe(Observation::Heartbeat(heartbeat));
    if let Some(reply) = reply
        && asking.try_send(Asking { reply, number, answered, incarnation, machine }).is_err()
    {
        metrics::unanswered_heartbeat();
    }
}

fn decode(inbound: Inbound) -> Option<(u64, Heartbeat)> {
    let machine = subjects::machine_of(&inbound.subject)?;
    let envelope = inbound.envelope.ok()?;
    let incarnation = Incarnation(envelope.incarnation);
    let Some(Body::Heartbeat(heartbeat)) = envelope.body else { return None };
    let number = heartbeat.number;
    Some((number, wire::heartbeat_from_wire(&machine, incarnation, heartbeat).ok()?))
}

/// Answers what waits, all of it by one look at the state, again and again.
async fn answer_all(bus: &Bus, mut waiting: mpsc::Receiver<Asking>, handle: &Handle<MachineCore>, lead: &Lead) {
    let mut asking = Vec::new();
    while waiting.recv_many(&mut asking, ASKING_MAX).await > 0 {
        answer(bus, std::mem::take(&mut asking), handle, lead).await;
    }
}

async fn answer(bus: &Bus, asking: Vec<Asking>, handle: &Handle<MachineCore>, lead: &Lead) {
    let answers = handle.query(move |view| {
        let answer = |asking: Asking| {
            let machine = view.state.machines.get(&asking.machine);
            let answer = wire::heartbeat_answer(asking.number, asking.incarnation, machine);
            (asking, answer, view.now.position)
        };
        asking.into_iter().map(answer).collect::<Vec<_>>()
    });
    // Not the leader any more: silence.
    let Ok(answers) = answers.await else { return };
    for (asking, answer, position) in answers {
        if !lead.holds() {
            return;
        }
        let authority = Authority { position, term: lead.term, command: asking.answered, ..Authority::default() };
        bus.answer_agent(&asking.machine, &asking.reply, Body::HeartbeatAnswer(answer), authority).await;
    }
}
