//! Messages of MACHINES, as far as the scheduler needs them.

use std::collections::{BTreeMap, BTreeSet};

use muster_bus::StoredMessage;
use muster_ledger::open_turn;
use muster_model::{Epoch, Incarnation, MachineId, ReservationId, ResourceId, ResourceKind};
use muster_proto::v1;
use muster_proto::v1::machine_event::Kind;
use prost::Message;

use super::module::resource_kind;
use super::seen::phase;
use crate::core::Input;
use crate::core::facts::{Fact, MachineFact};
use crate::core::machine::Resource;

/// Type name of the events of MACHINES.
const EVENT_TYPE: &str = "muster.v1.MachineEvent";

/// Turns a message of MACHINES into inputs: one for what it says of one machine in a row. A message may concern every machine of
/// the pool, and what is decided of all of them would fit into no message of JOBS; between inputs it may be cut.
pub fn take(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let turn = open_turn(&message.payload)?;
    if turn.event_type != EVENT_TYPE {
        return Err(format!("its events are {}, not {EVENT_TYPE}", turn.event_type));
    }
    let mut facts = Vec::new();
    for bytes in turn.entries.into_iter().flat_map(|entry| entry.events) {
        let event = v1::MachineEvent::decode(bytes).map_err(|error| error.to_string())?;
        facts.extend(fact_of(event)?);
    }
    let alike = facts.chunk_by(|one, next| machine_of(one) == machine_of(next));
    Ok(alike.map(|facts| Input::Machines { position: turn.position, facts: facts.to_vec() }).collect())
}

/// The machine that a fact is about; none for one about all.
fn machine_of(fact: &MachineFact) -> Option<&MachineId> {
    match fact {
        MachineFact::Of(machine, _) => Some(machine),
        MachineFact::LoadNumber(_) => None,
    }
}

/// What one event says; none where it does not matter here, or is newer than this version.
fn fact_of(event: v1::MachineEvent) -> Result<Option<MachineFact>, String> {
    let Some(kind) = event.kind else { return Ok(None) };
    if let Kind::LoadNumberSet(set) = kind {
        let number = set.number.ok_or("a load number is missing")?;
        // A kind of a later version has no places here that it could weigh.
        return Ok(number.try_into().ok().map(MachineFact::LoadNumber));
    }
    if matches!(kind, Kind::KernelAdded(_) | Kind::KernelRemoved(_) | Kind::HoldSet(_)) {
        return Ok(None);
    }
    let machine = MachineId::new(&event.machine).map_err(|error| error.to_string())?;
    Ok(fact(kind).map(|fact| MachineFact::Of(machine, fact)))
}

fn fact(kind: Kind) -> Option<Fact> {
    Some(match kind {
        Kind::Added(added) => Fact::Added { protect: set(added.protect), tags: set(added.tags) },
        Kind::FlagChanged(changed) => Fact::FlagChanged { flag: changed.flag().known()?, value: changed.value },
        Kind::Removed(_) => Fact::Removed,
        Kind::IncarnationGranted(granted) => {
            Fact::IncarnationGranted { incarnation: Incarnation(granted.incarnation), boot_id: granted.boot_id }
        }
        Kind::InventoryChanged(changed) => inventory(changed.inventory.unwrap_or_default()),
        Kind::ProtectionChanged(changed) => Fact::ProtectionChanged {
            protected: set(changed.protected),
            released: set(changed.released),
            machine: changed.machine_protected,
        },
        Kind::DrainingStarted(_) => Fact::DrainingStarted,
        Kind::EpochRaised(raised) => Fact::EpochRaised {
            epoch: Epoch(raised.epoch),
            reservation: ReservationId(raised.holder.map_or(0, |holder| holder.reservation)),
        },
        Kind::FenceReported(fence) => Fact::FenceReported(Epoch(fence.epoch)),
        Kind::PhaseChanged(changed) => Fact::PhaseChanged(phase(changed.to)),
        Kind::HealthChanged(changed) => Fact::HealthChanged { down: changed.health() == v1::Health::Down },
        Kind::TagsSet(tags) => Fact::TagsSet(set(tags.tags)),
        Kind::Quarantined(_) => Fact::Quarantined,
        Kind::BootObserved(boot) => Fact::BootObserved(boot.boot_id),
        Kind::StorageOrdered(ordered) => Fact::StorageOrdered(ResourceId::new(&ordered.resource).ok()?),
        Kind::StorageEnded(_) => Fact::StorageEnded,
        Kind::DeadlineMoved(_)
        | Kind::SettingsChanged(_)
        | Kind::BootOrdered(_)
        | Kind::BootAttempted(_)
        | Kind::BootJudged(_) => Fact::Other,
        // None of these changes what an agent is to know.
        Kind::ProtectionAcknowledged(_)
        | Kind::PreparationAsked(_)
        | Kind::PowerOrdered(_)
        | Kind::PowerOrderDropped(_)
        | Kind::PowerBegun(_)
        | Kind::PowerAsked(_)
        | Kind::PowerEnded(_)
        | Kind::BootAnnounced(_)
        | Kind::HoldSet(_)
        | Kind::Claimed(_)
        | Kind::LoadNumberSet(_)
        | Kind::KernelAdded(_)
        | Kind::KernelRemoved(_) => return None,
    })
}

fn set(texts: Vec<String>) -> BTreeSet<String> {
    texts.into_iter().collect()
}

/// Resources of a kind or name that this version does not know are left out: nothing is placed on them.
fn inventory(inventory: v1::Inventory) -> Fact {
    let (mut resources, mut signed) = (BTreeMap::new(), BTreeSet::new());
    let mut counts = BTreeMap::<ResourceKind, usize>::new();
    for resource in inventory.resources {
        let (Some(kind), Ok(id)) = (resource_kind(resource.kind), ResourceId::new(&resource.id)) else { continue };
        // Where the file system of a test area should be is only its mount point: nothing is placed there.
        if resource.area.is_some_and(|area| !area.trouble.is_empty()) {
            continue;
        }
        *counts.entry(kind).or_default() += 1;
        if !resource.signatures.is_empty() {
            signed.insert(id.clone());
        }
        let v1::Resource { device_type, shared_name, size, .. } = resource;
        resources.insert(id.clone(), Resource { id, kind, device_type, shared_name, size });
    }
    let count = |kind| counts.get(&kind).copied().unwrap_or(0).to_string();
    let attributes = [
        ("arch", inventory.architecture),
        ("type", inventory.machine_type),
        ("kernel", inventory.kernel_release),
        ("memory", inventory.memory_bytes.to_string()),
        ("cpus", count(ResourceKind::Cpu)),
        ("disks", count(ResourceKind::Disk)),
        ("nics", count(ResourceKind::Nic)),
    ];
    let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Fact::InventoryChanged { resources: resources.into_values().collect(), signed, attributes }
}
