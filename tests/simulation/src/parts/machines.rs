//! machine-lifecycle.

use bytes::Bytes;
use muster_bus::StoredMessage;
use muster_machine_lifecycle::core::{Effect, Input, MachineCore, Observation, State, check};
use muster_machine_lifecycle::wire;
use muster_model::{Incarnation, Refusal};
use muster_proto::v1::{self, envelope::Body};
use prost::Message;

use super::machine_id;
use crate::service::{AgentOrder, News, Part, Stream};

/// Why nothing is switched here.
const NO_DRIVERS: &str = "nobody sets a power or snapshot driver in the simulation";

pub(crate) struct MachinePart;

impl Part for MachinePart {
    type Core = MachineCore;
    const LOG: Stream = Stream::Machines;
    const SOURCES: &'static [Stream] = &[Stream::Reservations, Stream::Reports];

    fn take(stream: Stream, message: &StoredMessage) -> Result<Vec<Input>, String> {
        if stream == Stream::Reports { wire::take_report(message) } else { wire::take_reservations(message) }
    }

    fn check(state: &State) -> Result<(), String> {
        check::check(state)
    }

    fn began() -> Option<Observation> {
        Some(Observation::LeadershipBegan)
    }

    fn reconnected() -> Option<Observation> {
        Some(Observation::Reconnected)
    }

    fn command(envelope: &v1::Envelope) -> Result<Input, Refusal> {
        let Some(Body::MachineCommand(command)) = envelope.body.clone() else { return Err(super::misunderstood()) };
        wire::command_from_wire(command, &envelope.actor, "simulated").map(Input::Command)
    }

    fn reply(bytes: Bytes) -> Body {
        Body::MachineReply(v1::MachineReply::decode(bytes).expect("a reply of our own"))
    }

    fn hello(machine: &str, envelope: &v1::Envelope) -> Option<Input> {
        let Some(Body::Hello(hello)) = envelope.body.clone() else { return None };
        wire::hello_from_wire(&machine_id(machine), hello).ok().map(Input::Hello)
    }

    fn hello_answer(_state: &State, _machine: &str, _hello: &v1::Envelope, reply: Bytes) -> Option<v1::HelloAnswer> {
        v1::HelloAnswer::decode(reply).ok()
    }

    fn heartbeat(state: &State, machine: &str, envelope: &v1::Envelope) -> Option<(Observation, v1::HeartbeatAnswer)> {
        let Some(Body::Heartbeat(heartbeat)) = envelope.body.clone() else { return None };
        let (id, incarnation) = (machine_id(machine), Incarnation(envelope.incarnation));
        let answer = wire::heartbeat_answer(heartbeat.number, incarnation, state.machines.get(&id));
        let heartbeat = wire::heartbeat_from_wire(&id, incarnation, heartbeat).ok()?;
        Some((Observation::Heartbeat(heartbeat), answer))
    }

    fn command_of(effect: &Effect) -> AgentOrder {
        match effect {
            Effect::SendDesired { machine, desired } => AgentOrder {
                machine: machine.to_string(),
                epoch: desired.epoch.0,
                incarnation: desired.incarnation.0,
                command: wire::agent_command(desired),
            },
            Effect::Boot { machine, task } => AgentOrder {
                machine: machine.to_string(),
                epoch: task.epoch.0,
                incarnation: task.incarnation.0,
                command: wire::boot_command(task),
            },
            Effect::Prepare { machine, task } => AgentOrder {
                machine: machine.to_string(),
                epoch: task.epoch.0,
                incarnation: task.incarnation.0,
                command: wire::prepare_command(task),
            },
            Effect::Switch { .. } | Effect::LookAtPower { .. } | Effect::KeepKernel { .. } => {
                unreachable!("{NO_DRIVERS}")
            }
        }
    }

    fn answered(effect: &Effect, reply: &v1::AgentReply) -> News<MachineCore> {
        let (machine, desired) = match effect {
            Effect::SendDesired { machine, desired } => (machine, desired),
            Effect::Boot { machine, task } => {
                let (machine, incarnation) = (machine.clone(), task.incarnation);
                let progress = reply.boot.clone().and_then(v1::BootProgress::known);
                let news = progress.map(|progress| Observation::BootProgress { machine, incarnation, progress });
                return (news.into_iter().collect(), Vec::new());
            }
            // Nobody of this world orders it, and its agents have no disks of their own.
            Effect::Prepare { .. } => return (Vec::new(), Vec::new()),
            Effect::Switch { .. } | Effect::LookAtPower { .. } | Effect::KeepKernel { .. } => {
                unreachable!("{NO_DRIVERS}")
            }
        };
        if reply.refusal() != v1::AgentRefusal::Unspecified {
            return (Vec::new(), Vec::new());
        }
        let generation = reply.generation.map_or(desired.generation, Into::into);
        let (machine, incarnation) = (machine.clone(), desired.incarnation);
        let observed = Observation::DesiredTaken { machine: machine.clone(), incarnation, generation };
        (vec![observed], vec![Input::DesiredTaken { machine, incarnation, generation }])
    }
}
