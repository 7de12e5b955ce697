//! Settings and boots: events, records, commands, and what agents are told and say of them.

use std::str::FromStr;
use std::sync::Arc;

use muster_model::power::SpecError;
use muster_model::{
    BootDriver, BootVerdict, KernelName, PoolTime, Refusal, RefusalCode, ReservationId, SnapshotName, nanoseconds,
};
use muster_proto::WireError;
use muster_proto::v1;

use super::holder::duration;
use super::kernel::{kernel_from_wire, kernel_name, kernel_to_wire};
use super::request::{invalid, selector_from_wire};
use super::word;
use crate::core::{
    Announcement, Boot, BootOrder, BootTask, Cleaning, Command, Fact, Kernel, Machine, Preparation, PreparedKernel,
    Recent, Settings, SettingsChange,
};

fn driver_to_wire(driver: Option<BootDriver>) -> i32 {
    driver.map_or(v1::BootDriver::Unspecified, Into::into).into()
}

pub(super) fn settings_to_wire(settings: &Settings) -> v1::MachineSettings {
    v1::MachineSettings {
        boot_driver: driver_to_wire(settings.boot_driver),
        attempts_max: settings.attempts_max,
        install_within_ns: nanoseconds(settings.install_within),
        boot_within_ns: nanoseconds(settings.boot_within),
        drain_ns: nanoseconds(settings.drain),
        power: settings.power.as_ref().map_or_else(String::new, ToString::to_string),
        snapshot: settings.snapshot.as_ref().map_or_else(String::new, ToString::to_string),
        leave_down: settings.leave_down,
        cleaning: cleaning_to_wire(settings.cleaning).into(),
    }
}

pub(super) fn settings_from_wire(wire: Option<v1::MachineSettings>) -> Result<Settings, WireError> {
    let Some(wire) = wire else { return Ok(Settings::default()) };
    Ok(Settings {
        boot_driver: wire.boot_driver().known(),
        attempts_max: wire.attempts_max,
        install_within: duration(wire.install_within_ns),
        boot_within: duration(wire.boot_within_ns),
        drain: duration(wire.drain_ns),
        power: spec("power", &wire.power)?,
        snapshot: spec("snapshot", &wire.snapshot)?,
        leave_down: wire.leave_down,
        cleaning: cleaning_from_wire(wire.cleaning()),
    })
}

fn cleaning_to_wire(cleaning: Cleaning) -> v1::Cleaning {
    match cleaning {
        Cleaning::None => v1::Cleaning::Unspecified,
        Cleaning::Revert => v1::Cleaning::Revert,
        Cleaning::Reboot => v1::Cleaning::Reboot,
    }
}

fn cleaning_from_wire(cleaning: v1::Cleaning) -> Cleaning {
    match cleaning {
        v1::Cleaning::Unspecified => Cleaning::None,
        v1::Cleaning::Revert => Cleaning::Revert,
        v1::Cleaning::Reboot => Cleaning::Reboot,
    }
}

/// A setting of a driver; an empty text is none.
fn spec<S: FromStr<Err = SpecError>>(field: &'static str, text: &str) -> Result<Option<S>, WireError> {
    let read = (!text.is_empty()).then(|| text.parse()).transpose();
    read.map_err(|error| WireError::invalid("MachineSettings", field, error))
}

/// Settings of a record: unset while nothing was set.
pub(super) fn settings_of(machine: &Machine) -> Option<v1::MachineSettings> {
    (machine.settings != Settings::default()).then(|| settings_to_wire(&machine.settings))
}

fn kernel_of(kernel: Option<&Arc<Kernel>>) -> Option<v1::Kernel> {
    kernel.map(|kernel| kernel_to_wire(kernel))
}

fn ordered_kernel(wire: Option<v1::Kernel>) -> Result<Option<Arc<Kernel>>, WireError> {
    wire.map(|kernel| kernel_from_wire(Some(kernel)).map(Arc::new)).transpose()
}

pub(super) fn ordered_to_wire(
    kernel: Option<&Arc<Kernel>>,
    nonce: &str,
    reservation: Option<ReservationId>,
) -> v1::BootOrdered {
    let reservation = reservation.unwrap_or_default().0;
    v1::BootOrdered { kernel: kernel_of(kernel), nonce: nonce.to_owned(), reservation }
}

fn reservation(number: u64) -> Option<ReservationId> {
    (number > 0).then_some(ReservationId(number))
}

/// Nothing asked for is reservation 0.
pub(super) fn preparation_to_wire(asked: Option<&Preparation>) -> v1::PreparationAsked {
    asked.map_or_else(v1::PreparationAsked::default, |asked| v1::PreparationAsked {
        reservation: asked.reservation.0,
        kernel_name: asked.kernel.as_ref().map(|asked| asked.name.to_string()).unwrap_or_default(),
        kernel: kernel_of(asked.kernel.as_ref().and_then(|asked| asked.kernel.as_ref())),
        nonce: asked.kernel.as_ref().map(|asked| asked.nonce.clone()).unwrap_or_default(),
        image: asked.image.as_ref().map(ToString::to_string).unwrap_or_default(),
    })
}

pub(super) fn preparation_from_wire(wire: v1::PreparationAsked) -> Result<Option<Preparation>, WireError> {
    let Some(reservation) = reservation(wire.reservation) else { return Ok(None) };
    let image = image("PreparationAsked", &wire.image)?;
    let kernel = match wire.kernel_name.as_str() {
        "" => None,
        name => {
            let (name, kernel) = (kernel_name(name)?, ordered_kernel(wire.kernel)?);
            Some(PreparedKernel { name, kernel, nonce: wire.nonce })
        }
    };
    Ok(Some(Preparation { reservation, image, kernel }))
}

/// The name of a snapshot that may be missing.
pub(super) fn image(message: &'static str, text: &str) -> Result<Option<SnapshotName>, WireError> {
    let read = (!text.is_empty()).then(|| SnapshotName::new(text)).transpose();
    read.map_err(|error| WireError::invalid(message, "image", error))
}

pub(super) fn ordered_from_wire(wire: v1::BootOrdered) -> Result<Fact, WireError> {
    let reservation = reservation(wire.reservation);
    Ok(Fact::BootOrdered { kernel: ordered_kernel(wire.kernel)?, nonce: wire.nonce, reservation })
}

pub(super) fn judged_to_wire(verdict: BootVerdict, reason: &str) -> v1::BootJudged {
    v1::BootJudged { verdict: v1::BootVerdict::from(verdict).into(), reason: reason.to_owned() }
}

pub(super) fn judged_from_wire(wire: v1::BootJudged) -> Result<Fact, WireError> {
    let verdict: v1::BootVerdict = word("BootJudged", "verdict", wire.verdict)?;
    let verdict = verdict.known().ok_or_else(|| WireError::missing("BootJudged", "verdict"))?;
    Ok(Fact::BootJudged { verdict, reason: wire.reason })
}

/// What a test announced; none where nothing is announced any more.
pub(super) fn announced_to_wire(announced: Option<&Announcement>) -> v1::BootAnnounced {
    announced.map_or_else(v1::BootAnnounced::default, |announced| v1::BootAnnounced {
        process: Some(announced.process.into()),
        absence: v1::Absence::from(announced.absence).into(),
        until_ns: announced.until.0,
    })
}

pub(super) fn announced_from_wire(wire: v1::BootAnnounced) -> Result<Option<Announcement>, WireError> {
    let Some(process) = wire.process else { return Ok(None) };
    let absence: v1::Absence = word("BootAnnounced", "absence", wire.absence)?;
    let absence = absence.known().ok_or_else(|| WireError::missing("BootAnnounced", "absence"))?;
    Ok(Some(Announcement { process: process.into(), absence, until: PoolTime(wire.until_ns) }))
}

/// The newest order of a record.
pub(super) fn boot_to_wire(machine: &Machine) -> Option<v1::BootRecord> {
    machine.boot.as_ref().map(|boot| v1::BootRecord {
        order: Some(boot.order.into()),
        kernel: kernel_of(boot.kernel.as_ref()),
        nonce: boot.nonce.clone(),
        attempt: boot.attempt,
        verdict: boot.verdict.map_or(v1::BootVerdict::Unspecified, Into::into).into(),
        reason: boot.reason.clone(),
        since_ns: boot.since.0,
        from_boot_id: boot.from_boot_id.clone(),
        attempts_max: machine.settings.attempts_max,
        reservation: boot.reservation.unwrap_or_default().0,
        escalations: boot.escalations,
        excused: boot.excused,
    })
}

pub(super) fn boot_from_wire(wire: Option<v1::BootRecord>) -> Result<Option<Boot>, WireError> {
    let Some(wire) = wire else { return Ok(None) };
    Ok(Some(Boot {
        order: wire.order.unwrap_or_default().into(),
        verdict: wire.verdict().known(),
        kernel: ordered_kernel(wire.kernel)?,
        nonce: wire.nonce,
        reservation: reservation(wire.reservation),
        attempt: wire.attempt,
        escalations: wire.escalations,
        excused: wire.excused,
        reason: wire.reason,
        since: PoolTime(wire.since_ns),
        from_boot_id: wire.from_boot_id,
    }))
}

/// What came of the newest boots.
pub(super) fn recent_to_wire(recent: &Recent) -> Vec<i32> {
    recent.iter().map(|occurrence| v1::Occurrence::from(occurrence).into()).collect()
}

pub(super) fn recent_from_wire(wire: Vec<i32>) -> Result<Recent, WireError> {
    let known = |number| Ok(word::<v1::Occurrence>("MachineRecord", "recent", number)?.known());
    Ok(Recent::new(wire.into_iter().map(known).collect::<Result<Vec<_>, WireError>>()?.into_iter().flatten()))
}

/// What a command or an entry of a pool file says of settings; its selector is not looked at.
pub(super) fn settings_change(what: &str, set: &v1::SetSettings) -> Result<SettingsChange, Refusal> {
    let boot_driver = set.boot_driver.map(|number| {
        let known = v1::BootDriver::try_from(number);
        known.map_err(|_| invalid(what, &WireError::invalid("SetSettings", "boot_driver", number)))
    });
    Ok(SettingsChange {
        boot_driver: boot_driver.transpose()?.map(v1::BootDriver::known),
        attempts_max: set.attempts_max,
        install_within: set.install_within_ns.map(duration),
        boot_within: set.boot_within_ns.map(duration),
        drain: set.drain_ns.map(duration),
        power: set.power.as_deref().map(|text| setting(what, "power", text)).transpose()?,
        snapshot: set.snapshot.as_deref().map(|text| setting(what, "snapshot", text)).transpose()?,
        leave_down: set.leave_down,
        cleaning: set.cleaning.map(|_| cleaning_from_wire(set.cleaning())),
    })
}

/// A setting of a driver, as people write it.
fn setting<S: FromStr<Err = SpecError>>(what: &str, name: &str, text: &str) -> Result<Option<S>, Refusal> {
    (!text.is_empty()).then(|| text.parse()).transpose().map_err(|error: SpecError| {
        let next = "`muster machine set --help` has an example for each driver";
        Refusal::new(RefusalCode::Invalid, what, format!("{name}: {error}"), next)
    })
}

pub(super) fn boot_order(boot: &v1::BootMachines, actor: &str, nonce: &str) -> Result<Command, Refusal> {
    let what = "boot machines";
    let kernel = Some(boot.kernel.as_str()).filter(|name| !name.is_empty()).map(KernelName::new).transpose();
    let kernel = kernel.map_err(|error| invalid(what, &WireError::invalid("BootMachines", "kernel", error)))?;
    let selector = selector_from_wire(what, &boot.selector)?;
    Ok(Command::Boot(BootOrder { selector, kernel, nonce: nonce.to_owned(), actor: actor.to_owned() }))
}

/// What an agent is told of an ordered boot.
#[must_use]
pub fn boot_command(task: &BootTask) -> v1::AgentCommand {
    let (operation, driver) = (Some(task.operation.into()), v1::BootDriver::from(task.driver).into());
    let kernel = kernel_of(task.kernel.as_ref());
    let kind = if task.reboot {
        let nonce = task.nonce.clone().unwrap_or_default();
        v1::agent_command::Kind::Reboot(v1::RebootMachine { operation, driver, kernel, nonce })
    } else {
        v1::agent_command::Kind::Install(v1::InstallKernel { operation, driver, kernel })
    };
    v1::AgentCommand { kind: Some(kind) }
}
