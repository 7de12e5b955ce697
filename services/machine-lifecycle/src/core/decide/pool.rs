//! The pool file: machines, their protection and their settings, named before their first start. All of it, or nothing.

use std::collections::BTreeSet;

use muster_ledger::Now;
use muster_model::{Flag, Refusal, RefusalCode};

use super::commands::check_tag;
use super::draft::Draft;
use super::orders::{change_settings, check_settings};
use super::{Changes, Decided};
use crate::core::limits::{MACHINES_MAX, POOL_ENTRIES_MAX, RULES_MAX, TAGS_MAX};
use crate::core::{Fact, Machine, PoolEntry, Protection, State};

const WHAT: &str = "load the pool file";

/// Takes a pool file. It adds: nothing that is known is taken away by an entry that does not mention it.
///
/// # Errors
/// When one entry is wrong; then none is taken.
pub(super) fn load_pool(state: &State, entries: &[PoolEntry], now: Now) -> Decided {
    check_entries(state, entries)?;
    let mut changes = Changes::default();
    for entry in entries {
        let id = &entry.machine;
        let mut draft = match state.machines.get(id) {
            Some(machine) => merged(machine, entry, now)?,
            None => {
                let mut draft = Draft::new(id, Machine::after(state.removed.get(id).copied()), now);
                draft.push(Fact::Added { protect: entry.protect.clone(), tags: entry.tags.clone() });
                if entry.protect_machine {
                    let protection = Protection { machine: true, ..draft.machine().protection.clone() };
                    draft.push(Fact::ProtectionChanged(protection));
                }
                draft
            }
        };
        change_settings(&mut draft, &entry.settings);
        if entry.active && !draft.machine().flags.active && !draft.machine().flags.retired {
            draft.push(Fact::FlagChanged { flag: Flag::Active, value: true });
        }
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

fn merged<'a>(machine: &Machine, entry: &'a PoolEntry, now: Now) -> Result<Draft<'a>, Refusal> {
    let mut draft = Draft::new(&entry.machine, machine.clone(), now);
    let mut protection = machine.protection.clone();
    protection.machine |= entry.protect_machine;
    protection.rules.extend(entry.protect.iter().cloned());
    if let Some(inventory) = &machine.inventory {
        protection = protection.after_probing(inventory);
    }
    let tags: BTreeSet<_> = machine.tags.union(&entry.tags).cloned().collect();
    if protection.rules.len() > RULES_MAX || tags.len() > TAGS_MAX {
        return Err(limit(format!("{} would have too many tags or protections", entry.machine)));
    }
    if protection != machine.protection {
        draft.push(Fact::ProtectionChanged(protection));
    }
    if tags != machine.tags {
        draft.push(Fact::TagsSet(tags));
    }
    Ok(draft)
}

fn check_entries(state: &State, entries: &[PoolEntry]) -> Result<(), Refusal> {
    let invalid = |why: String| Refusal::new(RefusalCode::Invalid, WHAT, why, "correct the file and load it again");
    if entries.is_empty() {
        return Err(invalid("it names no machine".into()));
    }
    if entries.len() > POOL_ENTRIES_MAX {
        return Err(limit(format!("it names {} machines; {POOL_ENTRIES_MAX} go in one file", entries.len())));
    }
    let mut names = BTreeSet::new();
    for entry in entries {
        let id = &entry.machine;
        if !names.insert(id) {
            return Err(invalid(format!("{id} is named twice")));
        }
        if entry.protect.len() > RULES_MAX || entry.tags.len() > TAGS_MAX {
            return Err(limit(format!("{id} has too many tags or protections")));
        }
        for tag in &entry.tags {
            check_tag(tag, WHAT)?;
        }
        check_settings(&entry.settings, &format!("{WHAT}, settings of {id}"))?;
        if let Some(glob) = entry.protect.iter().find(|glob| !is_resource_glob(glob)) {
            return Err(invalid(format!("`{glob}` of {id} can not name a resource")));
        }
    }
    let new = names.iter().filter(|id| !state.machines.contains_key(**id)).count();
    if state.machines.len() + new > MACHINES_MAX {
        return Err(limit(format!("the pool would have more than {MACHINES_MAX} machines")));
    }
    Ok(())
}

fn is_resource_glob(glob: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:*?".contains(c);
    (1..=64).contains(&glob.len()) && glob.chars().all(legal)
}

fn limit(why: String) -> Refusal {
    Refusal::new(RefusalCode::Limit, WHAT, why, "split the file, or shorten it")
}
