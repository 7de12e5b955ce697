//! What a start would do to the resources that it uses: the answer of a dry run.

use std::collections::BTreeMap;

use muster_model::{MachineId, ResourceId, ResourceKind};

use super::super::event::Placement;
use super::super::input::LoadChange;
use super::super::limits::PREVIEWED_MAX;
use super::super::machine::{Machine, Total};
use super::super::module::Module;
use super::super::state::State;

/// Processes on a resource, and thousandths of places that they take.
type Uses = BTreeMap<(MachineId, ResourceId), (u32, u64)>;

/// Loads before and after, by resource; by kind where these are too many.
pub(super) fn preview(state: &State, module: &Module, placements: &[Placement]) -> Vec<LoadChange> {
    let uses = uses(module, placements);
    if uses.len() <= PREVIEWED_MAX {
        let changes = uses.iter().filter_map(|((id, resource), used)| of_resource(state, id, resource, *used, &uses));
        return changes.collect();
    }
    placements.iter().flat_map(|placement| of_kinds(state, module, placement)).collect()
}

fn uses(module: &Module, placements: &[Placement]) -> Uses {
    let mut uses = Uses::new();
    for placement in placements {
        for index in 0..placement.count as usize {
            for (resource, weight) in placement.resources_of(index).iter().zip(module.weights()) {
                let used = uses.entry((placement.machine.clone(), resource.clone())).or_default();
                *used = (used.0 + 1, used.1 + u64::from(weight));
            }
        }
    }
    uses
}

/// Of one resource. What the start puts on its other paths counts too.
fn of_resource(
    state: &State,
    id: &MachineId,
    resource: &ResourceId,
    (processes, taken): (u32, u64),
    uses: &Uses,
) -> Option<LoadChange> {
    let machine = state.machines.get(id)?;
    let place = machine.places.iter().find(|place| place.id == *resource)?;
    let taken = match state.pool.paths(&machine.seen, resource) {
        None => taken,
        Some(paths) => paths.iter().filter_map(|path| uses.get(path)).map(|(_, taken)| taken).sum(),
    };
    let total = Total { count: 1, capacity_milli: u64::from(place.load) * 1000, used_milli: place.used_milli };
    Some(change(machine, Some(resource.clone()), place.kind, processes, (total, taken)))
}

fn of_kinds<'a>(
    state: &'a State,
    module: &'a Module,
    placement: &'a Placement,
) -> impl Iterator<Item = LoadChange> + 'a {
    let machine = state.machines.get(&placement.machine).into_iter();
    machine.flat_map(move |machine| {
        module.requirements.iter().map(move |need| {
            let taken = u64::from(placement.count) * u64::from(need.count) * u64::from(need.weight_milli);
            change(machine, None, need.kind, placement.count, (machine.total(need.kind), taken))
        })
    })
}

fn change(
    machine: &Machine,
    resource: Option<ResourceId>,
    kind: ResourceKind,
    processes: u32,
    (total, taken): (Total, u64),
) -> LoadChange {
    let load = |used_milli: u64| used_milli * 1000 / total.capacity_milli.max(1);
    LoadChange {
        machine: machine.seen.machine.clone(),
        resource,
        kind,
        processes,
        before_milli: load(total.used_milli),
        after_milli: load(total.used_milli + taken),
    }
}
