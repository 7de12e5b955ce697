//! Power and snapshots: orders, events and records.

use muster_model::{PoolTime, Position, PowerAction};
use muster_proto::WireError;
use muster_proto::v1;

use super::request::{invalid, selector_from_wire};
use super::word;
use crate::core::power::{Dump, Hold, PowerOperation, PowerOrder, PowerOutcome, PowerTask};
use crate::core::{Command, Fact, HoldSetting, Machine, PowerOrdering};

fn task_to_wire(task: PowerTask) -> v1::PowerTask {
    match task {
        PowerTask::Power(PowerAction::On) => v1::PowerTask::On,
        PowerTask::Power(PowerAction::Off) => v1::PowerTask::Off,
        PowerTask::Power(PowerAction::Cycle) => v1::PowerTask::Cycle,
        PowerTask::Power(PowerAction::Reset) => v1::PowerTask::Reset,
        PowerTask::Power(PowerAction::Dump) => v1::PowerTask::Dump,
        PowerTask::Revert => v1::PowerTask::Revert,
    }
}

fn task_from_wire(message: &'static str, number: i32) -> Result<PowerTask, WireError> {
    Ok(match word::<v1::PowerTask>(message, "task", number)? {
        v1::PowerTask::Unspecified => return Err(WireError::missing(message, "task")),
        v1::PowerTask::On => PowerTask::Power(PowerAction::On),
        v1::PowerTask::Off => PowerTask::Power(PowerAction::Off),
        v1::PowerTask::Cycle => PowerTask::Power(PowerAction::Cycle),
        v1::PowerTask::Reset => PowerTask::Power(PowerAction::Reset),
        v1::PowerTask::Dump => PowerTask::Power(PowerAction::Dump),
        v1::PowerTask::Revert => PowerTask::Revert,
    })
}

fn outcome_to_wire(outcome: PowerOutcome) -> v1::PowerOutcome {
    match outcome {
        PowerOutcome::Done => v1::PowerOutcome::Done,
        PowerOutcome::Failed => v1::PowerOutcome::Failed,
        PowerOutcome::Unclear => v1::PowerOutcome::Unclear,
        PowerOutcome::Dropped => v1::PowerOutcome::Dropped,
    }
}

fn outcome_from_wire(outcome: v1::PowerOutcome) -> Option<PowerOutcome> {
    match outcome {
        v1::PowerOutcome::Unspecified => None,
        v1::PowerOutcome::Done => Some(PowerOutcome::Done),
        v1::PowerOutcome::Failed => Some(PowerOutcome::Failed),
        v1::PowerOutcome::Unclear => Some(PowerOutcome::Unclear),
        v1::PowerOutcome::Dropped => Some(PowerOutcome::Dropped),
    }
}

pub(super) fn ordered_to_wire(task: PowerTask, actor: &str) -> v1::PowerOrdered {
    v1::PowerOrdered { task: task_to_wire(task).into(), actor: actor.to_owned() }
}

pub(super) fn ordered_from_wire(wire: v1::PowerOrdered) -> Result<Fact, WireError> {
    Ok(Fact::PowerOrdered { task: task_from_wire("PowerOrdered", wire.task)?, actor: wire.actor })
}

pub(super) fn begun_to_wire(task: PowerTask, reason: &str) -> v1::PowerBegun {
    v1::PowerBegun { task: task_to_wire(task).into(), reason: reason.to_owned() }
}

pub(super) fn begun_from_wire(wire: v1::PowerBegun) -> Result<Fact, WireError> {
    Ok(Fact::PowerBegun { task: task_from_wire("PowerBegun", wire.task)?, reason: wire.reason })
}

pub(super) fn ended_to_wire(outcome: PowerOutcome, detail: &str, dump: Option<&Dump>) -> v1::PowerEnded {
    let dump = dump.map(|dump| v1::StoredDump {
        name: dump.name.clone(),
        size_bytes: dump.size_bytes,
        sha256: dump.sha256.clone(),
        path: dump.path.clone(),
    });
    v1::PowerEnded { outcome: outcome_to_wire(outcome).into(), detail: detail.to_owned(), dump }
}

pub(super) fn ended_from_wire(wire: v1::PowerEnded) -> Result<Fact, WireError> {
    let outcome = outcome_from_wire(wire.outcome()).ok_or_else(|| WireError::missing("PowerEnded", "outcome"))?;
    let dump =
        wire.dump.map(|v1::StoredDump { name, size_bytes, sha256, path }| Dump { name, size_bytes, sha256, path });
    Ok(Fact::PowerEnded { outcome, detail: wire.detail, dump: dump.map(Box::new) })
}

/// The newest operation of a record, and an order that waits; unset where there is neither.
pub(super) fn record_to_wire(machine: &Machine) -> Option<v1::PowerRecord> {
    let (operation, order) = (machine.power.as_ref(), machine.power_order.as_ref());
    if operation.is_none() && order.is_none() {
        return None;
    }
    let mut record = operation.map(operation_to_wire).unwrap_or_default();
    record.ordered = order.map(|order| ordered_to_wire(order.task, &order.actor));
    record.ordered_ns = order.map_or(0, |order| order.since.0);
    Some(record)
}

fn operation_to_wire(operation: &PowerOperation) -> v1::PowerRecord {
    v1::PowerRecord {
        begun: Some(operation.position.into()),
        task: task_to_wire(operation.task).into(),
        reason: operation.reason.clone(),
        begun_ns: operation.begun.0,
        from_boot_id: operation.from_boot_id.clone(),
        outcome: operation.outcome.map_or(v1::PowerOutcome::Unspecified, outcome_to_wire).into(),
        detail: operation.detail.clone(),
        ended_ns: operation.ended.0,
        asked: operation.asked,
        ..v1::PowerRecord::default()
    }
}

/// The newest operation, and the order that waits.
pub(super) type Kept = (Option<PowerOperation>, Option<PowerOrder>);

pub(super) fn record_from_wire(wire: Option<v1::PowerRecord>) -> Result<Kept, WireError> {
    let Some(wire) = wire else { return Ok((None, None)) };
    let since = PoolTime(wire.ordered_ns);
    let order = wire.ordered.clone().map(|order| {
        let task = task_from_wire("PowerRecord", order.task)?;
        Ok(PowerOrder { task, actor: order.actor, since })
    });
    let operation = wire.begun.map(|begun| operation_from_wire(begun.into(), &wire));
    Ok((operation.transpose()?, order.transpose()?))
}

fn operation_from_wire(position: Position, wire: &v1::PowerRecord) -> Result<PowerOperation, WireError> {
    Ok(PowerOperation {
        position,
        task: task_from_wire("PowerRecord", wire.task)?,
        reason: wire.reason.clone(),
        begun: PoolTime(wire.begun_ns),
        from_boot_id: wire.from_boot_id.clone(),
        asked: wire.asked,
        outcome: outcome_from_wire(wire.outcome()),
        detail: wire.detail.clone(),
        ended: PoolTime(wire.ended_ns),
    })
}

/// A hold of the state.
#[must_use]
pub fn hold_to_wire(hold: &Hold) -> v1::Hold {
    v1::Hold { actor: hold.actor.clone(), reason: hold.reason.clone(), since_ns: hold.since.0 }
}

pub(super) fn hold_from_wire(wire: v1::Hold) -> Hold {
    Hold { actor: wire.actor, reason: wire.reason, since: PoolTime(wire.since_ns) }
}

pub(super) fn ordering(order: &v1::PowerMachines, actor: &str) -> Result<Command, muster_model::Refusal> {
    let what = "switch machines";
    let task = task_from_wire("PowerMachines", order.task).map_err(|error| invalid(what, &error))?;
    let selector = selector_from_wire(what, &order.selector)?;
    Ok(Command::Power(PowerOrdering { selector, task, done: order.done, actor: actor.to_owned() }))
}

pub(super) fn hold_setting(set: v1::SetHold, actor: &str) -> Command {
    Command::Hold(HoldSetting { held: set.held, actor: actor.to_owned(), reason: set.reason })
}
