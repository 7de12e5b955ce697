//! Events of MACHINES.

use std::sync::Arc;

use muster_model::{Epoch, Incarnation, PoolTime, nanoseconds};
use muster_proto::WireError;
use muster_proto::v1;
use muster_proto::v1::machine_event::Kind;

use super::boot::{
    announced_from_wire, announced_to_wire, judged_from_wire, judged_to_wire, ordered_from_wire, ordered_to_wire,
    preparation_from_wire, preparation_to_wire, settings_from_wire, settings_to_wire,
};
use super::holder::{claim_from_wire, flag_from_wire, holder_from_wire, holder_to_wire, phase_from_wire};
use super::inventory::{inventory_from_wire, inventory_to_wire, load_from_wire, load_to_wire, resource_ids, texts};
use super::kernel::{kernel_from_wire, kernel_name, kernel_to_wire};
use super::{machine_id, power, storage, word};
use crate::core::{Claim, Event, Fact, Protection};

pub(super) fn to_wire(event: &Event) -> v1::MachineEvent {
    match event {
        Event::LoadNumberSet { key, load } => {
            let kind = Kind::LoadNumberSet(v1::LoadNumberSet { number: Some(load_to_wire(key, *load)) });
            v1::MachineEvent { machine: String::new(), kind: Some(kind) }
        }
        Event::KernelAdded(kernel) => {
            let kind = Kind::KernelAdded(v1::KernelAdded { kernel: Some(kernel_to_wire(kernel)) });
            v1::MachineEvent { machine: String::new(), kind: Some(kind) }
        }
        Event::KernelRemoved(name) => {
            let kind = Kind::KernelRemoved(v1::KernelRemoved { name: name.to_string() });
            v1::MachineEvent { machine: String::new(), kind: Some(kind) }
        }
        Event::HoldSet { held, actor, reason } => {
            let set = v1::HoldSet { held: *held, actor: actor.clone(), reason: reason.clone() };
            v1::MachineEvent { machine: String::new(), kind: Some(Kind::HoldSet(set)) }
        }
        Event::Machine { id, fact } => v1::MachineEvent { machine: id.to_string(), kind: Some(fact_to_wire(fact)) },
    }
}

fn fact_to_wire(fact: &Fact) -> Kind {
    match fact {
        Fact::Added { protect, tags } => Kind::Added(v1::MachineAdded { protect: texts(protect), tags: texts(tags) }),
        Fact::FlagChanged { flag, value } => {
            Kind::FlagChanged(v1::FlagChanged { flag: v1::MachineFlag::from(*flag).into(), value: *value })
        }
        Fact::Removed => Kind::Removed(v1::MachineRemoved {}),
        Fact::IncarnationGranted { incarnation, boot_id, agent_version, fenced_epoch, last_batch, went_back } => {
            Kind::IncarnationGranted(v1::IncarnationGranted {
                incarnation: incarnation.0,
                boot_id: boot_id.clone(),
                agent_version: agent_version.clone(),
                fenced_epoch: fenced_epoch.0,
                last_batch: *last_batch,
                went_back: *went_back,
            })
        }
        Fact::InventoryChanged(inventory) => {
            Kind::InventoryChanged(v1::InventoryChanged { inventory: Some(inventory_to_wire(inventory)) })
        }
        Fact::ProtectionChanged(protection) => Kind::ProtectionChanged(protection_to_wire(protection)),
        Fact::ProtectionAcknowledged { generation } => {
            Kind::ProtectionAcknowledged(v1::ProtectionAcknowledged { generation: Some((*generation).into()) })
        }
        Fact::DrainingStarted { next, deadline } => {
            Kind::DrainingStarted(v1::DrainingStarted { next: Some(holder_to_wire(next)), deadline_ns: deadline.0 })
        }
        Fact::EpochRaised { epoch, holder } => {
            Kind::EpochRaised(v1::EpochRaised { epoch: epoch.0, holder: Some(holder_to_wire(holder)) })
        }
        Fact::FenceReported { epoch } => Kind::FenceReported(v1::FenceReported { epoch: epoch.0 }),
        Fact::PhaseChanged { from, to, reason } => Kind::PhaseChanged(v1::PhaseChanged {
            from: v1::Phase::from(*from).into(),
            to: v1::Phase::from(*to).into(),
            reason: reason.clone(),
        }),
        Fact::HealthChanged { down } => {
            let health = if *down { v1::Health::Down } else { v1::Health::Up };
            Kind::HealthChanged(v1::HealthChanged { health: health.into() })
        }
        Fact::DeadlineMoved { deadline } => Kind::DeadlineMoved(v1::DeadlineMoved { deadline_ns: deadline.0 }),
        Fact::TagsSet(tags) => Kind::TagsSet(v1::TagsSet { tags: texts(tags) }),
        Fact::Quarantined { reason } => Kind::Quarantined(v1::Quarantined { reason: reason.clone() }),
        Fact::BootObserved { boot_id } => Kind::BootObserved(v1::BootObserved { boot_id: boot_id.clone() }),
        Fact::Claimed(claim) => Kind::Claimed(claim_to_wire(claim.as_ref())),
        Fact::SettingsChanged(settings) => {
            Kind::SettingsChanged(v1::SettingsChanged { settings: Some(settings_to_wire(settings)) })
        }
        Fact::BootOrdered { kernel, nonce, reservation } => {
            Kind::BootOrdered(ordered_to_wire(kernel.as_ref(), nonce, *reservation))
        }
        Fact::PreparationAsked(asked) => Kind::PreparationAsked(preparation_to_wire(asked.as_ref())),
        Fact::PowerOrdered { task, actor } => Kind::PowerOrdered(power::ordered_to_wire(*task, actor)),
        Fact::PowerOrderDropped { reason } => Kind::PowerOrderDropped(v1::PowerOrderDropped { reason: reason.clone() }),
        Fact::PowerBegun { task, reason } => Kind::PowerBegun(power::begun_to_wire(*task, reason)),
        Fact::PowerAsked => Kind::PowerAsked(v1::PowerAsked {}),
        Fact::PowerEnded { outcome, detail, dump } => {
            Kind::PowerEnded(power::ended_to_wire(*outcome, detail, dump.as_deref()))
        }
        Fact::StorageOrdered(work) => Kind::StorageOrdered(storage::work_to_wire(work)),
        Fact::StorageEnded { outcome, detail } => {
            let outcome = v1::StorageOutcome::from(Some(*outcome)).into();
            Kind::StorageEnded(v1::StorageEnded { outcome, detail: detail.clone() })
        }
        Fact::BootAttempted { attempt, reason, announced } => {
            Kind::BootAttempted(v1::BootAttempted { attempt: *attempt, reason: reason.clone(), announced: *announced })
        }
        Fact::BootAnnounced(announced) => Kind::BootAnnounced(announced_to_wire(announced.as_ref())),
        Fact::BootJudged { verdict, reason } => Kind::BootJudged(judged_to_wire(*verdict, reason)),
    }
}

fn protection_to_wire(protection: &Protection) -> v1::ProtectionChanged {
    v1::ProtectionChanged {
        protected: texts(&protection.protected),
        released: texts(&protection.released),
        machine_protected: protection.machine,
        rules: texts(&protection.rules),
    }
}

fn claim_to_wire(claim: Option<&Claim>) -> v1::MachineClaimed {
    claim.map_or_else(v1::MachineClaimed::default, |claim| v1::MachineClaimed {
        next: Some(holder_to_wire(&claim.next)),
        drain_ns: nanoseconds(claim.drain),
    })
}

pub(super) fn from_wire(event: v1::MachineEvent) -> Result<Event, WireError> {
    let kind = event.kind.ok_or_else(|| WireError::missing("MachineEvent", "kind"))?;
    match kind {
        Kind::LoadNumberSet(set) => {
            let (key, load) = load_from_wire(set.number)?;
            Ok(Event::LoadNumberSet { key, load })
        }
        Kind::KernelAdded(added) => Ok(Event::KernelAdded(kernel_from_wire(added.kernel)?)),
        Kind::KernelRemoved(removed) => Ok(Event::KernelRemoved(kernel_name(&removed.name)?)),
        Kind::HoldSet(v1::HoldSet { held, actor, reason }) => Ok(Event::HoldSet { held, actor, reason }),
        kind => {
            let id = machine_id("MachineEvent", "machine", &event.machine)?;
            Ok(Event::Machine { id, fact: fact_from_wire(kind)? })
        }
    }
}

fn fact_from_wire(kind: Kind) -> Result<Fact, WireError> {
    Ok(match kind {
        Kind::Added(added) => {
            Fact::Added { protect: added.protect.into_iter().collect(), tags: added.tags.into_iter().collect() }
        }
        Kind::FlagChanged(changed) => Fact::FlagChanged { flag: flag_from_wire(changed.flag())?, value: changed.value },
        Kind::Removed(_) => Fact::Removed,
        Kind::IncarnationGranted(granted) => Fact::IncarnationGranted {
            incarnation: Incarnation(granted.incarnation),
            boot_id: granted.boot_id,
            agent_version: granted.agent_version,
            fenced_epoch: Epoch(granted.fenced_epoch),
            last_batch: granted.last_batch,
            went_back: granted.went_back,
        },
        Kind::InventoryChanged(changed) => {
            let inventory = changed.inventory.ok_or_else(|| WireError::missing("InventoryChanged", "inventory"))?;
            Fact::InventoryChanged(Arc::new(inventory_from_wire(inventory)?))
        }
        Kind::ProtectionChanged(changed) => Fact::ProtectionChanged(protection_from_wire(changed)?),
        Kind::ProtectionAcknowledged(acknowledged) => {
            Fact::ProtectionAcknowledged { generation: acknowledged.generation.unwrap_or_default().into() }
        }
        Kind::DrainingStarted(started) => {
            Fact::DrainingStarted { next: holder_from_wire(started.next), deadline: PoolTime(started.deadline_ns) }
        }
        Kind::EpochRaised(raised) => {
            Fact::EpochRaised { epoch: Epoch(raised.epoch), holder: holder_from_wire(raised.holder) }
        }
        Kind::FenceReported(reported) => Fact::FenceReported { epoch: Epoch(reported.epoch) },
        Kind::PhaseChanged(changed) => Fact::PhaseChanged {
            from: phase_from_wire("PhaseChanged", changed.from())?,
            to: phase_from_wire("PhaseChanged", changed.to())?,
            reason: changed.reason,
        },
        Kind::HealthChanged(changed) => {
            let health = word::<v1::Health>("HealthChanged", "health", changed.health)?;
            Fact::HealthChanged { down: health == v1::Health::Down }
        }
        // Handled by the caller: they are of no machine.
        Kind::LoadNumberSet(_) | Kind::KernelAdded(_) | Kind::KernelRemoved(_) | Kind::HoldSet(_) => {
            return Err(WireError::invalid("MachineEvent", "machine", "load numbers, kernels and holds have none"));
        }
        Kind::PowerOrdered(ordered) => power::ordered_from_wire(ordered)?,
        Kind::PowerOrderDropped(dropped) => Fact::PowerOrderDropped { reason: dropped.reason },
        Kind::PowerBegun(begun) => power::begun_from_wire(begun)?,
        Kind::PowerAsked(_) => Fact::PowerAsked,
        Kind::PowerEnded(ended) => power::ended_from_wire(ended)?,
        Kind::StorageOrdered(ordered) => Fact::StorageOrdered(storage::work_from_wire(ordered)?),
        Kind::StorageEnded(ended) => storage::ended_from_wire(ended)?,
        Kind::PreparationAsked(asked) => Fact::PreparationAsked(preparation_from_wire(asked)?),
        Kind::DeadlineMoved(moved) => Fact::DeadlineMoved { deadline: PoolTime(moved.deadline_ns) },
        Kind::TagsSet(set) => Fact::TagsSet(set.tags.into_iter().collect()),
        Kind::Quarantined(quarantined) => Fact::Quarantined { reason: quarantined.reason },
        Kind::BootObserved(observed) => Fact::BootObserved { boot_id: observed.boot_id },
        Kind::Claimed(claimed) => Fact::Claimed(claim_from_wire(claimed.next, claimed.drain_ns)),
        Kind::SettingsChanged(changed) => Fact::SettingsChanged(Box::new(settings_from_wire(changed.settings)?)),
        Kind::BootOrdered(ordered) => ordered_from_wire(ordered)?,
        Kind::BootAttempted(v1::BootAttempted { attempt, reason, announced }) => {
            Fact::BootAttempted { attempt, reason, announced }
        }
        Kind::BootAnnounced(announced) => Fact::BootAnnounced(announced_from_wire(announced)?),
        Kind::BootJudged(judged) => judged_from_wire(judged)?,
    })
}

fn protection_from_wire(wire: v1::ProtectionChanged) -> Result<Protection, WireError> {
    Ok(Protection {
        protected: resource_ids("protected", &wire.protected)?,
        released: resource_ids("released", &wire.released)?,
        rules: wire.rules.into_iter().collect(),
        machine: wire.machine_protected,
    })
}
