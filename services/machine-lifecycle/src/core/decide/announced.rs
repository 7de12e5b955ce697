//! Tests that announce that their machine goes away. The scheduler says whether they may; here it is only known, so that the machine is not
//! taken for a hanging or a flaky one while it is awaited.

use std::time::Duration;

use muster_ledger::Now;
use muster_model::{Absence, MachineId, ProcessId};

use super::draft::Draft;
use crate::core::{Announcement, Event, Fact, Hello, State};

/// Takes an announcement of the present boot, or its end. Of several the one that is awaited longest counts.
pub(super) fn announced(
    state: &State,
    id: &MachineId,
    (process, boot_id): (ProcessId, &str),
    absence: Option<(Absence, Duration)>,
    now: Now,
) -> Vec<Event> {
    let Some(machine) = state.machines.get(id).filter(|machine| machine.boot_id == boot_id) else { return Vec::new() };
    let mut draft = Draft::new(id, machine.clone(), now);
    match absence {
        Some((absence, within)) => {
            let until = now.time + within.clamp(Absence::WITHIN_MIN, Absence::WITHIN_MAX);
            let is_longer = machine.announced.as_ref().is_none_or(|known| known.until < until);
            if is_longer {
                draft.push(Fact::BootAnnounced(Some(Announcement { process, absence, until })));
            }
        }
        None if machine.announced.as_ref().is_some_and(|known| known.process == process) => {
            draft.push(Fact::BootAnnounced(None));
        }
        None => {}
    }
    draft.into_events()
}

/// An agent that is back says what was announced of its last boot: its report may still be on its way.
pub(super) fn of_hello(draft: &mut Draft<'_>, hello: &Hello, new_boot: bool) {
    let Some((announced, boot_id)) = &hello.announced else { return };
    let machine = draft.machine();
    if new_boot && machine.boot_id == *boot_id && machine.announced.is_none() {
        draft.push(Fact::BootAnnounced(Some(announced.clone())));
    }
}
