//! What people order: how machines are booted, and into which kernel. All machines of an order, or none.

use std::sync::Arc;
use std::time::Duration;

use muster_ledger::Now;
use muster_model::{MachineId, Phase, Refusal, RefusalCode, Selector};

use super::boot::start_over;
use super::commands::selected;
use super::draft::Draft;
use super::{Changes, Decided, kernels};
use crate::core::health::{Health, health};
use crate::core::limits::{ATTEMPTS_MAX, BOOTS_MAX, WITHIN_MAX};
use crate::core::{BootOrder, Fact, Holder, Kernel, Machine, Observed, Settings, SettingsChange, Stage, State};

/// Changes how machines are booted.
///
/// # Errors
/// When no machine is named, or a value is out of range.
pub(super) fn set_settings(state: &State, selector: &Selector, change: &SettingsChange, now: Now) -> Decided {
    let what = format!("set how {selector} is booted");
    check_settings(change, &what)?;
    let mut changes = Changes::default();
    for (id, machine) in selected(state, selector, &what)? {
        let mut draft = Draft::new(id, machine.clone(), now);
        change_settings(&mut draft, change);
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

/// Changes the settings of one machine, if they become others.
pub(super) fn change_settings(draft: &mut Draft<'_>, change: &SettingsChange) {
    let settings = change.on(&draft.machine().settings);
    if settings != draft.machine().settings {
        draft.push(Fact::SettingsChanged(Box::new(settings)));
    }
}

/// Says which value of a change is out of range.
pub(super) fn check_settings(change: &SettingsChange, what: &str) -> Result<(), Refusal> {
    let invalid = |why: String, next: String| Err(Refusal::new(RefusalCode::Invalid, what, why, next));
    if change.attempts_max.is_some_and(|attempts| attempts > ATTEMPTS_MAX) {
        return invalid(
            "these are too many attempts".into(),
            format!("give 1 to {ATTEMPTS_MAX}, or 0 for the default"),
        );
    }
    let spans = [change.install_within, change.boot_within, change.drain];
    if let Some(span) = spans.into_iter().flatten().find(|span| *span > WITHIN_MAX) {
        return invalid(format!("{span:?} is too long"), format!("give at most {WITHIN_MAX:?}, or 0 for the default"));
    }
    Ok(())
}

impl SettingsChange {
    /// The settings after the change: what is not given stays, what is nothing becomes the default.
    fn on(&self, before: &Settings) -> Settings {
        let defaults = Settings::default();
        let span = |given: Option<Duration>, before: Duration, default: Duration| match given {
            None => before,
            Some(Duration::ZERO) => default,
            Some(span) => span,
        };
        Settings {
            boot_driver: self.boot_driver.unwrap_or(before.boot_driver),
            attempts_max: match self.attempts_max {
                None => before.attempts_max,
                Some(0) => defaults.attempts_max,
                Some(attempts) => attempts,
            },
            install_within: span(self.install_within, before.install_within, defaults.install_within),
            boot_within: span(self.boot_within, before.boot_within, defaults.boot_within),
            drain: span(self.drain, before.drain, defaults.drain),
            power: self.power.clone().unwrap_or_else(|| before.power.clone()),
            snapshot: self.snapshot.clone().unwrap_or_else(|| before.snapshot.clone()),
            leave_down: self.leave_down.unwrap_or(before.leave_down),
            cleaning: self.cleaning.unwrap_or(before.cleaning),
        }
    }
}

/// Orders machines into a kernel, or back into their stock kernel.
///
/// # Errors
/// When one of them may not be booted now; then none is.
pub(super) fn boot(state: &State, observed: &Observed, order: &BootOrder, now: Now) -> Decided {
    let kernel = match &order.kernel {
        Some(name) => {
            let what = format!("boot {} into {name}", order.selector);
            Some(Arc::new(kernels::known(state, name, &what)?.clone()))
        }
        None => None,
    };
    let target = kernel.as_ref().map_or("the stock kernel".to_owned(), |kernel| kernel.name.to_string());
    let machines = selected(state, &order.selector, &format!("boot {} into {target}", order.selector))?;
    if machines.len() > BOOTS_MAX {
        let why = format!("these are {} machines, and {BOOTS_MAX} go in one order", machines.len());
        return Err(Refusal::new(RefusalCode::Limit, "boot machines", why, "order them in parts, by name or tag"));
    }
    let mut changes = Changes::default();
    for (id, machine) in machines {
        let what = format!("boot {id} into {target}");
        may_boot(id, machine, &order.actor, kernel.as_deref())
            .and_then(|()| is_heard(id, health(observed, id, now.time)))
            .map_err(|(why, next)| Refusal::new(RefusalCode::Refused, what, why, next))?;
        let mut draft = Draft::new(id, machine.clone(), now);
        begin(&mut draft, kernel.clone(), &order.nonce);
        changes.take(id, draft.into_events());
    }
    Ok(changes.into_decision(now))
}

/// Begins the first attempt of an order.
pub(super) fn begin(draft: &mut Draft<'_>, kernel: Option<Arc<Kernel>>, nonce: &str) {
    let reason = kernel.as_ref().map_or("ordered into the stock kernel".into(), |kernel| {
        format!("ordered into {} ({})", kernel.name, kernel.release)
    });
    let reservation = draft.machine().tenure.holder.reservation();
    draft.push(Fact::BootOrdered { kernel, nonce: nonce.to_owned(), reservation });
    start_over(draft, &reason);
}

pub(super) type Objection = (String, String);

/// Protection and people come first: why a machine may not be touched at all, and what to do about it.
pub(super) fn may_touch(id: &MachineId, machine: &Machine, actor: &str) -> Result<(), Objection> {
    let object = |why: &str, next: String| Err((why.to_owned(), next));
    if machine.protection.machine {
        return object("it is protected as a whole", format!("`muster resource release {id} --machine` first"));
    }
    if machine.flags.retired {
        return object("it is retired", format!("`muster machine retire {id} --undo` first"));
    }
    if !machine.flags.active {
        return object("nobody let it take part", format!("`muster machine activate {id}` first"));
    }
    if let Holder::Reservation { id: reservation, user, .. } = &machine.tenure.holder
        && user != actor
    {
        return Err((format!("{user} has it (reservation {reservation})"), "wait for its end, or ask for it".into()));
    }
    if machine.tenure.stage != Stage::Settled || machine.claim.is_some() {
        return object("it is changing hands", "try again in a moment".into());
    }
    Ok(())
}

/// Why a machine may not be booted, and what to do about it.
fn may_boot(id: &MachineId, machine: &Machine, actor: &str, kernel: Option<&Kernel>) -> Result<(), Objection> {
    let object = |why: &str, next: String| Err((why.to_owned(), next));
    may_touch(id, machine, actor)?;
    if machine.is_new() {
        return object("its agent was never heard", "start the node agent there".into());
    }
    if machine.quarantine.is_some() {
        return object("it is quarantined", format!("look at it, then `muster machine activate {id}`"));
    }
    if let Some(order) = machine.storage_order() {
        let why = format!("{} of its {} is under way", order.work.task, order.work.resource);
        return Err((why, format!("wait until that has ended: `muster machine show {id}`")));
    }
    if machine.settings.boot_driver.is_none() {
        let next = format!("say how it boots: `muster machine set {id} boot=grub`");
        return object("it has no boot driver", next);
    }
    if let Some(why) = machine.settings.lacks_for_boot() {
        return object(
            why,
            format!("`muster machine set {id} power='qemu .. kernel-folder=..'`, as in docs/drivers.md"),
        );
    }
    match machine.phase {
        Phase::Ready | Phase::Offline | Phase::Dirty => {}
        phase @ (Phase::Reverting | Phase::Settling | Phase::Installing | Phase::Rebooting | Phase::Verifying) => {
            return Err((format!("it is {phase}"), format!("wait until that has ended: `muster machine show {id}`")));
        }
    }
    match kernel.and_then(|kernel| Some((kernel, wrong_architecture(machine, kernel)?))) {
        Some((kernel, why)) => Err((why, format!("select machines by `arch={}`", kernel.architecture))),
        None => Ok(()),
    }
}

/// Says so where a kernel is not for this machine.
pub(super) fn wrong_architecture(machine: &Machine, kernel: &Kernel) -> Option<String> {
    let found = machine.inventory.as_ref().filter(|found| found.architecture != kernel.architecture)?;
    Some(format!("it is {}, and the kernel is for {}", found.architecture, kernel.architecture))
}

/// Who is not heard can not be told anything.
pub(super) fn is_heard(id: &MachineId, health: Health) -> Result<(), Objection> {
    match health {
        Health::Up => Ok(()),
        Health::Silent | Health::Down => {
            Err(("its agent is not heard".into(), format!("look at the machine; `muster machine show {id}` says more")))
        }
        Health::Unknown => Err(("it is not known yet whether it lives".into(), "try again in a minute".into())),
    }
}
