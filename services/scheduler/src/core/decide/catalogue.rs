//! The catalogue of test modules.

use muster_ledger::Decision;
use muster_model::{Refusal, RefusalCode};

use super::super::JobCore;
use super::super::event::Event;
use super::super::input::Reply;
use super::super::limits::MODULES_MAX;
use super::super::module::Module;
use super::super::state::State;
use super::answered;

/// Adds a module, or a new version of it. The same again changes nothing.
pub(super) fn add(state: &State, module: &Module) -> Result<Decision<JobCore>, Refusal> {
    module.check()?;
    let known = state.modules.get(&module.name);
    if known.is_none() && state.modules.len() >= MODULES_MAX {
        let why = format!("the catalogue holds {MODULES_MAX} modules already");
        let next = "remove one with `muster module remove`";
        return Err(Refusal::new(RefusalCode::Limit, format!("add module {}", module.name), why, next));
    }
    let unchanged = known.is_some_and(|known| **known == *module);
    let events = if unchanged { Vec::new() } else { vec![Event::ModuleAdded(Box::new(module.clone()))] };
    Ok(answered(events, Reply::ModuleChanged { name: module.name.clone(), version: module.version.clone(), unchanged }))
}

/// Removes a module. What runs of it goes on: its jobs carry the module as it was.
pub(super) fn remove(state: &State, name: &str) -> Result<Decision<JobCore>, Refusal> {
    let Some((name, _)) = state.modules.get_key_value(name) else {
        return Err(unknown(state, &format!("remove module {name}"), name));
    };
    let reply = Reply::ModuleChanged { name: name.clone(), version: String::new(), unchanged: false };
    Ok(answered(vec![Event::ModuleRemoved(name.clone())], reply))
}

/// The refusal for a module that is not in the catalogue.
pub(super) fn unknown(state: &State, what: &str, name: &str) -> Refusal {
    let near = super::super::nearest::nearest(name, state.modules.keys().map(muster_model::ModuleName::as_str));
    let next = match near {
        Some(near) => format!("did you mean `{near}`? `muster module list` shows all"),
        None if state.modules.is_empty() => "the catalogue is empty: add a module with `muster module add`".into(),
        None => "`muster module list` shows what there is".into(),
    };
    Refusal::new(RefusalCode::NotFound, what, format!("no module `{name}` is in the catalogue"), next)
}
