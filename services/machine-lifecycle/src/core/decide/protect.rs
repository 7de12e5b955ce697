//! Protection by people, and its acknowledgement by agents.

use std::collections::BTreeSet;

use muster_ledger::Now;
use muster_model::{Incarnation, MachineId, Position, Refusal, RefusalCode, ResourceId, glob_matches};

use super::commands::selected;
use super::draft::Draft;
use super::{Changes, Decided};
use crate::core::{Event, Fact, Machine, Protection, ProtectionSetting, State};

/// Hides resources from tests, or gives them to testing.
///
/// # Errors
/// When nothing is named, or something mounted is to be released.
pub(super) fn set_protection(state: &State, setting: &ProtectionSetting, now: Now) -> Decided {
    let what = what_of(setting);
    if setting.resources.is_empty() && !setting.machine {
        let next = "name resources (`disk-sda`, `disk-*`), or the machine as a whole";
        return Err(Refusal::new(RefusalCode::Invalid, what, "no resource is named", next));
    }
    let machines = selected(state, &setting.selector, &what)?;
    check_globs_match(&machines, setting, &what)?;
    let mut changes = Changes::default();
    for (id, machine) in machines {
        let protection = match setting.protect {
            true => protected(machine, setting),
            false => released(id, machine, setting)?,
        };
        let mut draft = Draft::new(id, machine.clone(), now);
        if protection != machine.protection {
            draft.push(Fact::ProtectionChanged(protection));
        }
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

fn what_of(setting: &ProtectionSetting) -> String {
    let verb = if setting.protect { "protect" } else { "release" };
    match setting.machine {
        true => format!("{verb} machines {}", setting.selector),
        false => format!("{verb} {} on {}", setting.resources.join(" "), setting.selector),
    }
}

/// A name that fits nothing anywhere is a slip of the pen. A machine that was not probed yet may still turn out to have it.
fn check_globs_match(
    machines: &[(&MachineId, &Machine)],
    setting: &ProtectionSetting,
    what: &str,
) -> Result<(), Refusal> {
    for glob in &setting.resources {
        let known = machines.iter().any(|(_, machine)| {
            let rule = machine.protection.rules.contains(glob);
            rule || (setting.protect && machine.inventory.is_none()) || !matching(machine, glob).is_empty()
        });
        if !known {
            let why = format!("no selected machine has a resource `{glob}`");
            let next = "`muster resource list` shows what there is";
            return Err(Refusal::new(RefusalCode::NotFound, what, why, next));
        }
    }
    Ok(())
}

/// Ids of found or protected resources that a glob names.
fn matching(machine: &Machine, glob: &str) -> BTreeSet<ResourceId> {
    let found = machine.inventory.iter().flat_map(|inventory| inventory.resources.iter().map(|resource| &resource.id));
    let ids = found.chain(&machine.protection.protected);
    ids.filter(|id| glob_matches(glob, id.as_str())).cloned().collect()
}

fn protected(machine: &Machine, setting: &ProtectionSetting) -> Protection {
    let mut protection = machine.protection.clone();
    protection.machine |= setting.machine;
    for glob in &setting.resources {
        if machine.inventory.is_none() {
            protection.rules.insert(glob.clone());
        }
        for id in matching(machine, glob) {
            protection.released.remove(&id);
            protection.protected.insert(id);
        }
    }
    protection
}

fn released(id: &MachineId, machine: &Machine, setting: &ProtectionSetting) -> Result<Protection, Refusal> {
    let mut protection = machine.protection.clone();
    protection.machine &= !setting.machine;
    for glob in &setting.resources {
        protection.rules.remove(glob);
        for resource in matching(machine, glob) {
            if let Some(mounted) = mount_of(machine, &resource) {
                let why = format!("it is in use ({mounted})");
                let next = "unmount it first, then release it again";
                return Err(Refusal::new(RefusalCode::Refused, format!("release {resource} on {id}"), why, next));
            }
            protection.protected.remove(&resource);
            protection.released.insert(resource);
        }
    }
    Ok(protection)
}

fn mount_of<'a>(machine: &'a Machine, id: &ResourceId) -> Option<&'a str> {
    let inventory = machine.inventory.as_ref()?;
    inventory.resources.iter().find(|resource| resource.id == *id)?.mounted()
}

/// An agent has answered that it took its desired state.
pub(super) fn desired_taken(
    state: &State,
    id: &MachineId,
    incarnation: Incarnation,
    generation: Position,
    now: Now,
) -> Vec<Event> {
    let Some(machine) = state.machines.get(id) else { return Vec::new() };
    let mut draft = Draft::new(id, machine.clone(), now);
    if machine.incarnation == incarnation {
        acknowledge(&mut draft, generation);
    }
    draft.into_events()
}

/// What an agent has on disk covers its newest protection.
pub(super) fn acknowledge(draft: &mut Draft<'_>, generation: Position) {
    if draft.machine().protection_pending() && generation >= draft.machine().protection_generation {
        draft.push(Fact::ProtectionAcknowledged { generation });
    }
}
