//! What a machine that has changed hands is booted into: a reservation's kernel, or its own one again.
//!
//! Responsible for the order that follows from a change of holder. Not for its course (`boot`), nor for what people order (`orders`).

use muster_model::Phase;

use super::boot::{give_up, move_to};
use super::draft::Draft;
use super::orders::{begin, wrong_architecture};
use crate::core::power::PowerTask;
use crate::core::{Cleaning, Fact, Machine};

/// On whose behalf machines are cleaned.
const CLEANER: &str = "service:machine-lifecycle";

/// The machine has a new holder, and nothing older lives on it. What was ordered for the one before is not done any more; a revert that is
/// under way is waited for.
pub(super) fn arrived(draft: &mut Draft<'_>) {
    prepare(draft, true);
}

/// Its revert has ended, and its holder may have changed meanwhile.
pub(super) fn reverted(draft: &mut Draft<'_>) {
    prepare(draft, false);
}

fn prepare(draft: &mut Draft<'_>, is_to_be_cleaned: bool) {
    if draft.machine().power_order.as_ref().is_some_and(|order| order.actor == CLEANER) {
        // It is nobody's before it is clean; what the next holder asked for comes after that.
        return;
    }
    if draft.machine().power_order.is_some() {
        draft.push(Fact::PowerOrderDropped { reason: "the machine changed hands".into() });
    }
    if draft.machine().phase == Phase::Reverting {
        if draft.machine().is_being_switched() {
            return;
        }
        move_to(draft, Phase::Dirty, "its revert was dropped");
    }
    let machine = draft.machine();
    match machine.tenure.holder.reservation() {
        None => clean(draft, is_to_be_cleaned),
        Some(reservation) => {
            let asked = machine.preparation.clone().filter(|asked| asked.reservation == reservation);
            let Some(asked) = asked else { return };
            let objection = objection(machine);
            draft.push(Fact::PreparationAsked(None));
            match (asked.kernel, objection) {
                (Some(kernel), None) => begin(draft, Some(kernel), &asked.nonce),
                (None, _) => refuse(draft, format!("there was no kernel {} when it was granted", asked.name)),
                (Some(_), Some(why)) => refuse(draft, why),
            }
        }
    }
}

/// What the machine's settings say of machines that a reservation gives back; its own kernel where the reservation had it in another.
fn clean(draft: &mut Draft<'_>, is_to_be_cleaned: bool) {
    let machine = draft.machine();
    let cleaning = if is_to_be_cleaned { machine.settings.cleaning } else { Cleaning::None };
    let epoch = machine.epoch;
    let may_touch = !machine.protection.machine;
    if cleaning == Cleaning::Revert && may_touch && PowerTask::Revert.is_possible(&machine.settings) {
        draft.push(Fact::PowerOrdered { task: PowerTask::Revert, actor: CLEANER.into() });
        if draft.machine().phase.may_become(Phase::Reverting) {
            move_to(draft, Phase::Reverting, "a reservation gave it back");
        }
        return;
    }
    let reboots = cleaning == Cleaning::Reboot && may_touch && machine.settings.boot_driver.is_some();
    if reboots || is_left_in_a_kernel(machine) {
        let nonce = machine.boot.as_ref().map_or_else(|| format!("{:016x}", epoch.0), |boot| boot.nonce.clone());
        begin(draft, None, &nonce);
    }
}

/// What a reservation ordered it into is nobody's once the reservation is over.
fn is_left_in_a_kernel(machine: &Machine) -> bool {
    let ordered = machine.boot.as_ref().is_some_and(|boot| boot.reservation.is_some() && boot.kernel.is_some());
    ordered && machine.settings.boot_driver.is_some() && !machine.protection.machine
}

/// Why it can not be booted into the kernel that was asked for.
fn objection(machine: &Machine) -> Option<String> {
    if machine.protection.machine {
        return Some("it is protected as a whole".into());
    }
    if machine.settings.boot_driver.is_none() {
        return Some("it has no boot driver".into());
    }
    if let Some(why) = machine.settings.lacks_for_boot() {
        return Some(why.into());
    }
    let asked = machine.preparation.as_ref().and_then(|asked| asked.kernel.as_deref())?;
    wrong_architecture(machine, asked)
}

/// It is as useful to the reservation as a machine that was given up, which it goes on without.
fn refuse(draft: &mut Draft<'_>, why: String) {
    let from = draft.machine().phase;
    if from.may_become(Phase::Offline) || from == Phase::Ready {
        give_up(draft, why);
    } else {
        move_to(draft, Phase::Dirty, &why);
        move_to(draft, Phase::Offline, &why);
    }
}
