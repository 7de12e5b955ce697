//! Folds events. What is not legal (see `check`) has no effect: no log, whoever wrote it, can bring a state that breaks a rule.

use muster_ledger::At;
use muster_model::{Epoch, Phase, PoolTime};

use super::flakiness::remember;
use super::power::{Hold, PowerOperation, PowerOrder, PowerOutcome, PowerTask};
use super::{Boot, Event, Fact, Holder, Machine, Past, Stage, State, StorageOrder, StorageWork, check};

/// Folds one event.
pub(super) fn apply(state: &mut State, event: &Event, at: &At<'_>) {
    if check::legal(state, event).is_err() {
        return;
    }
    match event {
        Event::LoadNumberSet { key, load } => {
            state.load_numbers.insert(key.clone(), *load);
        }
        Event::KernelAdded(kernel) => {
            state.kernels.insert(kernel.name.clone(), kernel.clone());
        }
        Event::KernelRemoved(name) => {
            state.kernels.remove(name);
        }
        Event::HoldSet { held, actor, reason } => {
            let hold = Hold { actor: actor.clone(), reason: reason.clone(), since: at.time };
            state.hold = held.then_some(hold);
        }
        Event::Machine { id, fact: fact @ Fact::Added { .. } } => {
            let mut machine = Machine::after(state.removed.remove(id));
            apply_fact(&mut machine, fact, at);
            state.machines.insert(id.clone(), machine);
        }
        Event::Machine { id, fact: Fact::Removed } => {
            if let Some(machine) = state.machines.remove(id) {
                let past = Past { epoch: machine.epoch, incarnation: machine.incarnation };
                state.removed.insert(id.clone(), past);
            }
        }
        Event::Machine { id, fact } => {
            if let Some(machine) = state.machines.get_mut(id) {
                apply_fact(machine, fact, at);
            }
        }
    }
}

/// Folds one fact into its machine. A change of what the agent is to know moves the generation.
pub(super) fn apply_fact(machine: &mut Machine, fact: &Fact, at: &At<'_>) {
    remember(machine, fact, at.time);
    match fact {
        Fact::Added { protect, tags } => {
            machine.protection.rules.clone_from(protect);
            machine.tags.clone_from(tags);
            machine.generation = at.position;
            machine.protection_generation = at.position;
        }
        Fact::FlagChanged { flag, value } => machine.flags.set(*flag, *value),
        // Its state is dropped as a whole, by `apply`.
        Fact::Removed => {}
        Fact::IncarnationGranted { incarnation, boot_id, agent_version, fenced_epoch: _, last_batch, went_back: _ } => {
            machine.incarnation = *incarnation;
            machine.last_batch = *last_batch;
            machine.boot_id.clone_from(boot_id);
            machine.agent_version.clone_from(agent_version);
        }
        Fact::InventoryChanged(inventory) => machine.inventory = Some(inventory.clone()),
        Fact::ProtectionChanged(protection) => {
            machine.protection.clone_from(protection);
            machine.generation = at.position;
            machine.protection_generation = at.position;
        }
        Fact::ProtectionAcknowledged { generation } => machine.protection_acknowledged = *generation,
        Fact::DrainingStarted { next, deadline } => {
            machine.tenure.holder.clone_from(next);
            machine.tenure.stage = Stage::Draining { deadline: *deadline };
            machine.generation = at.position;
        }
        Fact::EpochRaised { epoch, holder } => raise_epoch(machine, *epoch, holder, at),
        Fact::FenceReported { epoch } => {
            machine.fenced_epoch = *epoch;
            machine.tenure.stage = Stage::Settled;
        }
        Fact::PhaseChanged { from, to, reason } => {
            machine.phase = *to;
            if [from, to].iter().any(|phase| matches!(phase, Phase::Reverting | Phase::Settling)) {
                // Its agent refuses starts while it is taken back.
                machine.generation = at.position;
            }
            machine.quarantine = None;
            enter_phase(machine, reason, at.time);
        }
        Fact::HealthChanged { down } => machine.down = *down,
        Fact::DeadlineMoved { deadline } => {
            machine.tenure.holder.move_deadline(*deadline);
            machine.generation = at.position;
        }
        Fact::TagsSet(tags) => machine.tags.clone_from(tags),
        Fact::Quarantined { reason } => machine.quarantine = Some(reason.clone()),
        Fact::BootObserved { boot_id } => (machine.boot_id, machine.announced) = (boot_id.clone(), None),
        Fact::BootAnnounced(announced) => machine.announced.clone_from(announced),
        Fact::Claimed(claim) => machine.claim.clone_from(claim),
        Fact::PreparationAsked(preparation) => machine.preparation.clone_from(preparation),
        Fact::SettingsChanged(settings) => machine.settings.clone_from(&**settings),
        Fact::PowerOrdered { .. }
        | Fact::PowerOrderDropped { .. }
        | Fact::PowerBegun { .. }
        | Fact::PowerAsked
        | Fact::PowerEnded { .. } => apply_power(machine, fact, at),
        Fact::StorageOrdered(_) | Fact::StorageEnded { .. } => apply_storage(machine, fact, at),
        Fact::BootOrdered { .. } | Fact::BootAttempted { .. } | Fact::BootJudged { .. } => {
            apply_boot(machine, fact, at);
            machine.generation = at.position;
        }
    }
}

fn raise_epoch(machine: &mut Machine, epoch: Epoch, holder: &Holder, at: &At<'_>) {
    machine.given_back = match machine.tenure.stage {
        Stage::Draining { .. } => holder.reservation().is_none(),
        // It does not change hands: its agent has lost a fence, or has one that nobody knows of.
        Stage::Settled => false,
        Stage::Fencing => machine.given_back,
    };
    machine.epoch = epoch;
    machine.tenure.holder.clone_from(holder);
    machine.tenure.stage = Stage::Fencing;
    machine.generation = at.position;
}

/// A pending boot counts its time from here on, and the boot that it has to differ from is the one that is to end.
fn enter_phase(machine: &mut Machine, reason: &str, now: PoolTime) {
    let Some(boot) = machine.boot.as_mut().filter(|boot| boot.is_pending()) else { return };
    reason.clone_into(&mut boot.reason);
    boot.since = now;
    if machine.phase == Phase::Rebooting {
        boot.from_boot_id.clone_from(&machine.boot_id);
    }
}

fn apply_power(machine: &mut Machine, fact: &Fact, at: &At<'_>) {
    match (fact, &mut machine.power) {
        (Fact::PowerOrdered { task, actor }, _) => {
            machine.power_order = Some(PowerOrder { task: *task, actor: actor.clone(), since: at.time });
        }
        (Fact::PowerOrderDropped { reason }, power) => {
            let dropped = machine.power_order.take().filter(|order| order.task == PowerTask::Revert);
            if let Some(order) = dropped {
                // Nothing was done: what waited for it can go on as before.
                let operation = PowerOperation {
                    outcome: Some(PowerOutcome::Dropped),
                    detail: reason.clone(),
                    ended: at.time,
                    ..begun(order.task, &order.actor, &machine.boot_id, at)
                };
                *power = Some(operation);
            }
        }
        (Fact::PowerBegun { task, reason }, power) => {
            *power = Some(begun(*task, reason, &machine.boot_id, at));
            machine.power_order = None;
            if let Some(boot) = machine.boot.as_mut().filter(|boot| boot.is_pending()) {
                boot.escalations += u32::from(task.is_rung());
                boot.since = at.time;
            }
        }
        (Fact::PowerAsked, Some(power)) => power.asked = true,
        (Fact::PowerEnded { outcome, detail, dump: _ }, Some(power)) => {
            (power.outcome, power.ended) = (Some(*outcome), at.time);
            power.detail.clone_from(detail);
        }
        (_, _) => {}
    }
}

fn begun(task: PowerTask, reason: &str, boot_id: &str, at: &At<'_>) -> PowerOperation {
    PowerOperation {
        position: at.position,
        task,
        reason: reason.to_owned(),
        begun: at.time,
        from_boot_id: boot_id.to_owned(),
        asked: false,
        outcome: None,
        detail: String::new(),
        ended: PoolTime::NEVER,
    }
}

fn apply_storage(machine: &mut Machine, fact: &Fact, at: &At<'_>) {
    match (fact, &mut machine.storage) {
        (Fact::StorageOrdered(work), _) => machine.storage = Some(storage_ordered(work, machine, at)),
        (Fact::StorageEnded { outcome, detail }, Some(order)) => {
            (order.outcome, order.ended) = (Some(*outcome), at.time);
            order.detail.clone_from(detail);
        }
        (_, _) => {}
    }
}

fn storage_ordered(work: &StorageWork, machine: &Machine, at: &At<'_>) -> StorageOrder {
    StorageOrder {
        position: at.position,
        work: work.clone(),
        epoch: machine.epoch,
        boot_id: machine.boot_id.clone(),
        since: at.time,
        outcome: None,
        detail: String::new(),
        ended: PoolTime::NEVER,
    }
}

fn apply_boot(machine: &mut Machine, fact: &Fact, at: &At<'_>) {
    match (fact, &mut machine.boot) {
        (Fact::BootOrdered { kernel, nonce, reservation }, boot) => {
            *boot = Some(Boot {
                order: at.position,
                kernel: kernel.clone(),
                nonce: nonce.clone(),
                reservation: *reservation,
                escalations: 0,
                excused: 0,
                attempt: 1,
                verdict: None,
                reason: String::new(),
                since: at.time,
                from_boot_id: machine.boot_id.clone(),
            });
        }
        (Fact::BootAttempted { attempt, reason, announced }, Some(boot)) => {
            (boot.attempt, boot.escalations) = (*attempt, 0);
            if *announced {
                boot.excused += 1;
                boot.verdict = None;
            }
            boot.since = at.time;
            boot.reason.clone_from(reason);
            boot.from_boot_id.clone_from(&machine.boot_id);
        }
        (Fact::BootJudged { verdict, reason }, Some(boot)) => {
            boot.verdict = Some(*verdict);
            boot.reason.clone_from(reason);
        }
        (_, _) => {}
    }
}
