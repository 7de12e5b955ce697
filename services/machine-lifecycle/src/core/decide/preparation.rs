//! What is done to a machine that has changed hands: a reservation's image, then its kernel; or its own ones again.
//!
//! Responsible for the orders that follow from a change of holder. Not for their course (`boot`, `power`), nor for what people order
//! (`orders`).

use muster_model::{Phase, SnapshotName};

use super::boot::{give_up, move_to};
use super::draft::Draft;
use super::orders::{begin, wrong_architecture};
use super::power::ordered_by;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{Cleaning, Fact, Machine, Preparation, PreparedKernel};

/// On whose behalf machines are cleaned.
const CLEANER: &str = "service:machine-lifecycle";

/// The machine has a new holder, and nothing older lives on it. What was ordered for the one before is not done any more; a revert that is
/// under way is waited for.
pub(super) fn arrived(draft: &mut Draft<'_>) {
    prepare(draft, None);
}

/// Its revert has ended, and its holder may have changed meanwhile.
pub(super) fn reverted(draft: &mut Draft<'_>, outcome: PowerOutcome) {
    prepare(draft, Some(outcome));
}

fn prepare(draft: &mut Draft<'_>, reverted: Option<PowerOutcome>) {
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
        // One whose agent has lost its fence arrives as well, and is not given back by that.
        None => {
            let is_given_back = machine.given_back && reverted.is_none();
            clean(draft, is_given_back);
        }
        Some(reservation) => {
            let asked = machine.preparation.clone().filter(|asked| asked.reservation == reservation);
            let Some(asked) = asked else { return };
            match (objection(machine, &asked), &asked.image) {
                (Some(why), _) => refuse(draft, why),
                (None, Some(image)) => {
                    let reverted = reverted.or_else(|| is_restored(machine, &asked).then_some(PowerOutcome::Done));
                    restore(draft, &asked, image, reverted);
                }
                (None, None) => boot(draft, &asked),
            }
        }
    }
}

/// Takes it back to its image, and boots it once that is done. Nobody had it since a revert that ended while it was on its way.
fn restore(draft: &mut Draft<'_>, asked: &Preparation, image: &SnapshotName, reverted: Option<PowerOutcome>) {
    match reverted {
        Some(PowerOutcome::Done) => boot(draft, asked),
        Some(PowerOutcome::Failed | PowerOutcome::Dropped) => {
            let detail = draft.machine().power.as_ref().map(|known| known.detail.clone()).unwrap_or_default();
            refuse(draft, format!("it was not taken back to {image}: {detail}"));
        }
        // What nobody has seen done is done again: it comes to the same.
        Some(PowerOutcome::Unclear) | None => {
            draft.push(Fact::PowerOrdered { task: PowerTask::Revert, actor: actor(asked) });
            move_to(draft, Phase::Reverting, &format!("reservation {} wants {image}", asked.reservation));
        }
    }
}

/// On whose behalf a machine is taken back to an image.
fn actor(asked: &Preparation) -> String {
    format!("reservation {}", asked.reservation)
}

/// It was taken back for this reservation, and its agent came back with an older fence before that was known to have ended.
fn is_restored(machine: &Machine, asked: &Preparation) -> bool {
    machine.power.as_ref().is_some_and(|known| {
        let is_done = known.task == PowerTask::Revert && known.outcome == Some(PowerOutcome::Done);
        is_done && known.reason == ordered_by(&actor(asked))
    })
}

fn boot(draft: &mut Draft<'_>, asked: &Preparation) {
    draft.push(Fact::PreparationAsked(None));
    if let Some(PreparedKernel { kernel: Some(kernel), nonce, .. }) = &asked.kernel {
        begin(draft, Some(kernel.clone()), nonce);
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

/// Why it can not be prepared as it was asked for.
fn objection(machine: &Machine, asked: &Preparation) -> Option<String> {
    if machine.protection.machine {
        return Some("it is protected as a whole".into());
    }
    if let Some(image) = &asked.image {
        if !machine.settings.snapshot.as_ref().is_some_and(|snapshot| snapshot.is_called(image)) {
            return Some(format!("its setting `snapshot=` does not name {image}"));
        }
        if matches!(machine.phase, Phase::Rebooting | Phase::Verifying | Phase::Offline) {
            return Some(format!("it is {}, and can not be taken back to {image} now", machine.phase));
        }
    }
    let asked = asked.kernel.as_ref()?;
    let Some(kernel) = asked.kernel.as_deref() else {
        return Some(format!("there was no kernel {} when it was granted", asked.name));
    };
    if machine.settings.boot_driver.is_none() {
        return Some("it has no boot driver".into());
    }
    if let Some(why) = machine.settings.lacks_for_boot() {
        return Some(why.into());
    }
    wrong_architecture(machine, kernel)
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
    // Last, so that nobody takes it for prepared in between.
    draft.push(Fact::PreparationAsked(None));
}
