//! Starting a job: checks in the order in which a person would make them, then placement.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_ledger::{Decision, Now};
use muster_model::{CommandId, JobNumber, OnError, Place, PulseNumber, Refusal, RefusalCode, ResourceId, Selector};

use super::super::JobCore;
use super::super::event::{Event, JobStarted};
use super::super::fit::{Ask, fitting};
use super::super::input::{Reply, Start, Started};
use super::super::job::StartSpec;
use super::super::limits::TEXT_MAX_BYTES;
use super::super::machine::Machine;
use super::super::module::Module;
use super::super::nearest::nearest;
use super::super::observed::Observed;
use super::super::parameters;
use super::super::state::State;
use super::arrange::Wanted;
use super::{again, answered, catalogue, on_error, preview, pulses};

/// A start whose words are all known.
pub(super) struct Asked<'a> {
    what: String,
    pub(super) module: &'a Module,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) pulses: Vec<PulseNumber>,
    pub(super) on_error: OnError,
    selector: Selector,
    resources: Selector,
}

/// Reads a start, without asking where it fits.
pub(super) fn read<'a>(state: &'a State, start: &Start) -> Result<Asked<'a>, Refusal> {
    let what = format!("start {}", start.module);
    let module = find_module(state, &what, &start.module)?;
    Wanted { what: &what, module, count: start.count }.check_count()?;
    let parameters = parameters::complete(module, &start.parameters)?;
    let pulses = pulses::read(state, &what, &start.pulses)?;
    let on_error = on_error::read(&what, &start.on_error)?;
    let selector = read_selector(state, &what, &start.selector)?;
    let resources = read_resource_selector(state, &what, &start.resource_selector)?;
    Ok(Asked { what, module, parameters, pulses, on_error, selector, resources })
}

/// Starts a job, or says where it would run.
pub(super) fn start(state: &State, observed: &Observed, start: &Start, now: Now) -> Result<Decision<JobCore>, Refusal> {
    if let Some(job) = &start.again {
        return again::again(state, observed, start, job, now.time);
    }
    let Asked { what, module, parameters, pulses, on_error, selector, resources } = read(state, start)?;
    let wanted = Wanted { what: &what, module, count: start.count };
    let (reservation, now) = (start.reservation, now.time);
    let ask = Ask { module, selector: &selector, resources: &resources, reservation, without: &[], now };
    let fit = fitting(state, observed, &ask).map_err(|unfit| unfit.into_refusal(what.clone(), &ask))?;
    let arranged = wanted.arrange(state, fit)?;
    on_error::check(observed, &what, &on_error, &arranged.placements)?;
    let placements = Arc::new(arranged.placements);
    let seed = if start.seed == 0 { seed_from(&start.command) } else { start.seed };
    let job = if start.dry_run { JobNumber(0) } else { state.last_job.next() };
    let balance_milli = arranged.loads.balance_milli();
    let loads = if start.dry_run { preview::preview(state, module, &placements) } else { Vec::new() };
    let reply =
        Reply::Started(Started { run: state.run, job, placements: placements.clone(), balance_milli, seed, loads });
    if start.dry_run {
        return Ok(answered(Vec::new(), reply));
    }
    let spec = StartSpec {
        module: module.clone(),
        parameters,
        seed,
        reservation,
        actor: start.actor.clone(),
        run: state.run,
        job,
        pulses,
        on_error,
        check_out: start.check_out,
        errand_of: None,
    };
    let started = JobStarted {
        spec: Arc::new(spec),
        selector: start.selector.clone(),
        resource_selector: start.resource_selector.clone(),
        placements,
    };
    Ok(answered(vec![Event::JobStarted(started)], reply))
}

/// The module that a start names, as `name` or `name@version`.
fn find_module<'a>(state: &'a State, what: &str, text: &str) -> Result<&'a Module, Refusal> {
    let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
    let module = state.modules.get(name).ok_or_else(|| catalogue::unknown(state, what, name))?;
    match version {
        Some(version) if version != module.version => {
            let why = format!("the catalogue has version {} of {name}, not {version}", module.version);
            let next = format!("start {name}@{}, or add version {version} with `muster module add`", module.version);
            Err(Refusal::new(RefusalCode::NotFound, what, why, next))
        }
        Some(_) | None => Ok(module),
    }
}

/// Reads a selector of machines. A plain name that no machine has is an error, and not an empty choice.
pub(super) fn read_selector(state: &State, what: &str, text: &str) -> Result<Selector, Refusal> {
    check_length(what, text)?;
    let selector = Selector::parse(text).map_err(|error| error.into_refusal(what))?;
    let unknown = selector.plain_names().into_iter().find(|name| !state.machines.contains_key(*name));
    if let Some(name) = unknown {
        let near = nearest(name, state.machines.keys().map(muster_model::MachineId::as_str));
        return Err(unknown_name(what, text, "machine", name, near));
    }
    Ok(selector)
}

/// Reads a selector of resources, likewise.
fn read_resource_selector(state: &State, what: &str, text: &str) -> Result<Selector, Refusal> {
    check_length(what, text)?;
    let selector = Selector::parse_resources(text).map_err(|error| error.into_refusal(what))?;
    let unknown = selector.plain_names().into_iter().find(|name| !has_resource(state, name));
    if let Some(name) = unknown {
        let machine = name.split_once('/').and_then(|(machine, _)| state.machines.get(machine));
        let near = match machine {
            Some(machine) => {
                let prefix = machine.seen.machine.as_str();
                let names: BTreeSet<String> =
                    machine.seen.resources.iter().map(|resource| format!("{prefix}/{}", resource.id)).collect();
                nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
            }
            None => {
                let all = state.machines.values().flat_map(|machine| &machine.seen.resources);
                let names: BTreeSet<&str> = all.map(|resource| resource.id.as_str()).collect();
                nearest(name, names.into_iter()).map(str::to_owned)
            }
        };
        return Err(unknown_name(what, text, "resource", name, near.as_deref()));
    }
    Ok(selector)
}

fn has_resource(state: &State, name: &str) -> bool {
    let has =
        |machine: &Machine, name: &str| ResourceId::new(name).is_ok_and(|id| machine.seen.resource(&id).is_some());
    match name.split_once('/') {
        Some((machine, resource)) => state.machines.get(machine).is_some_and(|machine| has(machine, resource)),
        None => state.machines.values().any(|machine| has(machine, name)),
    }
}

fn check_length(what: &str, text: &str) -> Result<(), Refusal> {
    if text.len() <= TEXT_MAX_BYTES {
        return Ok(());
    }
    let why = format!("the selector is longer than {TEXT_MAX_BYTES} bytes");
    Err(Refusal::new(RefusalCode::Limit, what, why, "use globs, or give the machines a tag"))
}

fn unknown_name(what: &str, text: &str, noun: &str, name: &str, near: Option<&str>) -> Refusal {
    let next = match near {
        Some(near) => format!("did you mean `{near}`? `muster {noun} list` shows all"),
        None => format!("`muster {noun} list` shows what there is"),
    };
    let refusal = Refusal::new(RefusalCode::NotFound, what, format!("no {noun} `{name}` is known"), next);
    match text.find(name) {
        Some(from) => refusal.at(Place { text: text.to_owned(), from, to: from + name.len() }),
        None => refusal,
    }
}

/// A seed from the random bits of a command id (splitmix64), never 0.
pub(super) fn seed_from(command: &CommandId) -> u64 {
    let mut seed = command.0.iter().fold(0x9E37_79B9_7F4A_7C15_u64, |mixed, byte| {
        let mut next = (mixed ^ u64::from(*byte)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        next ^= next >> 27;
        next.wrapping_mul(0x94D0_49BB_1331_11EB)
    });
    seed ^= seed >> 31;
    seed.max(1)
}
