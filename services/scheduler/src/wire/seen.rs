//! What MACHINES says of a machine.

use std::collections::BTreeMap;

use muster_model::{Epoch, Incarnation, Phase, ReservationId, ResourceKind};
use muster_proto::{WireError, v1};

use super::module::resource_kind;
use super::{key_values, machine_id, pairs, position, resource_id, resource_ids};
use crate::core::event::{LoadNumber, MachineSeen, UsableResource};
use crate::core::machine::{Resource, Seen};

const MESSAGE: &str = "MachineSeen";

/// A phase; one that this version does not know is not usable.
pub(super) fn phase(found: i32) -> Option<Phase> {
    v1::Phase::try_from(found).ok()?.known()
}

impl From<&Seen> for v1::MachineSeen {
    fn from(seen: &Seen) -> Self {
        let trouble = seen.trouble();
        Self {
            machine: seen.machine.to_string(),
            usable: trouble.is_none(),
            epoch: seen.epoch.0,
            reservation: seen.reservation.0,
            draining: seen.draining,
            generation: Some(seen.generation.into()),
            resources: Vec::new(),
            attributes: key_values(&seen.attributes),
            removed: seen.removed,
            incarnation: seen.incarnation.0,
            boot_id: seen.boot_id.clone(),
            fenced_epoch: seen.fenced_epoch.0,
            down: seen.down,
            trouble: trouble.map_or_else(String::new, |trouble| trouble.as_str().to_owned()),
            facts: Some(facts_to_wire(seen)),
        }
    }
}

impl From<&MachineSeen> for v1::MachineSeen {
    fn from(event: &MachineSeen) -> Self {
        let usable = event.usable.iter().map(|resource| {
            let found = event.seen.resource(&resource.id);
            v1::SeenResource {
                id: resource.id.to_string(),
                kind: kind_number(resource.kind),
                load: resource.load,
                device_type: found.map_or_else(String::new, |found| found.device_type.clone()),
                shared_name: found.map_or_else(String::new, |found| found.shared_name.clone()),
                size: found.map_or(0, |found| found.size),
            }
        });
        Self { resources: usable.collect(), ..(&event.seen).into() }
    }
}

fn kind_number(kind: ResourceKind) -> u32 {
    v1::ResourceKind::from(kind) as u32
}

fn facts_to_wire(seen: &Seen) -> v1::SeenFacts {
    let resources = seen.resources.iter().map(|resource| v1::SeenResource {
        id: resource.id.to_string(),
        kind: kind_number(resource.kind),
        load: 0,
        device_type: resource.device_type.clone(),
        shared_name: resource.shared_name.clone(),
        size: resource.size,
    });
    v1::SeenFacts {
        active: seen.active,
        maintenance: seen.maintenance,
        retired: seen.retired,
        phase: seen.phase.map_or(v1::Phase::Unspecified, Into::into).into(),
        machine_protected: seen.machine_protected,
        quarantined: seen.quarantined,
        resources: resources.collect(),
        signed: seen.signed.iter().map(ToString::to_string).collect(),
        protected: seen.protected.iter().cloned().collect(),
        released: seen.released.iter().cloned().collect(),
        tags: seen.tags.iter().cloned().collect(),
        preparing: seen.preparing.iter().map(ToString::to_string).collect(),
    }
}

impl TryFrom<v1::MachineSeen> for MachineSeen {
    type Error = WireError;
    fn try_from(mut event: v1::MachineSeen) -> Result<Self, WireError> {
        let usable = std::mem::take(&mut event.resources).into_iter().map(|resource| {
            Ok(UsableResource {
                id: resource_id(MESSAGE, &resource.id)?,
                kind: known_kind(resource.kind)?,
                load: resource.load,
            })
        });
        let usable = usable.collect::<Result<_, WireError>>()?;
        Ok(Self { usable, seen: event.try_into()? })
    }
}

impl TryFrom<v1::MachineSeen> for Seen {
    type Error = WireError;
    fn try_from(event: v1::MachineSeen) -> Result<Self, WireError> {
        let facts = event.facts.unwrap_or_default();
        let resources = facts.resources.into_iter().map(|resource| {
            let id = resource_id(MESSAGE, &resource.id)?;
            let v1::SeenResource { kind, device_type, shared_name, size, .. } = resource;
            Ok(Resource { id, kind: known_kind(kind)?, device_type, shared_name, size })
        });
        Ok(Self {
            machine: machine_id(MESSAGE, &event.machine)?,
            active: facts.active,
            maintenance: facts.maintenance,
            retired: facts.retired,
            phase: phase(facts.phase),
            machine_protected: facts.machine_protected,
            quarantined: facts.quarantined,
            down: event.down,
            removed: event.removed,
            draining: event.draining,
            epoch: Epoch(event.epoch),
            fenced_epoch: Epoch(event.fenced_epoch),
            incarnation: Incarnation(event.incarnation),
            boot_id: event.boot_id,
            reservation: ReservationId(event.reservation),
            generation: position(event.generation),
            resources: resources.collect::<Result<_, WireError>>()?,
            signed: resource_ids(MESSAGE, &facts.signed)?.into_iter().collect(),
            protected: facts.protected.into_iter().collect(),
            released: facts.released.into_iter().collect(),
            preparing: resource_ids(MESSAGE, &facts.preparing)?.into_iter().collect(),
            tags: facts.tags.into_iter().collect(),
            attributes: pairs(event.attributes).into_iter().collect::<BTreeMap<_, _>>(),
        })
    }
}

fn known_kind(kind: u32) -> Result<ResourceKind, WireError> {
    let known = i32::try_from(kind).ok().and_then(resource_kind);
    known.ok_or_else(|| WireError::invalid(MESSAGE, "kind", kind))
}

impl From<&LoadNumber> for v1::LoadNumber {
    fn from(number: &LoadNumber) -> Self {
        let kind = v1::ResourceKind::from(number.kind).into();
        Self { kind, device_type: number.device_type.clone(), load: number.load }
    }
}

impl TryFrom<v1::LoadNumber> for LoadNumber {
    type Error = WireError;
    fn try_from(number: v1::LoadNumber) -> Result<Self, WireError> {
        let kind = resource_kind(number.kind).ok_or_else(|| WireError::invalid("LoadNumber", "kind", number.kind))?;
        Ok(Self { kind, device_type: number.device_type, load: number.load })
    }
}
