//! Records of machines and the whole state, for snapshots, projections and queries.

use std::sync::Arc;

use muster_model::{Epoch, Flags, Incarnation, MachineId, Position, nanoseconds};
use muster_proto::WireError;
use muster_proto::v1;

use super::boot::{
    boot_from_wire, boot_to_wire, preparation_from_wire, preparation_to_wire, settings_from_wire, settings_of,
};
use super::holder::{
    claim_from_wire, holder_from_wire, holder_to_wire, phase_from_wire, tenure_from_wire, tenure_to_wire,
};
use super::inventory::{inventory_from_wire, inventory_to_wire, load_from_wire, load_to_wire, resource_ids, texts};
use super::kernel::{kernel_from_wire, kernel_to_wire};
use super::{boot, machine_id, power, storage};
use crate::core::{Machine, Past, Protection, State};

/// What a quarantined machine's trouble begins with.
const QUARANTINED: &str = "quarantined: ";

/// All that the log says of a machine.
#[must_use]
pub fn record_to_wire(id: &MachineId, machine: &Machine) -> v1::MachineRecord {
    let (tenure, drain_deadline_ns) = tenure_to_wire(&machine.tenure);
    let position = |position: Position| (position != Position::default()).then(|| position.into());
    v1::MachineRecord {
        machine: id.to_string(),
        active: machine.flags.active,
        maintenance: machine.flags.maintenance,
        retired: machine.flags.retired,
        phase: v1::Phase::from(machine.phase).into(),
        tenure: tenure.into(),
        holder: Some(holder_to_wire(&machine.tenure.holder)),
        epoch: machine.epoch.0,
        fenced_epoch: machine.fenced_epoch.0,
        incarnation: machine.incarnation.0,
        inventory: machine.inventory.as_ref().map(|inventory| inventory_to_wire(inventory)),
        protected: texts(&machine.protection.protected),
        released: texts(&machine.protection.released),
        generation: position(machine.generation),
        protection_acknowledged: position(machine.protection_acknowledged),
        drain_deadline_ns,
        tags: texts(&machine.tags),
        agent_version: machine.agent_version.clone(),
        machine_protected: machine.protection.machine,
        trouble: machine.trouble(),
        down: machine.down,
        boot_id: machine.boot_id.clone(),
        protect_rules: texts(&machine.protection.rules),
        protection_generation: position(machine.protection_generation),
        quarantined: machine.quarantine.is_some(),
        claim: machine.claim.as_ref().map(|claim| holder_to_wire(&claim.next)),
        last_batch: machine.last_batch,
        settings: settings_of(machine),
        boot: boot_to_wire(machine),
        preparation: machine.preparation.as_ref().map(|asked| preparation_to_wire(Some(asked))),
        power: power::record_to_wire(machine),
        recent: boot::recent_to_wire(&machine.recent),
        storage: storage::record_to_wire(machine),
        announced: machine.announced.as_ref().map(|announced| boot::announced_to_wire(Some(announced))),
        given_back: machine.given_back,
        claim_drain_ns: machine.claim.as_ref().map_or(0, |claim| nanoseconds(claim.drain)),
    }
}

fn record_from_wire(record: v1::MachineRecord) -> Result<(MachineId, Machine), WireError> {
    let id = machine_id("MachineRecord", "machine", &record.machine)?;
    let phase = phase_from_wire("MachineRecord", record.phase())?;
    let tenure = tenure_from_wire(record.tenure(), holder_from_wire(record.holder.clone()), record.drain_deadline_ns)?;
    let position = |position: Option<v1::Position>| position.unwrap_or_default().into();
    let (operation, power_order) = power::record_from_wire(record.power)?;
    let reason = record.trouble.strip_prefix(QUARANTINED).unwrap_or(&record.trouble).to_owned();
    let machine = Machine {
        flags: Flags { active: record.active, maintenance: record.maintenance, retired: record.retired },
        phase,
        tenure,
        claim: claim_from_wire(record.claim, record.claim_drain_ns),
        epoch: Epoch(record.epoch),
        fenced_epoch: Epoch(record.fenced_epoch),
        incarnation: Incarnation(record.incarnation),
        boot_id: record.boot_id,
        last_batch: record.last_batch,
        agent_version: record.agent_version,
        inventory: record.inventory.map(inventory_from_wire).transpose()?.map(Arc::new),
        protection: Protection {
            protected: resource_ids("protected", &record.protected)?,
            released: resource_ids("released", &record.released)?,
            rules: record.protect_rules.into_iter().collect(),
            machine: record.machine_protected,
        },
        generation: position(record.generation),
        protection_generation: position(record.protection_generation),
        protection_acknowledged: position(record.protection_acknowledged),
        tags: record.tags.into_iter().collect(),
        down: record.down,
        quarantine: record.quarantined.then_some(reason),
        settings: settings_from_wire(record.settings)?,
        power: operation,
        recent: boot::recent_from_wire(record.recent)?,
        storage: storage::record_from_wire(record.storage)?,
        announced: record.announced.map(boot::announced_from_wire).transpose()?.flatten(),
        given_back: record.given_back,
        power_order,
        boot: boot_from_wire(record.boot)?,
        preparation: record.preparation.map(preparation_from_wire).transpose()?.flatten(),
    };
    Ok((id, machine))
}

pub(super) fn state_to_wire(state: &State) -> v1::MachinesState {
    let removed = |(id, past): (&MachineId, &Past)| v1::RemovedMachine {
        machine: id.to_string(),
        epoch: past.epoch.0,
        incarnation: past.incarnation.0,
    };
    v1::MachinesState {
        machines: state.machines.iter().map(|(id, machine)| record_to_wire(id, machine)).collect(),
        load_numbers: state.load_numbers.iter().map(|(key, load)| load_to_wire(key, *load)).collect(),
        removed: state.removed.iter().map(removed).collect(),
        kernels: state.kernels.values().map(kernel_to_wire).collect(),
        hold: state.hold.as_ref().map(power::hold_to_wire),
    }
}

pub(super) fn state_from_wire(wire: v1::MachinesState) -> Result<State, WireError> {
    let removed = |past: v1::RemovedMachine| {
        let id = machine_id("RemovedMachine", "machine", &past.machine)?;
        Ok((id, Past { epoch: Epoch(past.epoch), incarnation: Incarnation(past.incarnation) }))
    };
    Ok(State {
        hold: wire.hold.map(power::hold_from_wire),
        machines: wire.machines.into_iter().map(record_from_wire).collect::<Result<_, _>>()?,
        load_numbers: wire
            .load_numbers
            .into_iter()
            .map(|number| load_from_wire(Some(number)))
            .collect::<Result<_, _>>()?,
        removed: wire.removed.into_iter().map(removed).collect::<Result<_, WireError>>()?,
        kernels: wire
            .kernels
            .into_iter()
            .map(|kernel| kernel_from_wire(Some(kernel)).map(|kernel| (kernel.name.clone(), kernel)))
            .collect::<Result<_, _>>()?,
    })
}
