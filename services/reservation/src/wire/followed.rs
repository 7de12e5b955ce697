//! MACHINES, as reservation follows it.

use std::collections::{BTreeMap, BTreeSet};

use muster_bus::StoredMessage;
use muster_bus::streams::RESERVATIONS;
use muster_model::{Epoch, MachineId, ReservationId, SnapshotName, SnapshotSpec};
use muster_proto::WireError;
use muster_proto::v1::{self, cause, machine_event::Kind};
use prost::Message;

use crate::core::{Input, News};

/// Event type of the followed log.
const MACHINE_EVENT: &str = "muster.v1.MachineEvent";

/// Inputs from one message of MACHINES, in order.
///
/// # Errors
/// When it can not be decoded.
pub fn take(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let turn = muster_ledger::open_turn(&message.payload)?;
    if turn.event_type != MACHINE_EVENT {
        return Err(format!("it holds {} and not {MACHINE_EVENT}", turn.event_type));
    }
    let mut inputs = Vec::new();
    for entry in &turn.entries {
        inputs.extend(inputs_of_entry(entry)?);
    }
    Ok(inputs)
}

/// Inputs from one entry of MACHINES: its events in order, then how far machine-lifecycle has followed us.
///
/// # Errors
/// When an event can not be decoded.
pub fn inputs_of_entry(entry: &v1::Entry) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for bytes in &entry.events {
        let event = v1::MachineEvent::decode(bytes.clone()).map_err(|error| error.to_string())?;
        inputs.extend(input(event).map_err(|error| error.to_string())?);
    }
    if let Some(cause::Kind::Followed(followed)) = entry.cause.as_ref().and_then(|cause| cause.kind.as_ref())
        && followed.stream == RESERVATIONS
    {
        inputs.push(Input::Taken(followed.position.unwrap_or_default().into()));
    }
    Ok(inputs)
}

/// None for what concerns no machine, or says nothing that reservation needs.
fn input(event: v1::MachineEvent) -> Result<Option<Input>, WireError> {
    if event.machine.is_empty() {
        return Ok(None);
    }
    let machine =
        MachineId::new(&event.machine).map_err(|error| WireError::invalid("MachineEvent", "machine", error))?;
    let news = event.kind.map_or(News::Other, news);
    Ok((news != News::Other).then_some(Input::Machine { machine, news }))
}

fn news(kind: Kind) -> News {
    match kind {
        Kind::Added(added) => News::Added { tags: added.tags.into_iter().collect() },
        Kind::FlagChanged(changed) => {
            changed.flag().known().map_or(News::Other, |flag| News::Flag(flag, changed.value))
        }
        Kind::Removed(_) => News::Removed,
        Kind::InventoryChanged(changed) => {
            changed.inventory.map_or(News::Other, |found| News::Attributes(attributes(found)))
        }
        Kind::ProtectionChanged(changed) => News::Protected(changed.machine_protected),
        Kind::DrainingStarted(started) => News::Draining(holder(started.next)),
        Kind::EpochRaised(raised) => News::EpochRaised { epoch: Epoch(raised.epoch), holder: holder(raised.holder) },
        Kind::FenceReported(reported) => News::Fenced(Epoch(reported.epoch)),
        Kind::PhaseChanged(changed) => {
            let to = changed.to();
            News::Phase { ready: to == v1::Phase::Ready, offline: to == v1::Phase::Offline }
        }
        Kind::SettingsChanged(changed) => {
            let settings = changed.settings.unwrap_or_default();
            let bootable = settings.boot_driver() != v1::BootDriver::Unspecified;
            News::Settings { bootable, image: image(&settings.snapshot) }
        }
        // A kernel alone is proven by its boot.
        Kind::PreparationAsked(asked) if asked.reservation == 0 => News::Restored(None),
        Kind::PreparationAsked(asked) if !asked.image.is_empty() => {
            News::Restored(Some(ReservationId(asked.reservation)))
        }
        Kind::BootOrdered(ordered) => News::Ordered(Some(ReservationId(ordered.reservation)).filter(|id| id.0 > 0)),
        Kind::BootJudged(judged) => News::Proven(judged.verdict() == v1::BootVerdict::Verified),
        Kind::BootAttempted(attempted) if attempted.announced => News::Proven(false),
        Kind::HealthChanged(changed) => News::Down(changed.health() == v1::Health::Down),
        Kind::TagsSet(set) => News::Tags(set.tags.into_iter().collect::<BTreeSet<_>>()),
        Kind::Quarantined(_) => News::Quarantined,
        Kind::IncarnationGranted(_)
        | Kind::ProtectionAcknowledged(_)
        | Kind::LoadNumberSet(_)
        | Kind::KernelAdded(_)
        | Kind::KernelRemoved(_)
        | Kind::BootAttempted(_)
        | Kind::BootAnnounced(_)
        | Kind::PreparationAsked(_)
        | Kind::PowerOrdered(_)
        | Kind::PowerOrderDropped(_)
        | Kind::PowerBegun(_)
        | Kind::PowerAsked(_)
        | Kind::PowerEnded(_)
        | Kind::StorageOrdered(_)
        | Kind::StorageEnded(_)
        | Kind::HoldSet(_)
        | Kind::DeadlineMoved(_)
        | Kind::BootObserved(_)
        | Kind::Claimed(_) => News::Other,
    }
}

/// What the snapshot of a machine's settings is called; none where it has none, or one that only a newer version knows.
fn image(snapshot: &str) -> Option<SnapshotName> {
    let spec: SnapshotSpec = snapshot.parse().ok()?;
    SnapshotName::new(spec.image()).ok()
}

fn holder(holder: Option<v1::Holder>) -> Option<ReservationId> {
    holder.map(|holder| ReservationId(holder.reservation)).filter(|id| id.0 > 0)
}

/// What selectors compare, by their keys.
fn attributes(inventory: v1::Inventory) -> BTreeMap<String, String> {
    let count = |kind: v1::ResourceKind| {
        inventory.resources.iter().filter(|resource| resource.kind() == kind).count().to_string()
    };
    let (cpus, disks, nics) =
        (count(v1::ResourceKind::Cpu), count(v1::ResourceKind::Disk), count(v1::ResourceKind::Nic));
    let values = [
        ("arch", inventory.architecture),
        ("type", inventory.machine_type),
        ("kernel", inventory.kernel_release),
        ("memory", inventory.memory_bytes.to_string()),
        ("cpus", cpus),
        ("disks", disks),
        ("nics", nics),
    ];
    values.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kinds: Vec<Kind>, followed: Option<(&str, u64)>) -> v1::Entry {
        let event = |kind| v1::MachineEvent { machine: "m1".into(), kind: Some(kind) }.encode_to_vec().into();
        let cause = followed.map(|(stream, sequence)| {
            let position = Some(v1::Position { lineage: 1, sequence });
            cause::Kind::Followed(v1::Followed { stream: stream.into(), position })
        });
        v1::Entry {
            cause: Some(v1::Cause { kind: cause }),
            events: kinds.into_iter().map(event).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn how_far_machine_lifecycle_has_followed_us_comes_after_what_it_decided_on_it() {
        let holder = v1::Holder { reservation: 3, ..Default::default() };
        let started = v1::DrainingStarted { next: Some(holder), deadline_ns: 0 };
        let inputs = inputs_of_entry(&entry(vec![Kind::DrainingStarted(started)], Some((RESERVATIONS, 9)))).unwrap();
        assert!(matches!(
            &inputs[..],
            [Input::Machine { news: News::Draining(Some(ReservationId(3))), .. }, Input::Taken(position)]
                if position.sequence.0 == 9
        ));
        assert!(inputs_of_entry(&entry(vec![], Some(("REPORTS", 9)))).unwrap().is_empty());
    }

    #[test]
    fn what_selectors_ask_for_is_counted_from_the_inventory() {
        let resource = |kind: v1::ResourceKind| v1::Resource { kind: kind.into(), ..Default::default() };
        let inventory = v1::Inventory {
            architecture: "x86_64".into(),
            resources: vec![resource(v1::ResourceKind::Cpu), resource(v1::ResourceKind::Cpu)],
            ..Default::default()
        };
        let found = attributes(inventory);
        assert_eq!(found["cpus"], "2");
        assert_eq!(found["disks"], "0");
        assert_eq!(found["arch"], "x86_64");
        assert!(!found.contains_key("kernel"));
    }

    #[test]
    fn what_can_not_be_decoded_is_said() {
        let broken = v1::Entry { events: vec![bytes::Bytes::from_static(b"\xff\xff")], ..Default::default() };
        assert!(inputs_of_entry(&broken).is_err());
    }
}
