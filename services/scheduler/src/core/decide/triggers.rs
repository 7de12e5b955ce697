//! Arming, disarming and firing. Whom a trigger moves is decided when it is armed; firing is a word among agents, which a person
//! may say too, once it is known that anybody is armed.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_ledger::{Decision, Now};
use muster_model::{
    Firing, FiringId, FiringSource, MachineId, PoolTime, Refusal, RefusalCode, ReservationId, Selector,
    TRIGGER_ACTIONS, TriggerAction, TriggerNumber,
};

use super::super::JobCore;
use super::super::event::{Event, TriggerArmed, TriggerDisarmed};
use super::super::input::{Arm, Armed, Disarm, Fire, Reply};
use super::super::limits::{ARMS_MAX_BYTES, FROM_JOBS_MAX, NAMED_MAX, TEXT_MAX_BYTES};
use super::super::machine::Machine;
use super::super::observed::Observed;
use super::super::state::State;
use super::super::trigger::ArmSpec;
use super::start::read_selector;
use super::{answered, stop};

pub(super) fn arm(state: &State, observed: &Observed, arm: &Arm, now: Now) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("arm trigger {}", arm.number);
    let number = number(&what, arm.number)?;
    let action = arm.action.clone().map_err(|error| {
        let next = format!("an action is {TRIGGER_ACTIONS}");
        Refusal::new(RefusalCode::Invalid, &*what, error.to_string(), next)
    })?;
    if arm.selector.trim().is_empty() {
        let next = "name them with --on; `--on '*'` is every machine";
        return Err(Refusal::new(RefusalCode::Invalid, what, "no machines are named", next));
    }
    let selector = read_selector(state, &what, &arm.selector)?;
    let spec = ArmSpec {
        number,
        action,
        from_machines: from_machines(state, &what, &arm.from_selector)?,
        from_jobs: from_jobs(state, &what, arm)?,
        reservation: arm.reservation,
        selector: arm.selector.clone(),
        from_selector: arm.from_selector.clone(),
        actor: arm.actor.clone(),
    };
    let (machines, skipped) = armable(state, observed, (&what, &selector), &spec, now.time)?;
    let reply = Reply::Armed(Armed { number: Some(number), machines: machines.clone(), skipped, disarmed: 0 });
    let armed = TriggerArmed { spec: Arc::new(spec), machines };
    Ok(answered(vec![Event::TriggerArmed(armed)], reply))
}

fn number(what: &str, number: u32) -> Result<TriggerNumber, Refusal> {
    TriggerNumber::new(number).ok_or_else(|| {
        let why = format!("there is no trigger {number}");
        Refusal::new(RefusalCode::Invalid, what, why, "give a number from 0 to 255")
    })
}

fn from_jobs(state: &State, what: &str, arm: &Arm) -> Result<Vec<muster_model::JobNumber>, Refusal> {
    if arm.from_jobs.len() > FROM_JOBS_MAX {
        let why = format!("more than {FROM_JOBS_MAX} jobs are named that may fire it");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "name the machines that they run on"));
    }
    let mut jobs = arm.from_jobs.clone();
    if let Ok(TriggerAction::StopJob(Some(job))) = &arm.action {
        stop::find_job(state, *job, what)?;
    }
    for job in &jobs {
        stop::find_job(state, *job, what)?;
    }
    jobs.sort_unstable();
    jobs.dedup();
    Ok(jobs)
}

/// Machines that may fire; none where nobody is named.
fn from_machines(state: &State, what: &str, text: &str) -> Result<Vec<MachineId>, Refusal> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let selector = read_selector(state, what, text)?;
    let named = state.machines.values().filter(|machine| !machine.seen.removed && selector.matches(&machine.seen));
    let named: Vec<MachineId> = named.map(|machine| machine.seen.machine.clone()).collect();
    if named.is_empty() {
        let why = format!("no machine fits `{text}`, and none could fire it");
        return Err(Refusal::new(RefusalCode::NotFound, what, why, "`muster machine list` shows what there is"));
    }
    Ok(named)
}

/// Machines with their epochs, sorted.
type Machines = Vec<(MachineId, muster_model::Epoch)>;
/// Machines that were passed over, and why, sorted.
type Skipped = Vec<(MachineId, String)>;

/// Machines of the selector that can be armed. One that it names by its name alone has to be; others are passed over.
fn armable(
    state: &State,
    observed: &Observed,
    (what, selector): (&str, &Selector),
    spec: &ArmSpec,
    now: PoolTime,
) -> Result<(Machines, Skipped), Refusal> {
    let named = selector.plain_names();
    let (mut machines, mut skipped) = (Machines::new(), Skipped::new());
    for (id, machine) in &state.machines {
        if machine.seen.removed || !selector.matches(&machine.seen) {
            continue;
        }
        match hindrance(observed, machine, spec, now) {
            None => machines.push((id.clone(), machine.seen.epoch)),
            Some(Hindrance { code, why, next }) if named.contains(&id.as_str()) => {
                return Err(Refusal::new(code, what, format!("{id} {why}"), next));
            }
            Some(hindrance) => skipped.push((id.clone(), hindrance.why)),
        }
    }
    if !machines.is_empty() {
        return Ok((machines, skipped));
    }
    if skipped.is_empty() {
        let why = format!("no machine fits `{}`", spec.selector);
        return Err(Refusal::new(RefusalCode::NotFound, what, why, "`muster machine list` shows what there is"));
    }
    let mut whys = BTreeMap::<&str, usize>::new();
    skipped.iter().for_each(|(_, why)| *whys.entry(why).or_default() += 1);
    let told: Vec<String> = whys.iter().take(NAMED_MAX).map(|(why, count)| format!("{count} {why}")).collect();
    let why = format!("none of the machines that it fits can be armed: {}", told.join(", "));
    Err(Refusal::new(RefusalCode::Refused, what, why, "`muster machine list` shows how they stand"))
}

/// Why a machine can not be armed; `why` follows its name.
struct Hindrance {
    code: RefusalCode,
    why: String,
    next: &'static str,
}

fn hindrance(observed: &Observed, machine: &Machine, spec: &ArmSpec, now: PoolTime) -> Option<Hindrance> {
    let refused = |why: &str, next| Some(Hindrance { code: RefusalCode::Refused, why: why.to_owned(), next });
    let seen = &machine.seen;
    if seen.machine_protected {
        return refused("is protected", "nothing touches a protected machine; choose others");
    }
    if seen.reservation != spec.reservation {
        return refused(&held(seen.reservation), "arm it in the name of its holder, with --reservation");
    }
    if let Some(trouble) = seen.trouble() {
        return refused(&format!("is {}", trouble.as_str()), "`muster machine show` says how it stands");
    }
    let Some(agent) = observed.agent(&seen.machine).filter(|agent| agent.is_heard(now)) else {
        return refused("was not heard of lately", "try again when its agent is connected");
    };
    if !agent.policy.permits(&spec.action) {
        let why = format!("does not permit `{}` by its policy file", spec.action);
        let next = "permit it in the file that its agent was given with --trigger-policy, or choose another action";
        return refused(&why, next);
    }
    let others = machine.arms.values().filter(|arm| arm.spec.number != spec.number);
    if others.map(|arm| arm.spec.size()).sum::<usize>() + spec.size() > ARMS_MAX_BYTES {
        let why = format!("would be told more than {} KiB about its triggers", ARMS_MAX_BYTES / 1024);
        let next = "disarm others, or name fewer machines that may fire";
        return Some(Hindrance { code: RefusalCode::Limit, why, next });
    }
    None
}

fn held(reservation: ReservationId) -> String {
    match reservation {
        ReservationId(0) => "belongs to the pool".into(),
        other => format!("is held by reservation {other}"),
    }
}

pub(super) fn disarm(state: &State, disarm: &Disarm) -> Result<Decision<JobCore>, Refusal> {
    let what = "disarm triggers";
    if disarm.numbers.is_empty() && !disarm.all {
        return Err(Refusal::new(RefusalCode::Invalid, what, "no trigger is named", "give numbers, or --all"));
    }
    let numbers = disarm.numbers.iter().map(|given| number(what, *given)).collect::<Result<Vec<_>, _>>()?;
    let selector = read_selector(state, what, &disarm.selector)?;
    let mut events = BTreeMap::<TriggerNumber, Vec<MachineId>>::new();
    for (id, machine) in state.machines.iter().filter(|(_, machine)| selector.matches(&machine.seen)) {
        for number in machine.arms.keys().filter(|number| disarm.all || numbers.contains(number)) {
            events.entry(*number).or_default().push(id.clone());
        }
    }
    let disarmed = events.values().map(Vec::len).sum::<usize>() as u32;
    let reply = Reply::Armed(Armed { number: None, machines: Vec::new(), skipped: Vec::new(), disarmed });
    let events = events.into_iter().map(|(number, machines)| TriggerDisarmed { number, machines });
    Ok(answered(events.map(Event::TriggerDisarmed).collect(), reply))
}

/// A person fires: whoever is armed for the same holder acts, whichever processes may fire it.
pub(super) fn fire(state: &State, fire: &Fire, now: Now) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("fire trigger {}", fire.number);
    let number = number(&what, fire.number)?;
    if fire.note.len() > TEXT_MAX_BYTES {
        let why = format!("the note is longer than {TEXT_MAX_BYTES} bytes");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "write less"));
    }
    let armed = state.machines.iter().filter_map(|(id, machine)| Some((id, machine.arms.get(&number)?)));
    let (own, others): (Vec<_>, Vec<_>) = armed.partition(|(_, arm)| arm.spec.reservation == fire.reservation);
    if own.is_empty() {
        return Err(match others.first() {
            None => {
                let next = format!("arm some with `muster trigger arm {number}`; `muster trigger list` shows who is");
                Refusal::new(RefusalCode::Refused, what, "no machine is armed for it", next)
            }
            Some((id, arm)) => {
                let why = format!("whoever is armed for it belongs to others: {id} {}", held(arm.spec.reservation));
                Refusal::new(RefusalCode::Refused, what, why, "fire it in the name of their holder, with --reservation")
            }
        });
    }
    let machines = own.iter().map(|(id, _)| (*id).clone()).collect();
    let firing = Firing {
        id: FiringId(fire.command.0),
        number,
        source: FiringSource::Person(fire.actor.clone()),
        fired: now.time,
        note: fire.note.clone(),
        reservation: fire.reservation,
    };
    let reply = Reply::Fired { firing: Box::new(firing.clone()), machines };
    Ok(answered(vec![Event::TriggerFired(Box::new(firing))], reply))
}
