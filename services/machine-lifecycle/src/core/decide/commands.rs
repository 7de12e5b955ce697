//! Flags, removal, tags, load numbers.

use muster_ledger::{Decision, Now};
use muster_model::{Flag, MachineId, Phase, Refusal, RefusalCode, Selector};

use super::boot::give_up;
use super::draft::Draft;
use super::{Changes, Decided};
use crate::core::health::{Health, health};
use crate::core::limits::{LOAD_MAX, TAG_LENGTH_MAX, TAGS_MAX};
use crate::core::{Event, Fact, FlagSetting, LoadKey, Machine, Observed, State, TagSetting};

/// Sets a flag of all machines that a selector names.
///
/// # Errors
/// When no machine is named, or a retired one is to be activated.
pub(super) fn set_flag(state: &State, setting: &FlagSetting, now: Now) -> Decided {
    let (flag, value) = (setting.flag, setting.value);
    let what = format!("set {} of {}", flag.as_str(), setting.selector);
    let machines = selected(state, &setting.selector, &what)?;
    let retired = machines.iter().find(|(_, machine)| flag == Flag::Active && value && machine.flags.retired);
    if let Some((id, _)) = retired {
        let next = format!("take {id} out of retirement first: `muster machine retire {id} --undo`");
        return Err(Refusal::new(RefusalCode::Refused, what, format!("{id} is retired"), next));
    }
    let mut changes = Changes::default();
    for (id, machine) in machines {
        let mut draft = Draft::new(id, machine.clone(), now);
        let activated = flag == Flag::Active && value;
        // Said again of a flaky machine it is news: its count begins anew.
        if machine.flags.get(flag) != value || (activated && machine.recent.flaky().is_some()) {
            draft.push(Fact::FlagChanged { flag, value });
        }
        if activated && machine.quarantine.is_some() {
            release_quarantine(&mut draft);
        }
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

/// A person looked, and says that it can be trusted.
fn release_quarantine(draft: &mut Draft<'_>) {
    let from = draft.machine().phase;
    if draft.machine().boot_pending() {
        // Whatever runs there is not what was ordered.
        return give_up(draft, "a person activated it before its boot was proven".into());
    }
    if from.may_become(Phase::Ready) {
        draft.push(Fact::PhaseChanged { from, to: Phase::Ready, reason: "a person activated it".into() });
    }
}

/// Forgets a retired machine.
///
/// # Errors
/// When it is not known, not retired, held, or something may run on it.
pub(super) fn remove(state: &State, observed: &Observed, id: &MachineId, now: Now) -> Decided {
    let what = format!("remove {id}");
    let refuse = |why: &str, next: String| Err(Refusal::new(RefusalCode::Refused, &what, why, next));
    let Some(machine) = state.machines.get(id) else {
        let next = "`muster machine list` shows what is known";
        return Err(Refusal::new(RefusalCode::NotFound, what, "there is no such machine", next));
    };
    if !machine.flags.retired {
        return refuse("it is not retired", format!("`muster machine retire {id}` first"));
    }
    if !machine.is_new() && machine.tenure.holder.reservation().is_some() {
        return refuse("a reservation has it", "wait for its end, or check it in".into());
    }
    let live = observed.newest(id).map_or(0, |seen| seen.heartbeat.processes_live);
    match health(observed, id, now.time) {
        Health::Up | Health::Silent if live > 0 => {
            return refuse(&format!("{live} processes run on it"), "stop them first: `muster ps` shows them".into());
        }
        Health::Unknown if !machine.is_new() => {
            return refuse("it is not known yet what runs on it", "try again in a minute".into());
        }
        Health::Up | Health::Silent | Health::Down | Health::Unknown => {}
    }
    let mut draft = Draft::new(id, machine.clone(), now);
    draft.push(Fact::Removed);
    let mut changes = Changes::default();
    changes.take(id, draft.into_events());
    Ok(changes.into_decision(now))
}

/// Adds and takes away tags.
///
/// # Errors
/// When no machine is named, or a tag is not one.
pub(super) fn set_tags(state: &State, setting: &TagSetting, now: Now) -> Decided {
    let what = format!("set tags of {}", setting.selector);
    for tag in &setting.add {
        check_tag(tag, &what)?;
    }
    let mut changes = Changes::default();
    for (id, machine) in selected(state, &setting.selector, &what)? {
        let mut tags = machine.tags.clone();
        tags.extend(setting.add.iter().cloned());
        tags.retain(|tag| !setting.remove.contains(tag));
        if tags.len() > TAGS_MAX {
            let why = format!("{id} would have {} tags, and {TAGS_MAX} is the limit", tags.len());
            return Err(Refusal::new(RefusalCode::Limit, what, why, "take others away first"));
        }
        let mut draft = Draft::new(id, machine.clone(), now);
        if tags != machine.tags {
            draft.push(Fact::TagsSet(tags));
        }
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

/// A tag can be written in a selector without quotes.
pub(super) fn check_tag(tag: &str, what: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:/+".contains(c);
    if !tag.is_empty() && tag.len() <= TAG_LENGTH_MAX && tag.chars().all(legal) {
        return Ok(());
    }
    let why = format!("`{tag}` is not a tag");
    let next = format!("tags have 1 to {TAG_LENGTH_MAX} of a-z, A-Z, 0-9 and `-_.:/+`");
    Err(Refusal::new(RefusalCode::Invalid, what, why, next))
}

/// Sets load numbers, all or none. What is so already changes nothing.
///
/// # Errors
/// When one is out of range.
pub(super) fn set_load_numbers(state: &State, numbers: &[(LoadKey, u32)], now: Now) -> Decided {
    for (key, load) in numbers {
        if !(1..=LOAD_MAX).contains(load) {
            let what = format!("set the load number of {} {}", key.kind.as_str(), key.device_type);
            let next = format!("give 1 to {LOAD_MAX}; `muster resource protect` keeps tests away altogether");
            return Err(Refusal::new(RefusalCode::Invalid, what.trim_end(), format!("{load} is out of range"), next));
        }
    }
    let news = numbers.iter().filter(|(key, load)| state.load_numbers.get(key) != Some(load));
    let events = news.map(|(key, load)| Event::LoadNumberSet { key: key.clone(), load: *load }).collect();
    let changes = Changes { events, ..Changes::default() };
    let decision: Decision<_> = changes.into_decision(now);
    Ok(decision)
}

/// The machines that a selector names: at least one, and every plain name exists.
pub(super) fn selected<'a>(
    state: &'a State,
    selector: &'a Selector,
    what: &str,
) -> Result<Vec<(&'a MachineId, &'a Machine)>, Refusal> {
    let next = "`muster machine list` shows what is known";
    let unknown = selector.plain_names().into_iter().find(|name| !state.machines.contains_key(*name));
    if let Some(name) = unknown {
        return Err(Refusal::new(RefusalCode::NotFound, what, format!("there is no machine `{name}`"), next));
    }
    let machines: Vec<_> = state.selected(selector).collect();
    if machines.is_empty() {
        return Err(Refusal::new(RefusalCode::NotFound, what, "no machine fits the selector", next));
    }
    Ok(machines)
}
