//! Invariants: which events are legal, and what every state satisfies (I1 epochs, I7 fences, I8 listed transitions).

use muster_model::{BootVerdict, Phase};

use super::limits::MACHINES_MAX;
use super::{Boot, Event, Fact, Holder, Machine, Stage, State, StorageWork};

/// Whether an event may follow in a state.
///
/// # Errors
/// Says which rule it breaks.
pub fn legal(state: &State, event: &Event) -> Result<(), String> {
    let (id, fact) = match event {
        Event::Machine { id, fact } => (id, fact),
        Event::LoadNumberSet { .. } => return Ok(()),
        Event::KernelAdded(kernel) if state.kernels.contains_key(&kernel.name) => {
            return Err(format!("the kernel {} is known already", kernel.name));
        }
        Event::KernelRemoved(name) if !state.kernels.contains_key(name) => {
            return Err(format!("the kernel {name} is not known"));
        }
        Event::HoldSet { held, .. } if *held == state.hold.is_some() => {
            return Err("a hold is set once, and taken away once".into());
        }
        Event::KernelAdded(_) | Event::KernelRemoved(_) | Event::HoldSet { .. } => return Ok(()),
    };
    match (state.machines.get(id), fact) {
        (None, Fact::Added { .. }) if state.machines.len() >= MACHINES_MAX => Err(format!("{id}: too many machines")),
        (None, Fact::Added { .. }) => Ok(()),
        (Some(_), Fact::Added { .. }) => Err(format!("{id} is known already")),
        (None, _) => Err(format!("{id} is not known")),
        (Some(machine), fact) => legal_fact(machine, fact).map_err(|reason| format!("{id}: {reason}")),
    }
}

/// Whether a fact may follow on a machine that is known.
pub(super) fn legal_fact(machine: &Machine, fact: &Fact) -> Result<(), &'static str> {
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    match fact {
        Fact::Added { .. } => Err("it is known already"),
        Fact::Removed => rule(machine.flags.retired, "only a retired machine is removed"),
        Fact::IncarnationGranted { incarnation, .. } => rule(*incarnation > machine.incarnation, "incarnations rise"),
        Fact::DrainingStarted { next, .. } => {
            let fresh = !next.is_same_party(&machine.tenure.holder);
            rule(fresh, "a machine drains towards another holder than it has")
        }
        Fact::EpochRaised { epoch, holder } => {
            rule(*epoch > machine.epoch, "epochs rise")?;
            rule(holder.is_same_party(&machine.tenure.holder), "the epoch is the holder's that was drained for")
        }
        Fact::FenceReported { epoch } => {
            rule(!machine.is_new(), "who never said hello has fenced nothing")?;
            rule(machine.tenure.stage == Stage::Fencing, "a fence is awaited after the epoch rose")?;
            rule(*epoch == machine.epoch, "only the newest epoch is fenced")
        }
        Fact::PhaseChanged { from, to, .. } => {
            rule(*from == machine.phase, "a phase changes from what it is")?;
            rule(from.may_become(*to), "only listed transitions of phase")?;
            rule(
                *to != Phase::Ready || !machine.boot_pending(),
                "who was ordered into a kernel is ready once it is proven",
            )
        }
        Fact::HealthChanged { down } => rule(*down != machine.down, "health crosses the line once"),
        Fact::ProtectionAcknowledged { generation } => {
            rule(*generation > machine.protection_acknowledged, "acknowledgements rise")
        }
        Fact::DeadlineMoved { .. } => rule(machine.tenure.holder != Holder::Pool, "only a reservation has a deadline"),
        Fact::BootObserved { boot_id } => {
            rule(!boot_id.is_empty() && *boot_id != machine.boot_id, "a boot has an id of its own")
        }
        Fact::BootOrdered { .. } => rule(!machine.is_new(), "who never said hello is not booted"),
        Fact::BootAttempted { attempt, announced, .. } => {
            let follows = |boot: &Boot| (boot.is_pending() || *announced) && *attempt == boot.attempt + 1;
            let next = machine.boot.as_ref().is_some_and(follows);
            rule(next, "attempts of a pending boot are counted")
        }
        Fact::BootJudged { verdict, .. } => legal_verdict(machine, *verdict),
        Fact::PowerOrdered { .. } => rule(machine.power_order.is_none(), "one order waits at a time"),
        Fact::PowerOrderDropped { .. } => rule(machine.power_order.is_some(), "what is dropped waited before"),
        Fact::PowerBegun { .. } => {
            rule(!machine.protection.machine, "I13: what is protected is not switched")?;
            let open = machine.is_being_switched();
            rule(!open, "one operation is under way at a time")
        }
        Fact::PowerAsked | Fact::PowerEnded { .. } => {
            let open = machine.is_being_switched();
            rule(open, "an operation ends once, after it began")
        }
        Fact::StorageOrdered(work) => legal_storage(machine, work),
        Fact::StorageEnded { .. } => rule(machine.storage_order().is_some(), "an order ends once, after it was given"),
        Fact::Quarantined { .. } => rule(machine.quarantine.is_none(), "it is quarantined already"),
        Fact::FlagChanged { .. }
        | Fact::InventoryChanged(_)
        | Fact::ProtectionChanged(_)
        | Fact::TagsSet(_)
        | Fact::SettingsChanged(_)
        | Fact::PreparationAsked(_)
        | Fact::BootAnnounced(_)
        | Fact::Claimed(_) => Ok(()),
    }
}

fn legal_verdict(machine: &Machine, verdict: BootVerdict) -> Result<(), &'static str> {
    let fits = |boot: &Boot| match verdict {
        BootVerdict::CrashedBack => !boot.is_pending(),
        BootVerdict::Verified | BootVerdict::WrongKernel | BootVerdict::WrongBuild | BootVerdict::StaleBoot => {
            boot.is_pending()
        }
    };
    let is_legal = machine.boot.as_ref().is_some_and(fits);
    if is_legal { Ok(()) } else { Err("a pending boot is judged, and only a proven one crashes back") }
}

fn legal_storage(machine: &Machine, work: &StorageWork) -> Result<(), &'static str> {
    if machine.shields(&work.resource) {
        return Err("I13: what is protected is not prepared");
    }
    machine.storage_order().map_or(Ok(()), |_| Err("one disk is prepared at a time"))
}

/// What every state satisfies.
///
/// # Errors
/// Names the machine and the invariant.
pub fn check(state: &State) -> Result<(), String> {
    for (id, machine) in &state.machines {
        check_machine(machine).map_err(|rule| format!("{id}: {rule}"))?;
        if state.removed.contains_key(id) {
            return Err(format!("{id}: known and removed at once"));
        }
    }
    Ok(())
}

fn check_machine(machine: &Machine) -> Result<(), &'static str> {
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    rule(machine.fenced_epoch <= machine.epoch, "I1: fenced above its epoch")?;
    match machine.tenure.stage {
        Stage::Settled => {
            let fenced = machine.fenced_epoch == machine.epoch || machine.is_new();
            rule(fenced, "I7: settled although its epoch is not fenced")?;
            let held_unfenced = machine.is_new() && machine.tenure.holder != Holder::Pool;
            rule(!held_unfenced, "I7: held although its agent was never heard")?;
        }
        Stage::Draining { deadline } => {
            rule(deadline > muster_model::PoolTime::NEVER, "I9: it drains without a deadline")?;
        }
        Stage::Fencing => rule(machine.fenced_epoch < machine.epoch, "I7: it awaits a fence that it has")?,
    }
    let used = machine.phase == Phase::Ready && machine.boot_pending();
    rule(!used, "it is ready although the kernel that it was ordered into is not proven")?;
    let both = machine.protection.protected.intersection(&machine.protection.released).next();
    rule(both.is_none(), "I13: protected and released at once")?;
    rule(machine.protection_generation <= machine.generation, "protection is newer than the generation")
}
