//! An agent's hello: a fresh incarnation, logged before it is answered, and everything that its words change.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_ledger::{Decision, Now};
use muster_model::{Epoch, Incarnation, MachineId, Phase, Refusal, RefusalCode};

use super::draft::Draft;
use super::{Decided, announced, boot, flaky, tenure};
use crate::core::limits::{AHEAD_MAX, MACHINES_MAX, RESOURCES_MAX};
use crate::core::{Desired, Event, Fact, Hello, Holder, Inventory, Machine, Observed, Reply, Stage, State, desired_of};

/// Decides a hello.
///
/// # Errors
/// When it lacks what a hello needs, or the pool is full.
pub(super) fn hello(state: &State, observed: &Observed, hello: &Hello, now: Now) -> Decided {
    check_words(state, hello)?;
    let known = state.machines.get(&hello.machine);
    let mut draft = match known {
        Some(machine) => Draft::new(&hello.machine, machine.clone(), now),
        None => {
            let machine = Machine::after(state.removed.get(&hello.machine).copied());
            let mut draft = Draft::new(&hello.machine, machine, now);
            draft.push(Fact::Added { protect: BTreeSet::new(), tags: BTreeSet::new() });
            draft
        }
    };
    let first = draft.machine().is_new();
    let new_boot = !first && draft.machine().boot_id != hello.boot_id;
    announced::of_hello(&mut draft, hello, new_boot);
    let was_announced = draft.machine().is_awaited(now.time);
    if new_boot {
        draft.push(Fact::BootObserved { boot_id: hello.boot_id.clone() });
    }
    let incarnation = draft.machine().incarnation.max(hello.last_incarnation).next();
    draft.push(Fact::IncarnationGranted {
        incarnation,
        boot_id: hello.boot_id.clone(),
        agent_version: hello.agent_version.clone(),
        fenced_epoch: hello.fenced_epoch,
        last_batch: hello.last_batch,
        went_back: went_back(draft.machine(), observed, hello),
    });
    if let Some(found) = &hello.inventory {
        probe(&mut draft, found);
    }
    fence(&mut draft, hello.fenced_epoch, first);
    boot::greeted(&mut draft, hello, new_boot, was_announced);
    settle_phase(&mut draft, new_boot);
    flaky::look(&mut draft);
    let (machine, events) = draft.into_parts();
    Ok(Decision { events, reply: Some(Reply::Hello(answer(&machine, now))) })
}

fn check_words(state: &State, hello: &Hello) -> Result<(), Refusal> {
    let what = format!("hello of {}", hello.machine);
    let invalid = |why: &str| Refusal::new(RefusalCode::Invalid, &what, why, "update the node agent on this machine");
    if hello.boot_id.is_empty() {
        return Err(invalid("it does not say its boot id"));
    }
    if hello.inventory.as_ref().is_some_and(|inventory| inventory.resources.len() > RESOURCES_MAX) {
        return Err(invalid("its inventory has too many resources"));
    }
    let known = state.machines.get(&hello.machine);
    let (epoch, incarnation) = known.map_or((0, 0), |machine| (machine.epoch.0, machine.incarnation.0));
    if [(hello.fenced_epoch.0, epoch), (hello.last_incarnation.0, incarnation)]
        .iter()
        .any(|(said, known)| *said > known.saturating_add(AHEAD_MAX))
    {
        return Err(invalid("its epoch or incarnation is further above the log's than any log was ever behind"));
    }
    if known.is_none() && state.machines.len() >= MACHINES_MAX {
        let why = format!("the pool has {MACHINES_MAX} machines");
        let next = "remove retired machines, or begin a second pool";
        return Err(Refusal::new(RefusalCode::Limit, what, why, next));
    }
    Ok(())
}

/// An agent that knows less than it has said before was taken back by a snapshot, or has another disk. It is only noted: the word of a
/// hello that was long on its way reads the same, and must end nothing. What was lost is found by its fence, by its hello to the
/// scheduler, and by what it knows of processes.
fn went_back(machine: &Machine, observed: &Observed, hello: &Hello) -> bool {
    let heard = observed.newest(&hello.machine).map(|seen| &seen.heartbeat);
    let (incarnation, stored) =
        heard.map_or((Incarnation(0), 0), |heartbeat| (heartbeat.incarnation, heartbeat.stored));
    hello.last_batch < machine.last_batch.max(stored) || hello.last_incarnation < incarnation
}

/// Probing found something else between two hellos. A batch that was written before the last hello is older than what that said.
pub(super) fn probed(
    state: &State,
    id: &MachineId,
    (incarnation, batch): (Incarnation, u64),
    found: &Arc<Inventory>,
    now: Now,
) -> Vec<Event> {
    let Some(machine) = state.machines.get(id) else { return Vec::new() };
    if incarnation > machine.incarnation || batch <= machine.last_batch || found.resources.len() > RESOURCES_MAX {
        return Vec::new();
    }
    let mut draft = Draft::new(id, machine.clone(), now);
    probe(&mut draft, found);
    draft.into_events()
}

/// What was found, and the protection that follows from it.
fn probe(draft: &mut Draft<'_>, found: &Arc<Inventory>) {
    if draft.machine().inventory.as_ref() != Some(found) {
        draft.push(Fact::InventoryChanged(found.clone()));
    }
    let protection = draft.machine().protection.after_probing(found);
    if protection != draft.machine().protection {
        draft.push(Fact::ProtectionChanged(protection));
    }
}

/// The epoch rises at the first hello, above a fence that a lost log does not know of, and when the fence was lost (a snapshot or a
/// new disk took the agent back): whatever came back to life with it is of an older epoch, and ended.
fn fence(draft: &mut Draft<'_>, fenced: Epoch, first: bool) {
    let machine = draft.machine();
    let settled = machine.tenure.stage == Stage::Settled;
    let unknown_fence = fenced > machine.epoch;
    let lost_fence = settled && fenced < machine.fenced_epoch;
    if unknown_fence || lost_fence || (first && settled) {
        let epoch = machine.epoch.max(fenced).next();
        let holder = machine.tenure.holder.clone();
        debug_assert!(!first || !settled || holder == Holder::Pool, "a machine without a hello is held by nobody");
        // Where it was draining, what ran is ended by this fence: nothing is left to wait for.
        draft.push(Fact::EpochRaised { epoch, holder });
    } else {
        tenure::take_fence(draft, fenced);
    }
}

/// Who was not ordered into a kernel is ready when it says hello. A quarantine ends with a new boot.
fn settle_phase(draft: &mut Draft<'_>, new_boot: bool) {
    let machine = draft.machine();
    let from = machine.phase;
    let explained = machine.quarantine.is_none() || new_boot;
    if explained && !machine.boot_pending() && matches!(from, Phase::Dirty | Phase::Settling | Phase::Offline) {
        flaky::become_ready(draft, "its agent said hello");
    }
}

/// The answer. A generation of this very turn is not claimed yet: another decision of the same turn may still change what is
/// wanted under the same number; the agent gets that number with the complete state right after.
fn answer(machine: &Machine, now: Now) -> Desired {
    let mut desired = desired_of(machine);
    if desired.generation == now.position {
        desired.generation.sequence.0 = now.position.sequence.0.saturating_sub(1);
    }
    desired
}
