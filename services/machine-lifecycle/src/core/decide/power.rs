//! Power and snapshots: what people order, what a machine needs that does not come back, and what became of it.
//!
//! Responsible for when something begins and how its outcome is judged. Not for how it is done (the drivers), nor for the rails
//! themselves (`rails`). An operation is logged before it is done, and never begun again under its name.

use muster_ledger::Now;
use muster_model::{MachineId, Phase, Position, PowerAction, PowerState, Refusal, RefusalCode};

use super::boot::{give_up, move_to};
use super::commands::selected;
use super::draft::Draft;
use super::orders::{Objection, may_touch};
use super::{Changes, Decided, preparation};
use crate::core::limits::{ORDER_AGE_MAX, POWER_MACHINES_MAX, PROBE_EVERY, RECOVER_AFTER, SETTLE_WITHIN};
use crate::core::power::{Dump, PowerOperation, PowerOutcome, PowerTask};
use crate::core::rails::Rails;
use crate::core::{Event, Fact, HoldSetting, Holder, Machine, PowerActed, PowerLooked, PowerOrdering, Stage, State};

/// Orders something for all machines that a selector names, or says that a person has done it.
///
/// # Errors
/// When one of them may not be touched; then none is.
pub(super) fn order(state: &State, ordering: &PowerOrdering, now: Now) -> Decided {
    let (task, actor) = (ordering.task, &ordering.actor);
    let machines = selected(state, &ordering.selector, &format!("{task} {}", ordering.selector))?;
    if machines.len() > POWER_MACHINES_MAX {
        let why = format!("these are {} machines, and {POWER_MACHINES_MAX} go in one order", machines.len());
        return Err(Refusal::new(RefusalCode::Limit, format!("{task} machines"), why, "order them in parts"));
    }
    let mut changes = Changes::default();
    for (id, machine) in machines {
        let what = format!("{task} {id}");
        let refuse = |(why, next)| Refusal::new(RefusalCode::Refused, &what, why, next);
        let mut draft = Draft::new(id, machine.clone(), now);
        if ordering.done {
            said_done(&mut draft, task).map_err(refuse)?;
        } else {
            may_touch(id, machine, actor).and_then(|()| may_switch(id, machine, task)).map_err(refuse)?;
            draft.push(Fact::PowerOrdered { task, actor: actor.clone() });
            if task == PowerTask::Revert && draft.machine().phase.may_become(Phase::Reverting) {
                move_to(&mut draft, Phase::Reverting, &format!("{actor} has it reverted"));
            }
        }
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

fn may_switch(id: &MachineId, machine: &Machine, task: PowerTask) -> Result<(), Objection> {
    if !task.is_possible(&machine.settings) {
        let setting = if task == PowerTask::Revert { "snapshot" } else { "power" };
        let why = format!("it has no driver that can do that (`{setting}=`)");
        return Err((why, format!("`muster machine set {id} {setting}=...`, see `muster machine set --help`")));
    }
    if let Some(order) = &machine.power_order {
        return Err((format!("{} of {} waits already", order.task, order.actor), "wait until it is done".into()));
    }
    if machine.is_being_switched() {
        return Err(("something is done to it already".into(), format!("`muster machine show {id}` says what")));
    }
    if task == PowerTask::Revert && machine.quarantine.is_some() {
        return Err(("it is quarantined".into(), format!("look at it, then `muster machine activate {id}`")));
    }
    let booting = matches!(machine.phase, Phase::Installing | Phase::Rebooting | Phase::Verifying | Phase::Reverting);
    if booting && task == PowerTask::Revert {
        return Err((format!("it is {}", machine.phase), "wait until that has ended".into()));
    }
    Ok(())
}

/// A person was asked, and says that it is done.
fn said_done(draft: &mut Draft<'_>, task: PowerTask) -> Result<(), Objection> {
    let asked =
        draft.machine().power.as_ref().is_some_and(|known| known.is_open() && known.asked && known.task == task);
    if !asked {
        let next = "`muster machine show NAME` says what is asked, if anything".into();
        return Err((format!("nobody is asked to {task} it"), next));
    }
    end(draft, PowerOutcome::Done, "a person says that it is done".into(), None);
    Ok(())
}

/// Holds everything, or lets it go on.
pub(super) fn hold(state: &State, setting: &HoldSetting, now: Now) -> Decided {
    let mut changes = Changes::default();
    if state.hold.is_some() != setting.held {
        let HoldSetting { held, actor, reason } = setting.clone();
        changes.events.push(Event::HoldSet { held, actor, reason });
    }
    Ok(changes.into_decision(now))
}

/// Begins an operation, if the rails allow it; says whether it began.
pub(super) fn begin(draft: &mut Draft<'_>, rails: &mut Rails, task: PowerTask, reason: &str) -> bool {
    let now = draft.now().time;
    if rails.allow(draft.machine(), now).is_err() {
        return false;
    }
    rails.begin(draft.machine(), now);
    draft.push(Fact::PowerBegun { task, reason: reason.to_owned() });
    true
}

/// What a machine that does not come back is helped with next; none when nothing is left, or nobody may help.
pub(super) fn next_rung(machine: &Machine) -> Option<PowerTask> {
    if machine.settings.leave_down {
        return None;
    }
    let used = machine.boot.as_ref().map_or(0, |boot| boot.escalations) as usize;
    // A reset leaves QEMU with what it was started with; the first of these is the boot itself.
    let first = if machine.settings.boots_directly() { PowerAction::Cycle } else { PowerAction::Reset };
    let rungs = [first, PowerAction::Cycle].map(PowerTask::Power);
    rungs.into_iter().filter(|task| task.is_possible(&machine.settings)).nth(used)
}

/// How a machine stands, as far as it is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stands {
    /// Its agent is heard.
    pub(super) is_up: bool,
    /// Nothing lives on it, as far as that is known.
    pub(super) is_empty: bool,
    /// Nothing was heard of it for so long that it hangs.
    pub(super) down_for_long: bool,
}

/// Looks whether a person's order is due, or a machine is to be helped that is down by itself or was given up.
pub(super) fn look(draft: &mut Draft<'_>, rails: &mut Rails, stands: Stands) {
    let Stands { is_up, is_empty, down_for_long } = stands;
    carry_out_order(draft, rails, is_empty);
    if draft.machine().is_being_switched() {
        return;
    }
    settle(draft);
    if is_up {
        never_went_down(draft);
    }
    if is_switched_off(draft.machine()) {
        return;
    }
    if down_for_long {
        recover(draft, rails);
    }
    probe(draft, rails);
}

fn carry_out_order(draft: &mut Draft<'_>, rails: &mut Rails, is_empty: bool) {
    let Some(order) = draft.machine().power_order.clone() else { return };
    let now = draft.now().time;
    if (order.since + ORDER_AGE_MAX).is_due(now) {
        let why = rails.allow(draft.machine(), now).err().unwrap_or_else(|| "it never became empty".into());
        draft.push(Fact::PowerOrderDropped { reason: format!("it waited for {ORDER_AGE_MAX:?}: {why}") });
        if draft.machine().phase == Phase::Reverting {
            move_to(draft, Phase::Dirty, "its revert was dropped");
            if draft.machine().tenure.stage == Stage::Settled {
                preparation::reverted(draft, PowerOutcome::Dropped);
            }
        }
        return;
    }
    if draft.machine().tenure.stage != Stage::Settled {
        return;
    }
    let drained = (order.since + draft.machine().settings.drain).is_due(now);
    if order.task == PowerTask::Revert && !is_empty && !drained {
        return;
    }
    if begin(draft, rails, order.task, &ordered_by(&order.actor)) && order.task.ends_what_runs() {
        leave_ready(draft, &format!("{} by {}", order.task, order.actor));
    }
}

/// Why an operation is done that somebody ordered.
pub(super) fn ordered_by(actor: &str) -> String {
    format!("ordered by {actor}")
}

/// What was ready is not, from here on.
fn leave_ready(draft: &mut Draft<'_>, reason: &str) {
    if draft.machine().phase == Phase::Ready {
        move_to(draft, Phase::Dirty, reason);
    }
}

/// It is heard in the same boot: because its revert was dropped, or long after it was said to be switched. What was proven of that boot
/// still holds. Whether it was taken back, only a new hello says.
fn never_went_down(draft: &mut Draft<'_>) {
    let (machine, now) = (draft.machine(), draft.now().time);
    if machine.phase != Phase::Dirty || machine.quarantine.is_some() {
        return;
    }
    let Some(known) = machine.power.as_ref().filter(|known| !known.is_open()) else { return };
    let dropped = known.outcome == Some(PowerOutcome::Dropped);
    let waited = known.task != PowerTask::Revert && (known.ended + machine.settings.boot_within).is_due(now);
    if known.from_boot_id != machine.boot_id || !(dropped || waited) {
        return;
    }
    let reason = format!("its {} did nothing: it never went down", known.task);
    if !machine.boot_pending() {
        move_to(draft, Phase::Ready, &reason);
    } else if dropped {
        give_up(draft, reason);
    }
}

/// Somebody wanted it off, and nobody wanted anything else since.
fn is_switched_off(machine: &Machine) -> bool {
    machine.power.as_ref().is_some_and(|known| known.task == PowerTask::Power(PowerAction::Off))
}

/// A machine that went back and says nothing is no longer waited for; its hello makes it ready all the same.
fn settle(draft: &mut Draft<'_>) {
    let machine = draft.machine();
    let ended = machine.power.as_ref().map_or(draft.now().time, |known| known.ended);
    if machine.phase == Phase::Settling && (ended + SETTLE_WITHIN).is_due(draft.now().time) {
        move_to(draft, Phase::Dirty, &format!("it said no hello within {SETTLE_WITHIN:?} of its revert"));
    }
}

/// A machine that hangs is reset, then power-cycled, then given up. One that a person has for themselves is left as it is.
fn recover(draft: &mut Draft<'_>, rails: &mut Rails) {
    let machine = draft.machine();
    let ours = match &machine.tenure.holder {
        Holder::Pool => true,
        Holder::Reservation { id, .. } => machine.boot.as_ref().is_some_and(|boot| boot.reservation == Some(*id)),
    };
    if !ours || machine.tenure.stage != Stage::Settled || !matches!(machine.phase, Phase::Ready | Phase::Dirty) {
        return;
    }
    let here = |known: &&PowerOperation| known.from_boot_id == machine.boot_id && known.task.is_rung();
    let newest = machine.power.as_ref().filter(here);
    let waited = newest.is_none_or(|operation| (operation.begun + RECOVER_AFTER).is_due(draft.now().time));
    if !waited {
        return;
    }
    let tried = newest.map(|operation| operation.task);
    let rungs: &[PowerAction] = match tried {
        None => &[PowerAction::Reset, PowerAction::Cycle],
        Some(PowerTask::Power(PowerAction::Reset)) => &[PowerAction::Cycle],
        Some(PowerTask::Power(_) | PowerTask::Revert) => &[],
    };
    let task = rungs.iter().map(|action| PowerTask::Power(*action)).find(|task| task.is_possible(&machine.settings));
    match task {
        Some(task) => {
            let began = begin(draft, rails, task, &format!("no heartbeat for {RECOVER_AFTER:?}"));
            if began {
                leave_ready(draft, "it does not answer");
            }
        }
        None if tried.is_some() => give_up(draft, "it does not answer, and switching it did not help".into()),
        None => {}
    }
}

/// A machine that was given up is switched once in a while: somebody may have mended it.
fn probe(draft: &mut Draft<'_>, rails: &mut Rails) {
    let machine = draft.machine();
    let cycle = PowerTask::Power(PowerAction::Cycle);
    let idle = machine.phase == Phase::Offline && machine.flags.takes_part() && !machine.settings.leave_down;
    if !idle || machine.tenure.stage != Stage::Settled || !cycle.is_possible(&machine.settings) {
        return;
    }
    let since = machine.boot.as_ref().map(|boot| boot.since).max(machine.power.as_ref().map(|known| known.begun));
    if since.is_some_and(|since| (since + PROBE_EVERY).is_due(draft.now().time)) {
        begin(draft, rails, cycle, &format!("it is offline, and looked at every {PROBE_EVERY:?}"));
    }
}

/// What became of an operation, by its driver.
pub(super) fn acted(state: &State, id: &MachineId, acted: &PowerActed, now: Now) -> Vec<Event> {
    let Some(machine) = state.machines.get(id) else { return Vec::new() };
    let Some(known) = open_at(machine, acted.position) else { return Vec::new() };
    let mut draft = Draft::new(id, machine.clone(), now);
    match acted.outcome {
        Some(outcome) => end(&mut draft, outcome, acted.detail.clone(), acted.dump.clone()),
        None if known.asked => {}
        None => draft.push(Fact::PowerAsked),
    }
    draft.into_events()
}

/// What is seen of an operation whose driver's word was lost with an earlier leader: only evidence counts.
pub(super) fn seen(state: &State, id: &MachineId, looked: &PowerLooked, now: Now) -> Vec<Event> {
    let Some(machine) = state.machines.get(id) else { return Vec::new() };
    let Some(known) = open_at(machine, looked.position) else { return Vec::new() };
    let by_state = match known.task {
        PowerTask::Power(PowerAction::On) => looked.state == PowerState::On,
        PowerTask::Power(PowerAction::Off) => looked.state == PowerState::Off,
        PowerTask::Power(PowerAction::Cycle | PowerAction::Reset | PowerAction::Dump) | PowerTask::Revert => false,
    };
    let outcome = if by_state || has_booted(machine) { PowerOutcome::Done } else { PowerOutcome::Unclear };
    let mut draft = Draft::new(id, machine.clone(), now);
    let half_done = known.task == PowerTask::Power(PowerAction::Cycle) && looked.state == PowerState::Off;
    end(&mut draft, outcome, format!("the service was away; its power is {}", looked.state), None);
    let on = PowerTask::Power(PowerAction::On);
    if half_done && machine.power_order.is_none() && on.is_possible(&machine.settings) {
        draft.push(Fact::PowerOrdered { task: on, actor: "muster, for the other half of a cycle".into() });
    }
    draft.into_events()
}

/// The operation that began there, while it is not known what became of it.
fn open_at(machine: &Machine, position: Position) -> Option<&PowerOperation> {
    machine.power.as_ref().filter(|known| known.is_open() && known.position == position)
}

/// It is in another boot than when the operation began.
fn has_booted(machine: &Machine) -> bool {
    machine.power.as_ref().is_some_and(|known| known.from_boot_id != machine.boot_id)
}

fn end(draft: &mut Draft<'_>, outcome: PowerOutcome, detail: String, dump: Option<Box<Dump>>) {
    let task = draft.machine().power.as_ref().map(|known| known.task);
    draft.push(Fact::PowerEnded { outcome, detail: detail.clone(), dump });
    if task != Some(PowerTask::Revert) || draft.machine().phase != Phase::Reverting {
        return;
    }
    match outcome {
        PowerOutcome::Done | PowerOutcome::Unclear => {
            move_to(draft, Phase::Settling, "it was taken back to its snapshot")
        }
        PowerOutcome::Failed | PowerOutcome::Dropped => {
            move_to(draft, Phase::Dirty, &format!("its revert failed: {detail}"))
        }
    }
    if draft.machine().tenure.stage == Stage::Settled {
        preparation::reverted(draft, outcome);
    }
}
