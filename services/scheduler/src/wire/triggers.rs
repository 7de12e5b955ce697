//! Triggers: commands, events, snapshots and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::{ArmId, CommandId, Epoch, Firing, JobNumber, MachineId, PoolTime, ReservationId, TriggerActed};
use muster_proto::{WireError, trigger_number, v1};

use super::{bounded, machine_id, position};
use crate::core::State;
use crate::core::event::{TriggerArmed, TriggerDisarmed};
use crate::core::input::{self, Armed, Disarm, Fire};
use crate::core::trigger::{Arm, ArmSpec, Remembered};

pub(super) fn arm(actor: &str, arm: v1::ArmTrigger) -> input::Arm {
    input::Arm {
        actor: actor.to_owned(),
        number: arm.number,
        action: arm.action().with(&arm.argument),
        selector: arm.selector,
        from_jobs: arm.from_jobs.into_iter().map(JobNumber).collect(),
        from_selector: arm.from_selector,
        reservation: ReservationId(arm.reservation),
    }
}

pub(super) fn disarm(disarm: v1::DisarmTriggers) -> Disarm {
    Disarm { numbers: disarm.numbers, all: disarm.all, selector: disarm.selector }
}

pub(super) fn fire(command: CommandId, actor: &str, fire: v1::FireTrigger) -> Fire {
    let reservation = ReservationId(fire.reservation);
    Fire { command, actor: actor.to_owned(), number: fire.number, note: fire.note, reservation }
}

/// A report of a firing; none for one that says nothing that is known here.
pub(super) fn fired_report(fired: v1::TriggerFired) -> Option<Firing> {
    let firing = Firing::try_from(fired).ok()?;
    Some(Firing { note: bounded(firing.note), ..firing })
}

/// A report of what became of a firing, likewise.
pub(super) fn acted_report(acted: v1::TriggerActed) -> Option<TriggerActed> {
    let acted = TriggerActed::try_from(acted).ok()?;
    Some(TriggerActed { detail: bounded(acted.detail), ..acted })
}

fn spec_to_wire<'a>(spec: &ArmSpec, machines: impl Iterator<Item = (&'a MachineId, Epoch)>) -> v1::TriggerArmed {
    v1::TriggerArmed {
        number: spec.number.0.into(),
        action: v1::TriggerAction::from(&spec.action).into(),
        argument: spec.action.argument(),
        from_machines: spec.from_machines.iter().map(ToString::to_string).collect(),
        from_jobs: spec.from_jobs.iter().map(|job| job.0).collect(),
        reservation: spec.reservation.0,
        machines: machines.map(|(id, epoch)| armed_machine(id, epoch)).collect(),
        selector: spec.selector.clone(),
        from_selector: spec.from_selector.clone(),
        actor: spec.actor.clone(),
    }
}

fn armed_machine(id: &MachineId, epoch: Epoch) -> v1::ArmedMachine {
    v1::ArmedMachine { machine: id.to_string(), epoch: epoch.0, taken: false }
}

impl From<&TriggerArmed> for v1::TriggerArmed {
    fn from(armed: &TriggerArmed) -> Self {
        spec_to_wire(&armed.spec, armed.machines.iter().map(|(id, epoch)| (id, *epoch)))
    }
}

impl TryFrom<v1::TriggerArmed> for TriggerArmed {
    type Error = WireError;
    fn try_from(armed: v1::TriggerArmed) -> Result<Self, WireError> {
        const MESSAGE: &str = "TriggerArmed";
        let action = armed.action().with(&armed.argument);
        let spec = ArmSpec {
            number: trigger_number(MESSAGE, armed.number)?,
            action: action.map_err(|error| WireError::invalid(MESSAGE, "action", error))?,
            from_machines: machine_ids(MESSAGE, &armed.from_machines)?,
            from_jobs: armed.from_jobs.into_iter().map(JobNumber).collect(),
            reservation: ReservationId(armed.reservation),
            selector: armed.selector,
            from_selector: armed.from_selector,
            actor: armed.actor,
        };
        let machines =
            armed.machines.iter().map(|armed| Ok((machine_id(MESSAGE, &armed.machine)?, Epoch(armed.epoch))));
        Ok(Self { spec: Arc::new(spec), machines: machines.collect::<Result<_, WireError>>()? })
    }
}

fn machine_ids(message: &'static str, texts: &[String]) -> Result<Vec<MachineId>, WireError> {
    texts.iter().map(|text| machine_id(message, text)).collect()
}

impl From<&TriggerDisarmed> for v1::TriggerDisarmed {
    fn from(disarmed: &TriggerDisarmed) -> Self {
        let machines = disarmed.machines.iter().map(ToString::to_string).collect();
        Self { number: disarmed.number.0.into(), machines }
    }
}

impl TryFrom<v1::TriggerDisarmed> for TriggerDisarmed {
    type Error = WireError;
    fn try_from(disarmed: v1::TriggerDisarmed) -> Result<Self, WireError> {
        const MESSAGE: &str = "TriggerDisarmed";
        let number = trigger_number(MESSAGE, disarmed.number)?;
        Ok(Self { number, machines: machine_ids(MESSAGE, &disarmed.machines)? })
    }
}

/// All arms of a state, with the machines of each, in a fixed order.
pub(crate) fn arms(state: &State) -> Vec<v1::ArmRecord> {
    let mut groups = BTreeMap::<(ArmId, &ArmSpec, PoolTime), Vec<(&MachineId, Epoch)>>::new();
    for (id, machine) in &state.machines {
        for arm in machine.arms.values() {
            groups.entry((arm.id, &*arm.spec, arm.at)).or_default().push((id, arm.epoch));
        }
    }
    let records = groups.into_iter().map(|((id, spec, at), machines)| v1::ArmRecord {
        armed: Some(spec_to_wire(spec, machines.into_iter())),
        position: Some(id.position.into()),
        index: id.index,
        armed_ns: at.0,
    });
    records.collect()
}

/// Gives the machines of a state the arms of a snapshot.
pub(super) fn restore_arms(state: &mut State, records: Vec<v1::ArmRecord>) -> Result<(), WireError> {
    for record in records {
        let armed = record.armed.ok_or_else(|| WireError::missing("ArmRecord", "armed"))?;
        let TriggerArmed { spec, machines } = armed.try_into()?;
        let (id, at) = (ArmId { position: position(record.position), index: record.index }, PoolTime(record.armed_ns));
        for (name, epoch) in machines {
            let machine = state.machines.get_mut(&name);
            let machine = machine.ok_or_else(|| WireError::invalid("ArmRecord", "machines", &name))?;
            machine.arms.insert(spec.number, Arm { id, at, epoch, spec: spec.clone() });
        }
    }
    Ok(())
}

/// One remembered firing.
pub(crate) fn firing(remembered: &Remembered) -> v1::FiringRecord {
    let fired = remembered.firing.as_ref().map(v1::TriggerFired::from);
    v1::FiringRecord {
        heard: fired.is_some(),
        fired: Some(fired.unwrap_or_else(|| v1::TriggerFired {
            firing: bytes::Bytes::copy_from_slice(&remembered.id.0),
            number: remembered.number.0.into(),
            machine: remembered.fired_by.as_ref().map_or_else(String::new, ToString::to_string),
            fired_ns: remembered.fired.0,
            ..v1::TriggerFired::default()
        })),
        acted: remembered.acted.iter().map(Into::into).collect(),
    }
}

pub(super) fn remembered(record: v1::FiringRecord) -> Result<Remembered, WireError> {
    let fired = record.fired.ok_or_else(|| WireError::missing("FiringRecord", "fired"))?;
    // Of one that was not heard of, only this is known; a process in it is nobody's.
    let known = v1::TriggerFired { process: Some(fired.process.unwrap_or_default()), ..fired.clone() };
    let known = Firing::try_from(known)?;
    Ok(Remembered {
        id: known.id,
        number: known.number,
        fired: known.fired,
        fired_by: known.source.machine().cloned(),
        firing: if record.heard { Some(fired.try_into()?) } else { None },
        acted: record.acted.into_iter().map(TriggerActed::try_from).collect::<Result<_, _>>()?,
    })
}

/// An arm as its agent is told of it.
pub(super) fn arm_order(arm: Arm) -> v1::TriggerArm {
    let spec = &arm.spec;
    v1::TriggerArm {
        armed: Some(arm.id.position.into()),
        index: arm.id.index,
        number: spec.number.0.into(),
        epoch: arm.epoch.0,
        from_machines: spec.from_machines.iter().map(ToString::to_string).collect(),
        from_jobs: spec.from_jobs.iter().map(|job| job.0).collect(),
        action: v1::TriggerAction::from(&spec.action).into(),
        argument: spec.action.argument(),
        reservation: spec.reservation.0,
    }
}

pub(super) fn armed_reply(armed: &Armed) -> v1::Armed {
    let skipped =
        armed.skipped.iter().map(|(id, why)| v1::SkippedMachine { machine: id.to_string(), why: why.clone() });
    v1::Armed {
        number: armed.number.map_or(0, |number| number.0.into()),
        machines: armed.machines.iter().map(|(id, epoch)| armed_machine(id, *epoch)).collect(),
        skipped: skipped.collect(),
        disarmed: armed.disarmed,
    }
}
