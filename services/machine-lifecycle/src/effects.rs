//! Effects: an agent is told its desired state, and what it says to that comes back as news and input.

use std::time::Duration;

use muster_bus::{Authority, Bus, RequestError};
use muster_ledger::Handle;
use muster_model::MachineId;
use muster_proto::v1::{self, envelope::Body};

use crate::core::{BootTask, Desired, Effect, Input, MachineCore, Observation, PrepareTask};
use crate::{direct, metrics, switching, wire};

/// How long an agent may take to have its desired state on disk.
const AGENT_TIMEOUT: Duration = Duration::from_secs(2);
/// The verb on which agents take their machine's desired state.
const VERB: &str = "machine";
/// The verb on which agents take orders to prepare a disk.
const STORAGE_VERB: &str = "storage";

/// Performs an effect.
pub(crate) async fn perform(bus: &Bus, effect: Effect, authority: Authority, handle: &Handle<MachineCore>) {
    match effect {
        Effect::SendDesired { machine, desired } => send_desired(bus, &machine, &desired, authority, handle).await,
        Effect::Switch { machine, switch } => switching::switch(bus, machine, *switch, handle).await,
        Effect::LookAtPower { machine, position, power } => switching::look(machine, position, power, handle).await,
        Effect::Boot { machine, task } => send_task(bus, &machine, &task, authority, handle).await,
        Effect::KeepKernel { machine, operation, kernel, power } => {
            direct::keep(bus, machine, operation, &kernel, power.as_deref(), handle).await;
        }
        Effect::Prepare { machine, task } => send_prepare(bus, &machine, &task, authority, handle).await,
    }
}

async fn send_desired(
    bus: &Bus,
    machine: &MachineId,
    desired: &Desired,
    authority: Authority,
    handle: &Handle<MachineCore>,
) {
    let authority = Authority { epoch: desired.epoch, incarnation: desired.incarnation, ..authority };
    let envelope = bus.envelope(Body::AgentCommand(wire::agent_command(desired)), authority);
    match bus.command(machine, VERB, &envelope, AGENT_TIMEOUT).await {
        Ok(answer) => take_answer(machine, desired, answer, handle).await,
        Err(RequestError::NoResponders { .. } | RequestError::TimedOut { .. }) => {
            metrics::desired("unanswered");
            tracing::debug!(machine_id = %machine, "an agent did not answer; it is told again");
        }
        Err(error) => {
            metrics::desired("unanswered");
            tracing::warn!(machine_id = %machine, %error, "an agent could not be told its desired state");
        }
    }
}

/// Tells an agent to install or to reboot. It answers at once how far it is; heartbeats say it from then on.
async fn send_task(
    bus: &Bus,
    machine: &MachineId,
    task: &BootTask,
    authority: Authority,
    handle: &Handle<MachineCore>,
) {
    let verb = if task.reboot { "reboot" } else { "install" };
    let authority = Authority { epoch: task.epoch, incarnation: task.incarnation, ..authority };
    let envelope = bus.envelope(Body::AgentCommand(wire::boot_command(task)), authority);
    tracing::info!(machine_id = %machine, operation = %task.operation, verb, "an agent is told of a boot");
    match bus.command(machine, verb, &envelope, AGENT_TIMEOUT).await {
        Ok(v1::Envelope { body: Some(Body::AgentReply(reply)), .. }) => {
            match reply.boot.and_then(v1::BootProgress::known) {
                Some(progress) => {
                    let (machine, incarnation) = (machine.clone(), task.incarnation);
                    handle.observe(Observation::BootProgress { machine, incarnation, progress });
                    metrics::boot_task("taken");
                }
                None => {
                    metrics::boot_task("refused");
                    tracing::warn!(machine_id = %machine, detail = reply.detail, verb, "an agent refused its boot for now");
                }
            }
        }
        Ok(_) => metrics::invalid(),
        Err(error) => {
            metrics::boot_task("unanswered");
            tracing::debug!(machine_id = %machine, %error, "an agent did not answer; it is told again");
        }
    }
}

/// Tells an agent to prepare a disk. It answers at once how far it is; heartbeats say it from then on, and a report its end.
async fn send_prepare(
    bus: &Bus,
    machine: &MachineId,
    task: &PrepareTask,
    authority: Authority,
    handle: &Handle<MachineCore>,
) {
    let authority = Authority { epoch: task.epoch, incarnation: task.incarnation, ..authority };
    let envelope = bus.envelope(Body::AgentCommand(wire::prepare_command(task)), authority);
    let (position, work) = (task.position, &task.work);
    tracing::info!(machine_id = %machine, order = %position, task = %work.task, resource = %work.resource, "an agent is told of a disk");
    match bus.command(machine, STORAGE_VERB, &envelope, AGENT_TIMEOUT).await {
        Ok(v1::Envelope { body: Some(Body::AgentReply(reply)), .. }) => {
            match reply.storage.and_then(v1::StorageProgress::known) {
                Some(progress) => {
                    let (machine, incarnation) = (machine.clone(), task.incarnation);
                    handle.observe(Observation::StorageProgress { machine, incarnation, progress });
                    metrics::storage_task("taken");
                }
                None => {
                    metrics::storage_task("refused");
                    tracing::warn!(machine_id = %machine, detail = reply.detail, "an agent refused a disk for now");
                }
            }
        }
        Ok(_) => metrics::invalid(),
        Err(error) => {
            metrics::storage_task("unanswered");
            tracing::debug!(machine_id = %machine, %error, "an agent did not answer; it is told again");
        }
    }
}

async fn take_answer(machine: &MachineId, desired: &Desired, answer: v1::Envelope, handle: &Handle<MachineCore>) {
    let Some(Body::AgentReply(reply)) = answer.body else {
        metrics::invalid();
        return;
    };
    if reply.refusal() != v1::AgentRefusal::Unspecified {
        metrics::desired("refused");
        let refusal = reply.refusal().as_str_name();
        tracing::warn!(machine_id = %machine, refusal, detail = reply.detail, "an agent refused its desired state");
        return;
    }
    metrics::desired("taken");
    // What it has may be newer than what it was told now.
    let generation = reply.generation.map_or(desired.generation, Into::into);
    let (machine, incarnation) = (machine.clone(), desired.incarnation);
    handle.observe(Observation::DesiredTaken { machine: machine.clone(), incarnation, generation });
    handle.submit(Input::DesiredTaken { machine, incarnation, generation }).await;
}
