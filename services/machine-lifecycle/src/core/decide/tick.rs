//! Timers, and the repair by the full pass over what heartbeats say.

use muster_ledger::Now;
use muster_model::Phase;

use super::draft::Draft;
use super::{boot, flaky, power, protect, storage, tenure};
use crate::core::health::{Health, brake, health_of, may_judge};
use crate::core::limits::{DEADLINE_GRACE, OLD_HEARTBEATS_MAX, RECOVER_AFTER, TICK_FACTS_MAX};
use crate::core::rails::Rails;
use crate::core::{Event, Fact, Machine, Observed, Seen, Stage, State};

/// Decides everything that is due. What does not fit waits for the next tick.
pub(super) fn tick(state: &State, observed: &Observed, now: Now) -> Vec<Event> {
    let braked = brake(state, observed, now.time);
    let may_judge = may_judge(observed, now.time);
    let may_be_late = may_judge && !braked;
    // Counting all machines is for a tick in which something may be switched.
    let mut rails = None;
    let mut events = Vec::new();
    for (id, machine, newest) in observed.along(state) {
        if events.len() >= TICK_FACTS_MAX {
            break;
        }
        let health = health_of(newest, may_judge, now.time);
        let seen = newest.filter(|seen| seen.is_of(machine));
        let due = boot::due((id, machine), seen, observed, may_be_late, now);
        let down_for_long = may_be_late && is_down_for_long(machine, newest, now);
        let waits = matches!(machine.phase, Phase::Dirty | Phase::Offline | Phase::Settling);
        let needs_power = machine.power_order.is_some() || down_for_long || waits;
        let storage_failure = storage::failure(machine, seen, now);
        if due.is_none() && storage_failure.is_none() && !needs_power && is_quiet(machine, seen, health, braked, now) {
            continue;
        }
        let mut draft = Draft::new(id, machine.clone(), now);
        let rails = rails.get_or_insert_with(|| Rails::of(state, now.time));
        if let Some(due) = due {
            boot::advance(&mut draft, due, rails, health == Health::Up);
        }
        if let Some(why) = storage_failure {
            storage::fail(&mut draft, why);
        }
        look(&mut draft, seen, health, braked);
        if needs_power {
            let is_empty = seen.is_none_or(|seen| seen.is_drained(machine));
            let stands = power::Stands { is_up: health == Health::Up, is_empty, down_for_long };
            power::look(&mut draft, rails, stands);
        }
        events.extend(draft.into_events());
    }
    events
}

/// It takes part, and nothing was heard of it for so long that it hangs.
fn is_down_for_long(machine: &Machine, newest: Option<&Seen>, now: Now) -> bool {
    let silent = newest.is_none_or(|seen| now.time.since(seen.at) >= RECOVER_AFTER);
    machine.down
        && silent
        && !machine.is_awaited(now.time)
        && machine.flags.takes_part()
        && machine.settings.power.is_some()
        && !machine.settings.leave_down
}

/// Nothing can be due: the common case, decided without copying the machine.
fn is_quiet(machine: &Machine, seen: Option<&Seen>, health: Health, braked: bool, now: Now) -> bool {
    machine.tenure.stage == Stage::Settled
        && !deadline_passed(machine, now)
        && !machine.protection_pending()
        && health_change(machine, health, braked).is_none()
        && seen.is_none_or(|seen| seen.old_heartbeats < OLD_HEARTBEATS_MAX)
}

fn look(draft: &mut Draft<'_>, seen: Option<&Seen>, health: Health, braked: bool) {
    if let Some(down) = health_change(draft.machine(), health, braked) {
        draft.push(Fact::HealthChanged { down });
        if !down {
            flaky::look(draft);
        }
    }
    if let Some(seen) = seen {
        tenure::take_fence(draft, seen.heartbeat.fenced_epoch);
        protect::acknowledge(draft, seen.heartbeat.generation);
        quarantine_twins(draft, seen);
    }
    if deadline_passed(draft.machine(), draft.now()) {
        tenure::return_to_pool(draft);
    }
    raise_epoch_if_drained(draft, seen.filter(|_| health == Health::Up));
}

/// The verdict to log, if it differs from the one that is logged. Under the brake no machine is called down, nor while it reboots.
fn health_change(machine: &Machine, health: Health, braked: bool) -> Option<bool> {
    match health {
        Health::Up => machine.down.then_some(false),
        Health::Down if braked || machine.down || machine.is_new() || machine.flags.retired => None,
        Health::Down if machine.phase == Phase::Rebooting => None,
        Health::Down => Some(true),
        Health::Silent | Health::Unknown => None,
    }
}

/// reservation ends what is over, and the agent does so alone if it must; this is the second of the three.
fn deadline_passed(machine: &Machine, now: Now) -> bool {
    let deadline = machine.tenure.holder.deadline();
    deadline.is_due(now.time) && (deadline + DEADLINE_GRACE).is_due(now.time)
}

/// Drained: the agent knows of it (its generation says so), refuses starts, and nothing lives. Or the deadline is there: then the
/// fence ends what is left, and no other service needs to be alive.
fn raise_epoch_if_drained(draft: &mut Draft<'_>, seen: Option<&Seen>) {
    let machine = draft.machine();
    let Stage::Draining { deadline } = machine.tenure.stage else { return };
    let empty = seen.is_some_and(|seen| seen.is_drained(machine));
    if empty || deadline.is_due(draft.now().time) {
        let (epoch, holder) = (machine.epoch.next(), machine.tenure.holder.clone());
        draft.push(Fact::EpochRaised { epoch, holder });
    }
}

/// Two agents claim one machine: nothing on it can be trusted.
fn quarantine_twins(draft: &mut Draft<'_>, seen: &Seen) {
    let machine = draft.machine();
    if seen.old_heartbeats < OLD_HEARTBEATS_MAX || machine.quarantine.is_some() {
        return;
    }
    let (from, to) = (machine.phase, Phase::Dirty);
    let reason = "two agents say that they are this machine; stop one of them, then activate it again";
    if from.may_become(to) {
        draft.push(Fact::PhaseChanged { from, to, reason: reason.into() });
    }
    draft.push(Fact::Quarantined { reason: reason.into() });
}
