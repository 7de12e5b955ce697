//! Inventories and what they consist of.

use std::collections::BTreeSet;

use muster_model::{ResourceId, ResourceKind};
use muster_proto::WireError;
use muster_proto::v1;

use super::storage::{area_from_wire, area_to_wire};
use crate::core::{CpuTopology, Inventory, LoadKey, Resource};

pub(super) fn inventory_to_wire(inventory: &Inventory) -> v1::Inventory {
    v1::Inventory {
        architecture: inventory.architecture.clone(),
        kernel_release: inventory.kernel_release.clone(),
        kernel_build_id: inventory.kernel_build_id.clone(),
        boot_id: inventory.boot_id.clone(),
        memory_bytes: inventory.memory_bytes,
        machine_type: inventory.machine_type.clone(),
        resources: inventory.resources.iter().map(resource_to_wire).collect(),
        host_name: inventory.host_name.clone(),
    }
}

/// Sorts resources by id, so that equal machines are equal; an id that stands twice is an error.
pub(super) fn inventory_from_wire(wire: v1::Inventory) -> Result<Inventory, WireError> {
    let resources: Result<Vec<_>, _> = wire.resources.into_iter().map(resource_from_wire).collect();
    let mut resources = resources?;
    resources.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(pair) = resources.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(WireError::invalid("Inventory", "resources", format!("`{}` stands twice", pair[0].id)));
    }
    Ok(Inventory {
        architecture: wire.architecture,
        kernel_release: wire.kernel_release,
        kernel_build_id: wire.kernel_build_id,
        boot_id: wire.boot_id,
        memory_bytes: wire.memory_bytes,
        machine_type: wire.machine_type,
        resources,
        host_name: wire.host_name,
    })
}

fn resource_to_wire(resource: &Resource) -> v1::Resource {
    let topology = |found: CpuTopology| v1::CpuTopology { package: found.package, core: found.core, node: found.node };
    v1::Resource {
        id: resource.id.to_string(),
        kind: v1::ResourceKind::from(resource.kind).into(),
        device_type: resource.device_type.clone(),
        path: resource.path.clone(),
        size: resource.size,
        signatures: resource.signatures.clone(),
        shared_name: resource.shared_name.clone(),
        topology: resource.topology.map(topology),
        area: resource.area.as_ref().map(area_to_wire),
    }
}

fn resource_from_wire(wire: v1::Resource) -> Result<Resource, WireError> {
    let topology = |found: v1::CpuTopology| CpuTopology { package: found.package, core: found.core, node: found.node };
    Ok(Resource {
        id: ResourceId::new(&wire.id).map_err(|error| WireError::invalid("Resource", "id", error))?,
        kind: kind_from_wire("Resource", wire.kind)?,
        device_type: wire.device_type,
        path: wire.path,
        size: wire.size,
        signatures: wire.signatures.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
        shared_name: wire.shared_name,
        topology: wire.topology.map(topology),
        area: wire.area.map(area_from_wire),
    })
}

fn kind_from_wire(message: &'static str, kind: i32) -> Result<ResourceKind, WireError> {
    let kind = super::word::<v1::ResourceKind>(message, "kind", kind)?;
    kind.known().ok_or_else(|| WireError::missing(message, "kind"))
}

pub(super) fn load_to_wire(key: &LoadKey, load: u32) -> v1::LoadNumber {
    v1::LoadNumber { kind: v1::ResourceKind::from(key.kind).into(), device_type: key.device_type.clone(), load }
}

pub(super) fn load_from_wire(number: Option<v1::LoadNumber>) -> Result<(LoadKey, u32), WireError> {
    let number = number.ok_or_else(|| WireError::missing("LoadNumber", "number"))?;
    let kind = kind_from_wire("LoadNumber", number.kind)?;
    Ok((LoadKey { kind, device_type: number.device_type }, number.load))
}

pub(super) fn resource_ids(field: &'static str, ids: &[String]) -> Result<BTreeSet<ResourceId>, WireError> {
    let parse = |id: &String| ResourceId::new(id).map_err(|error| WireError::invalid("Protection", field, error));
    ids.iter().map(parse).collect()
}

pub(super) fn texts<T: ToString>(items: &BTreeSet<T>) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
