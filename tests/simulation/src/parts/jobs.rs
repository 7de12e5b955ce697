//! The scheduler.

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_model::{CommandId, Refusal};
use muster_proto::v1::{self, agent_command, envelope::Body, hello_answer};
use muster_scheduler::core::{Effect, Input, JobCore, Observation, State, check, desired};
use muster_scheduler::wire::{agents, attached, machines, requests};
use prost::Message;

use super::machine_id;
use crate::service::{AgentOrder, News, Part, Stream};

pub(crate) struct JobPart;

impl Part for JobPart {
    type Core = JobCore;
    const LOG: Stream = Stream::Jobs;
    const SOURCES: &'static [Stream] = &[Stream::Machines, Stream::Reservations, Stream::Reports];

    fn take(stream: Stream, message: &StoredMessage) -> Result<Vec<Input>, String> {
        match stream {
            Stream::Reports => agents::take_reports(message),
            Stream::Reservations => attached::take(message),
            Stream::Machines | Stream::Jobs => machines::take(message),
        }
    }

    fn check(state: &State) -> Result<(), String> {
        check(state)
    }

    fn began() -> Option<Observation> {
        None
    }

    fn reconnected() -> Option<Observation> {
        None
    }

    fn command(envelope: &v1::Envelope) -> Result<Input, Refusal> {
        let Some(Body::JobCommand(command)) = envelope.body.clone() else { return Err(super::misunderstood()) };
        let id = envelope.cmd_id.as_ref().try_into().map_err(|_| super::misunderstood())?;
        requests::command(CommandId(id), &envelope.actor, command)
    }

    fn reply(bytes: Bytes) -> Body {
        Body::JobReply(v1::JobReply::decode(bytes).expect("a reply of our own"))
    }

    fn hello(_machine: &str, envelope: &v1::Envelope) -> Option<Input> {
        let Some(Body::Hello(hello)) = envelope.body.clone() else { return None };
        agents::hello(envelope.incarnation, hello).ok().map(Input::Hello)
    }

    fn hello_answer(state: &State, machine: &str, hello: &v1::Envelope, _reply: Bytes) -> Option<v1::HelloAnswer> {
        let Some(Body::Hello(hello)) = hello.body.clone() else { return None };
        let (generation, desired) = desired(state, &machine_id(machine), &agents::known(hello.processes));
        let kind = hello_answer::Kind::Job(agents::job_desired(generation, desired));
        Some(v1::HelloAnswer { kind: Some(kind) })
    }

    fn heartbeat(state: &State, machine: &str, envelope: &v1::Envelope) -> Option<(Observation, v1::HeartbeatAnswer)> {
        let Some(Body::Heartbeat(heartbeat)) = &envelope.body else { return None };
        let known = state.machines.get(machine);
        let answer = v1::HeartbeatAnswer {
            number: heartbeat.number,
            generation: known.map(|known| known.generation.into()),
            hello_again: known.is_none_or(|known| known.seen.incarnation.0 > envelope.incarnation),
            ..Default::default()
        };
        Some((Observation::Heartbeat(agents::heartbeat(envelope.incarnation, heartbeat).ok()?), answer))
    }

    fn command_of(effect: &Effect) -> AgentOrder {
        match effect {
            Effect::SendUpdate(update) => {
                let jobs = agents::update_jobs(update.builds_on, update.generation, update.desired.clone());
                AgentOrder {
                    machine: update.machine.to_string(),
                    epoch: update.epoch.0,
                    incarnation: update.incarnation.0,
                    command: v1::AgentCommand { kind: Some(agent_command::Kind::UpdateJobs(jobs)) },
                }
            }
            Effect::ListKnown { machine, epoch, incarnation } => AgentOrder {
                machine: machine.to_string(),
                epoch: epoch.0,
                incarnation: incarnation.0,
                command: v1::AgentCommand { kind: Some(agent_command::Kind::ListKnown(v1::ListKnown {})) },
            },
        }
    }

    fn answered(effect: &Effect, reply: &v1::AgentReply) -> News<JobCore> {
        if reply.refusal() != v1::AgentRefusal::Unspecified {
            return (Vec::new(), Vec::new());
        }
        let generation = reply.generation.unwrap_or_default().into();
        match effect {
            Effect::SendUpdate(update) => {
                let (machine, incarnation) = (update.machine.clone(), update.incarnation);
                let told = update.told.clone();
                let updated = Observation::Updated { machine: machine.clone(), incarnation, generation, told };
                let refused = agents::refused(reply.refused.clone());
                let inputs = if refused.is_empty() { vec![] } else { vec![Input::Refused { machine, refused }] };
                (vec![updated], inputs)
            }
            Effect::ListKnown { machine, incarnation, .. } => {
                let known = agents::known(reply.processes.clone());
                let (machine, incarnation) = (machine.clone(), *incarnation);
                let observed = Observation::Inventory { machine: machine.clone(), known: known.clone() };
                (
                    vec![observed],
                    vec![Input::Inventory { machine, incarnation, generation, known, last_batch: reply.last_batch }],
                )
            }
        }
    }
}
