//! Starting a job again: the same processes in the same places, with the same seed, parameters and all else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_ledger::Decision;
use muster_model::{
    Epoch, JobNumber, MachineId, PoolTime, Position, ProcessNumber, Refusal, RefusalCode, ReservationId, ResourceId,
    Selector,
};

use super::super::JobCore;
use super::super::event::{Event, JobStarted, Placement};
use super::super::fit::{Ask, loads_of, trouble_with};
use super::super::input::{Again, Reply, Start, Started};
use super::super::job::StartSpec;
use super::super::limits::NAMED_MAX;
use super::super::machine::Machine;
use super::super::module::Module;
use super::super::observed::Observed;
use super::super::resources::Resources;
use super::super::state::State;
use super::stop::find_job;
use super::{answered, catalogue, on_error, preview};

/// Starts a job again.
///
/// # Errors
/// When it is not known any more, or something that it ran on can not be used: named, one by one.
pub(super) fn again(
    state: &State,
    observed: &Observed,
    start: &Start,
    again: &Again,
    now: PoolTime,
) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("start job {} again", again.job);
    let mut then = source(state, again, &what)?;
    let module = &then.spec.module;
    check_module(state, &what, module)?;
    let reservation = if start.reservation == ReservationId(0) { then.spec.reservation } else { start.reservation };
    let (machines, all) = (Selector::all(), Selector::all());
    let ask = Ask { module, selector: &machines, resources: &all, reservation, without: &[], now };
    check_places(state, observed, &what, &then.placements, &ask)?;
    then.placements.iter_mut().for_each(|placement| place_now(state, placement));
    on_error::check(observed, &what, &then.spec.on_error, &then.placements)?;
    let number = if start.dry_run { JobNumber(0) } else { state.last_job.next() };
    let loads = if start.dry_run { preview::preview(state, module, &then.placements) } else { Vec::new() };
    let placements = Arc::new(then.placements);
    let reply = Reply::Started(Started {
        run: state.run,
        job: number,
        placements: placements.clone(),
        balance_milli: balance_milli(state, module, &placements),
        seed: then.spec.seed,
        loads,
    });
    if start.dry_run {
        return Ok(answered(Vec::new(), reply));
    }
    let (actor, run) = (start.actor.clone(), state.run);
    let spec = StartSpec { actor, run, reservation, job: number, errand_of: None, ..(*then.spec).clone() };
    let (selector, resource_selector) = (then.selector, then.resource_selector);
    let started = JobStarted { spec: Arc::new(spec), selector, resource_selector, placements };
    Ok(answered(vec![Event::JobStarted(started)], reply))
}

/// What ran, and where.
struct Source {
    spec: Arc<StartSpec>,
    selector: String,
    resource_selector: String,
    placements: Vec<Placement>,
}

/// What ran: as this run knows it, or as the archive has it.
fn source(state: &State, again: &Again, what: &str) -> Result<Source, Refusal> {
    let is_current = again.run.is_none_or(|run| run == state.run);
    if let Some(archived) = again.archived.as_ref().filter(|_| !is_current) {
        return Ok(Source {
            spec: archived.spec.clone(),
            selector: archived.selector.clone(),
            resource_selector: archived.resource_selector.clone(),
            placements: archived.placements.to_vec(),
        });
    }
    if let Some(run) = again.run.filter(|_| !is_current) {
        let why = format!("it is of run {run}, and this is run {}: where it ran is in the archive alone", state.run);
        let next = "`muster rerun RUN/JOB` reads the archive";
        return Err(Refusal::new(RefusalCode::NotFound, what, why, next));
    }
    let job = find_job(state, again.job, what)?;
    if job.plan.is_some() {
        let why = "it is a plan, whose tasks were placed one after another";
        return Err(Refusal::new(RefusalCode::Refused, what, why, "start its file with `muster plan start`"));
    }
    Ok(Source {
        spec: job.spec.clone(),
        selector: job.selector.clone(),
        resource_selector: job.resource_selector.clone(),
        placements: placements(state, again.job),
    })
}

/// A placement as its machine is now.
fn place_now(state: &State, placement: &mut Placement) {
    if let Some(machine) = state.machines.get(&placement.machine) {
        (placement.epoch, placement.machine_generation) = (machine.seen.epoch, machine.seen.generation);
    }
}

/// The catalogue still has what ran then.
fn check_module(state: &State, what: &str, module: &Module) -> Result<(), Refusal> {
    let now =
        state.modules.get(module.name.as_str()).ok_or_else(|| catalogue::unknown(state, what, module.name.as_str()))?;
    if now.artifacts == module.artifacts {
        return Ok(());
    }
    let (then, now) = (&module.version, &now.version);
    let why = format!("module {} has other executables now (version {now}) than then (version {then})", module.name);
    let next = format!("add version {then} again with `muster module add`, or start {} as it is now", module.name);
    Err(Refusal::new(RefusalCode::Refused, what, why, next))
}

/// Every machine and resource that the job ran on can be used.
fn check_places(
    state: &State,
    observed: &Observed,
    what: &str,
    placements: &[Placement],
    ask: &Ask<'_>,
) -> Result<(), Refusal> {
    let mut troubles = BTreeMap::<&MachineId, String>::new();
    let silent: BTreeSet<&MachineId> = observed.silent(ask.now).collect();
    for placement in placements {
        if troubles.contains_key(&placement.machine) {
            continue;
        }
        let trouble = match state.machines.get(&placement.machine) {
            None => Some("not known any more".to_owned()),
            Some(machine) => {
                trouble_with(machine, silent.contains(&placement.machine), ask).or_else(|| missing(machine, placement))
            }
        };
        troubles.extend(trouble.map(|trouble| (&placement.machine, trouble)));
    }
    if troubles.is_empty() {
        return Ok(());
    }
    let named = troubles.iter().take(NAMED_MAX).map(|(machine, trouble)| format!("{machine} is {trouble}"));
    let mut why = named.collect::<Vec<_>>().join(", ");
    if troubles.len() > NAMED_MAX {
        why.push_str(&format!(" and {} machines more", troubles.len() - NAMED_MAX));
    }
    let next = "`muster machine list` and `muster resource list` show why; or start it anew, placed on what there is";
    Err(Refusal::new(RefusalCode::Refused, what, why, next))
}

/// A resource of some processes that may not be used on their machine.
fn missing(machine: &Machine, placement: &Placement) -> Option<String> {
    let has = |id: &ResourceId| machine.places.iter().any(|place| place.id == *id);
    placement.resources.iter().find(|id| !has(id)).map(|id| format!("without {id} for tests (protected, or gone)"))
}

/// Where the processes of a job are, or were last, coded per machine; in the order of their numbers.
fn placements(state: &State, job: JobNumber) -> Vec<Placement> {
    let mut placements = Vec::<Placement>::new();
    let mut resources = Vec::<Vec<ResourceId>>::new();
    for (dpid, process) in state.processes_of(job) {
        let follows = |last: &Placement| {
            last.machine == process.machine && ProcessNumber(last.first.0 + last.count) == dpid.process
        };
        if !placements.last().is_some_and(follows) {
            placements.push(Placement {
                machine: process.machine.clone(),
                epoch: Epoch::default(),
                machine_generation: Position::default(),
                first: dpid.process,
                count: 0,
                resources: Resources::default(),
                members: Vec::new(),
            });
            resources.push(Vec::new());
        }
        let (Some(last), Some(resources)) = (placements.last_mut(), resources.last_mut()) else { continue };
        last.count += 1;
        resources.extend(process.resources.iter().cloned());
        last.members.extend(process.member);
    }
    placements.iter_mut().zip(resources).for_each(|(placement, resources)| placement.resources = resources.into());
    placements.sort_by(|one, other| (&one.machine, one.first).cmp(&(&other.machine, other.first)));
    placements
}

fn balance_milli(state: &State, module: &Module, placements: &[Placement]) -> u64 {
    let mut counts = BTreeMap::<&MachineId, u64>::new();
    placements
        .iter()
        .for_each(|placement| *counts.entry(&placement.machine).or_default() += u64::from(placement.count));
    let machines: Vec<&Machine> = counts.keys().map(|id| &state.machines[*id]).collect();
    let mut loads = loads_of(module, &machines);
    counts.values().enumerate().for_each(|(index, count)| loads.add(index, *count));
    loads.balance_milli()
}
