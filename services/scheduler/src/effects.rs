//! Effects: agents are told, and asked. All of it is idempotent: an order that arrives twice is known already.

use std::time::Duration;

use muster_bus::{Authority, Bus};
use muster_ledger::Handle;
use muster_model::{Epoch, Incarnation, MachineId, Position, Term};
use muster_proto::v1::{AgentCommand, AgentRefusal, AgentReply, ListKnown, agent_command, envelope::Body};

use crate::core::input::{RefusedProcess, Update};
use crate::core::{Effect, Input, JobCore, Observation};
use crate::{metrics, wire};

/// How long an agent may take to put a message's intents on its disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What failed is not tried again at once: the agent may be saying hello.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// A process that was refused is placed again after so long: what made it stale is in MACHINES, and is followed meanwhile.
const REPLACE_DELAY: Duration = Duration::from_millis(250);

/// An agent's words are kept up to this length, characters.
const DETAIL_MAX: usize = 200;

/// Performs one effect.
pub(crate) async fn perform(bus: &Bus, effect: Effect, authority: Authority, handle: &Handle<JobCore>) {
    match effect {
        Effect::SendUpdate(update) => send_update(bus, *update, authority.term, handle).await,
        Effect::ListKnown { machine, epoch, incarnation } => {
            let agent = Agent { machine, epoch, incarnation, term: authority.term, position: authority.position };
            list_known(bus, agent, handle).await;
        }
    }
}

/// One agent, and the authority with which it is addressed.
struct Agent {
    machine: MachineId,
    epoch: Epoch,
    incarnation: Incarnation,
    term: Term,
    position: Position,
}

async fn send_update(bus: &Bus, update: Update, term: Term, handle: &Handle<JobCore>) {
    let Update { machine, epoch, incarnation, builds_on, generation, desired, told } = update;
    let agent = Agent { machine, epoch, incarnation, term, position: generation };
    let mut refused = Vec::new();
    let mut reached = None;
    let parts = desired.split();
    let last = parts.len() - 1;
    for (index, part) in parts.into_iter().enumerate() {
        // Parts before the last leave the generation as it is, so that a break between them is repaired from it.
        let after = if index == last { generation } else { builds_on };
        let command = agent_command::Kind::UpdateJobs(wire::agents::update_jobs(builds_on, after, part));
        let Some(reply) = ask(bus, &agent, "jobs", command).await else {
            metrics::update("unanswered");
            break;
        };
        if reply.refusal() != AgentRefusal::Unspecified {
            metrics::update("refused");
            let (machine_id, refusal, detail) = (&agent.machine, reply.refusal().as_str_name(), &reply.detail);
            tracing::info!(%machine_id, refusal, detail, "an agent refused an update");
            let detail = reply.detail.chars().take(DETAIL_MAX).collect();
            handle.observe(Observation::UpdateRefused { machine: agent.machine.clone(), detail });
            break;
        }
        metrics::update("taken");
        refused.extend(wire::agents::refused(reply.refused));
        if index == last {
            reached = Some(reply.generation.map_or(generation, Position::from));
        }
    }
    hand_back(handle, &agent.machine, refused).await;
    match reached {
        Some(generation) => {
            handle.observe(Observation::Updated { machine: agent.machine, incarnation, generation, told });
        }
        None => tokio::time::sleep(RETRY_DELAY).await,
    }
}

/// Gives refused processes back to the core.
async fn hand_back(handle: &Handle<JobCore>, machine: &MachineId, refused: Vec<RefusedProcess>) {
    if refused.is_empty() {
        return;
    }
    metrics::refused(refused.len());
    tracing::info!(machine_id = %machine, count = refused.len(), "an agent refused processes");
    tokio::time::sleep(REPLACE_DELAY).await;
    handle.submit(Input::Refused { machine: machine.clone(), refused }).await;
}

async fn list_known(bus: &Bus, agent: Agent, handle: &Handle<JobCore>) {
    let answered = ask(bus, &agent, "inventory", agent_command::Kind::ListKnown(ListKnown {})).await;
    let taken = answered.filter(|reply| reply.refusal() == AgentRefusal::Unspecified);
    metrics::inventory(taken.is_some());
    let Some(reply) = taken else { return tokio::time::sleep(RETRY_DELAY).await };
    let known = wire::agents::known(reply.processes);
    let Agent { machine, incarnation, .. } = agent;
    tracing::info!(machine_id = %machine, count = known.len(), "what an agent runs differs from the log: comparing its list");
    handle.observe(Observation::Inventory { machine: machine.clone(), known: known.clone() });
    let generation = reply.generation.map(Position::from).unwrap_or_default();
    let last_batch = reply.last_batch;
    handle.submit(Input::Inventory { machine, incarnation, generation, known, last_batch }).await;
}

/// Asks an agent; none when there was no usable answer, which the next full pass repairs.
async fn ask(bus: &Bus, agent: &Agent, verb: &str, command: agent_command::Kind) -> Option<AgentReply> {
    let authority = Authority {
        position: agent.position,
        term: agent.term,
        epoch: agent.epoch,
        incarnation: agent.incarnation,
        command: None,
    };
    let envelope = bus.envelope(Body::AgentCommand(AgentCommand { kind: Some(command) }), authority);
    match bus.command(&agent.machine, verb, &envelope, ANSWER_TIMEOUT).await {
        Ok(answer) => match answer.body {
            Some(Body::AgentReply(reply)) => Some(reply),
            _ => {
                tracing::warn!(machine_id = %agent.machine, verb, "an agent's answer is no agent reply");
                None
            }
        },
        Err(error) => {
            tracing::debug!(machine_id = %agent.machine, verb, %error, "an agent did not answer");
            None
        }
    }
}
