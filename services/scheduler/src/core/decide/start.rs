//! Starting a job: checks in the order in which a person would make them, then placement.

use std::sync::Arc;

use muster_ledger::{Decision, Now};
use muster_model::{CommandId, JobNumber, Place, Refusal, RefusalCode, Selector};

use super::super::JobCore;
use super::super::event::{Event, JobStarted};
use super::super::fit::{Ask, fitting};
use super::super::input::{Reply, Start, Started};
use super::super::job::StartSpec;
use super::super::limits::{PROCESSES_MAX, TEXT_MAX_BYTES};
use super::super::module::Module;
use super::super::observed::Observed;
use super::super::parameters;
use super::super::placement::{Problem, place};
use super::super::state::State;
use super::{answered, catalogue};

pub(super) fn start(state: &State, observed: &Observed, start: &Start, now: Now) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("start {}", start.module);
    let module = find_module(state, &what, &start.module)?;
    check_count(&what, start.processes)?;
    check_gangs(&what, module, start.processes)?;
    let parameters = parameters::complete(module, &start.parameters)?;
    let selector = read_selector(state, &what, &start.selector)?;
    let ask = Ask { module, selector: &selector, reservation: start.reservation, now: now.time };
    let machines = fitting(state, observed, &ask).map_err(|unfit| unfit.into_refusal(what.clone(), &ask))?;
    check_gang_fits(&what, module, machines.len())?;
    let (requirements, roles) = (&module.requirements, module.roles.len());
    let solution = place(&Problem { requirements, machines: &machines, processes: start.processes, roles });
    let placements = Arc::new(solution.placements);
    let seed = if start.seed == 0 { seed_from(&start.command) } else { start.seed };
    let job = if start.dry_run { JobNumber(0) } else { state.last_job.next() };
    let reply = Reply::Started(Started {
        run: state.run,
        job,
        placements: placements.clone(),
        balance_milli: solution.balance_milli,
        seed,
    });
    if start.dry_run {
        return Ok(answered(Vec::new(), reply));
    }
    let spec = StartSpec {
        module: module.clone(),
        parameters,
        seed,
        reservation: start.reservation,
        actor: start.actor.clone(),
        run: state.run,
        job,
    };
    let started = JobStarted {
        spec: Arc::new(spec),
        selector: start.selector.clone(),
        resource_selector: String::new(),
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

fn check_count(what: &str, processes: u32) -> Result<(), Refusal> {
    if (1..=PROCESSES_MAX).contains(&processes) {
        return Ok(());
    }
    let why = format!("{processes} processes were asked for; one start has 1 to {PROCESSES_MAX}");
    let next = if processes == 0 { "give --processes" } else { "start several jobs" };
    Err(Refusal::new(RefusalCode::Invalid, what, why, next))
}

/// Gangs are whole: their number of roles divides the number of processes.
fn check_gangs(what: &str, module: &Module, processes: u32) -> Result<(), Refusal> {
    let roles = module.roles.len() as u32;
    if roles == 0 || processes.is_multiple_of(roles) {
        return Ok(());
    }
    let why = format!("{processes} processes are no whole gangs of {roles} ({})", module.roles.join(", "));
    let (fewer, more) = (processes - processes % roles, processes - processes % roles + roles);
    let next = match (fewer > 0, more <= PROCESSES_MAX) {
        (true, true) => format!("give --processes {fewer} or {more}"),
        (true, false) => format!("give --processes {fewer}"),
        (false, _) => format!("give --processes {more}"),
    };
    Err(Refusal::new(RefusalCode::Invalid, what, why, next))
}

/// Members of a gang are on different machines.
fn check_gang_fits(what: &str, module: &Module, fit: usize) -> Result<(), Refusal> {
    let roles = module.roles.len();
    if fit >= roles {
        return Ok(());
    }
    let (noun, verb) = if fit == 1 { ("machine", "fits") } else { ("machines", "fit") };
    let why = format!("a gang of {roles} needs {roles} different machines, and {fit} {noun} {verb}");
    let next = format!("the nearest that would fit is a gang of {fit}: let {} more take part", roles - fit);
    Err(Refusal::new(RefusalCode::Refused, what, why, next))
}

/// Reads a selector. A plain name that no machine has is an error, and not an empty choice.
fn read_selector(state: &State, what: &str, text: &str) -> Result<Selector, Refusal> {
    if text.len() > TEXT_MAX_BYTES {
        let why = format!("the selector is longer than {TEXT_MAX_BYTES} bytes");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "use globs, or give the machines a tag"));
    }
    let selector = Selector::parse(text).map_err(|error| error.into_refusal(what))?;
    for name in selector.plain_names() {
        if state.machines.contains_key(name) {
            continue;
        }
        let near = super::super::nearest::nearest(name, state.machines.keys().map(muster_model::MachineId::as_str));
        let next = match near {
            Some(near) => format!("did you mean `{near}`? `muster machine list` shows all"),
            None => "`muster machine list` shows what there is".into(),
        };
        let refusal = Refusal::new(RefusalCode::NotFound, what, format!("no machine `{name}` is known"), next);
        let place = text.find(name).map(|from| Place { text: text.to_owned(), from, to: from + name.len() });
        return Err(match place {
            Some(place) => refusal.at(place),
            None => refusal,
        });
    }
    Ok(selector)
}

/// A seed from the random bits of a command id (splitmix64), never 0.
fn seed_from(command: &CommandId) -> u64 {
    let mut seed = command.0.iter().fold(0x9E37_79B9_7F4A_7C15_u64, |mixed, byte| {
        let mut next = (mixed ^ u64::from(*byte)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        next ^= next >> 27;
        next.wrapping_mul(0x94D0_49BB_1331_11EB)
    });
    seed ^= seed >> 31;
    seed.max(1)
}
