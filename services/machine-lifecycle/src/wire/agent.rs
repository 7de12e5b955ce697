//! What agents say and are told.

use std::sync::Arc;

use muster_model::{Epoch, Incarnation, MachineId, PoolTime};
use muster_proto::WireError;
use muster_proto::v1;

use super::holder::holder_to_wire;
use super::inventory::{inventory_from_wire, texts};
use super::machine_id;
use crate::core::{Announcement, Desired, Heartbeat, Hello, Machine};

/// A hello, as its subject and its body agree on who says it.
///
/// # Errors
/// Names the field that is wrong.
pub fn hello_from_wire(subject: &MachineId, hello: v1::Hello) -> Result<Hello, WireError> {
    let machine = same_machine("Hello", subject, &hello.machine)?;
    Ok(Hello {
        machine,
        agent_version: hello.agent_version,
        boot_id: hello.boot_id,
        fenced_epoch: Epoch(hello.fenced_epoch),
        last_incarnation: Incarnation(hello.last_incarnation),
        last_batch: hello.last_batch,
        command_line: hello.command_line,
        announced: hello.announced.and_then(announced),
        inventory: hello.inventory.map(inventory_from_wire).transpose()?.map(Arc::new),
    })
}

/// What was announced of the end of the last boot, and which boot that was; none where it is of a newer version.
fn announced(said: v1::AbsenceAnnounced) -> Option<(Announcement, String)> {
    let absence = said.absence().known()?;
    let announced = Announcement { process: said.id?.into(), absence, until: PoolTime(said.until_ns) };
    Some((announced, said.boot_id))
}

/// A heartbeat, with the incarnation of its envelope.
///
/// # Errors
/// Names the field that is wrong.
pub fn heartbeat_from_wire(
    subject: &MachineId,
    incarnation: Incarnation,
    heartbeat: v1::Heartbeat,
) -> Result<Heartbeat, WireError> {
    Ok(Heartbeat {
        machine: same_machine("Heartbeat", subject, &heartbeat.machine)?,
        incarnation,
        boot_id: heartbeat.boot_id,
        generation: heartbeat.machine_generation.unwrap_or_default().into(),
        fenced_epoch: Epoch(heartbeat.fenced_epoch),
        processes_live: heartbeat.processes_live,
        processes_digest: heartbeat.processes_digest,
        draining: heartbeat.draining,
        stored: heartbeat.reports_acknowledged,
        boot: heartbeat.boot.and_then(v1::BootProgress::known),
        storage: heartbeat.storage.and_then(v1::StorageProgress::known),
        ssh_key: heartbeat.ssh_key,
    })
}

fn same_machine(message: &'static str, subject: &MachineId, body: &str) -> Result<MachineId, WireError> {
    let named = machine_id(message, "machine", body)?;
    if named == *subject {
        return Ok(named);
    }
    Err(WireError::invalid(message, "machine", format!("its subject says {subject}, its body {named}")))
}

/// The answer to a heartbeat of `incarnation`. An agent whose life is not the one that was granted last says hello again.
#[must_use]
pub fn heartbeat_answer(number: u64, incarnation: Incarnation, machine: Option<&Machine>) -> v1::HeartbeatAnswer {
    let Some(machine) = machine.filter(|machine| machine.incarnation == incarnation) else {
        return v1::HeartbeatAnswer { number, hello_again: true, ..Default::default() };
    };
    v1::HeartbeatAnswer {
        number,
        generation: Some(machine.generation.into()),
        // The scheduler's alone counts.
        pool_time_ns: 0,
        hello_again: false,
        holder_deadline_ns: machine.tenure.holder.deadline().0,
    }
}

/// The desired state of a machine.
#[must_use]
pub fn desired_to_wire(desired: &Desired) -> v1::MachineDesired {
    v1::MachineDesired {
        generation: Some(desired.generation.into()),
        incarnation: desired.incarnation.0,
        epoch: desired.epoch.0,
        draining: desired.draining,
        protected: texts(&desired.protected),
        machine_protected: desired.machine_protected,
        holder: Some(holder_to_wire(&desired.holder)),
    }
}

/// The command on verb `machine`.
#[must_use]
pub fn agent_command(desired: &Desired) -> v1::AgentCommand {
    v1::AgentCommand { kind: Some(v1::agent_command::Kind::Machine(desired_to_wire(desired))) }
}
