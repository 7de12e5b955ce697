//! Disks that are prepared as test areas: orders, events, records, and what agents are told and report.

use muster_model::{Epoch, PoolTime, Refusal, RefusalCode, ResourceId};
use muster_proto::WireError;
use muster_proto::v1;

use super::request::invalid;
use super::{machine_id, word};
use crate::core::{
    Area, Command, Fact, Machine, PrepareTask, StorageOrder, StorageOrdering, StorageReport, StorageWork,
};

pub(super) fn area_to_wire(area: &Area) -> v1::Area {
    v1::Area {
        file_system: v1::FileSystem::from(area.file_system).into(),
        actor: area.actor.clone(),
        device: area.device.clone(),
        trouble: area.trouble.clone(),
    }
}

pub(super) fn area_from_wire(wire: v1::Area) -> Area {
    let file_system = wire.file_system().known();
    Area { file_system, actor: wire.actor, device: wire.device, trouble: wire.trouble }
}

pub(super) fn work_to_wire(work: &StorageWork) -> v1::StorageOrdered {
    v1::StorageOrdered {
        resource: work.resource.to_string(),
        task: v1::StorageTask::from(work.task).into(),
        file_system: v1::FileSystem::from(work.file_system).into(),
        actor: work.actor.clone(),
    }
}

pub(super) fn work_from_wire(wire: v1::StorageOrdered) -> Result<StorageWork, WireError> {
    const MESSAGE: &str = "StorageOrdered";
    let task: v1::StorageTask = word(MESSAGE, "task", wire.task)?;
    Ok(StorageWork {
        resource: ResourceId::new(&wire.resource).map_err(|error| WireError::invalid(MESSAGE, "resource", error))?,
        task: task.known().ok_or_else(|| WireError::missing(MESSAGE, "task"))?,
        file_system: wire.file_system().known(),
        actor: wire.actor,
    })
}

pub(super) fn ended_from_wire(wire: v1::StorageEnded) -> Result<Fact, WireError> {
    let outcome = wire.outcome().known().ok_or_else(|| WireError::missing("StorageEnded", "outcome"))?;
    Ok(Fact::StorageEnded { outcome, detail: wire.detail })
}

/// The newest order of a record.
pub(super) fn record_to_wire(machine: &Machine) -> Option<v1::StorageRecord> {
    machine.storage.as_ref().map(|order| v1::StorageRecord {
        order: Some(order.position.into()),
        ordered: Some(work_to_wire(&order.work)),
        epoch: order.epoch.0,
        since_ns: order.since.0,
        outcome: v1::StorageOutcome::from(order.outcome).into(),
        detail: order.detail.clone(),
        ended_ns: order.ended.0,
        boot_id: order.boot_id.clone(),
    })
}

pub(super) fn record_from_wire(wire: Option<v1::StorageRecord>) -> Result<Option<StorageOrder>, WireError> {
    let Some(wire) = wire else { return Ok(None) };
    let outcome = wire.outcome().known();
    let ordered = wire.ordered.ok_or_else(|| WireError::missing("StorageRecord", "ordered"))?;
    Ok(Some(StorageOrder {
        position: wire.order.unwrap_or_default().into(),
        work: work_from_wire(ordered)?,
        epoch: Epoch(wire.epoch),
        boot_id: wire.boot_id,
        since: PoolTime(wire.since_ns),
        outcome,
        detail: wire.detail,
        ended: PoolTime(wire.ended_ns),
    }))
}

/// A person's order.
pub(super) fn ordering(prepare: v1::PrepareStorage, actor: &str) -> Result<Command, Refusal> {
    let what = "prepare a disk";
    if prepare.resource.is_empty() {
        let next = "`muster resource list` shows what there is";
        return Err(Refusal::new(RefusalCode::Invalid, what, "no resource is named", next));
    }
    let (machine, confirmed) = (machine_id("PrepareStorage", "machine", &prepare.machine), prepare.confirmed);
    let v1::PrepareStorage { resource, task, file_system, .. } = prepare;
    let work = work_from_wire(v1::StorageOrdered { resource, task, file_system, actor: actor.to_owned() });
    let wrong = |error: WireError| invalid(what, &error);
    Ok(Command::Storage(StorageOrdering { machine: machine.map_err(wrong)?, work: work.map_err(wrong)?, confirmed }))
}

/// What an agent reports of an order; none where a later version says more than this one knows.
pub(super) fn report_from_wire(wire: v1::StorageDone) -> Option<StorageReport> {
    let outcome = wire.outcome().known()?;
    Some(StorageReport { position: wire.order.unwrap_or_default().into(), outcome, detail: wire.detail })
}

/// The command on verb `storage`.
#[must_use]
pub fn prepare_command(task: &PrepareTask) -> v1::AgentCommand {
    let order = v1::PrepareResource { order: Some(task.position.into()), ordered: Some(work_to_wire(&task.work)) };
    v1::AgentCommand { kind: Some(v1::agent_command::Kind::Prepare(order)) }
}
