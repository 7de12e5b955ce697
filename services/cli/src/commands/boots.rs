//! `muster machine set` and `muster machine boot`: how machines are booted, and what was proven of it.

use std::time::{Duration, Instant};

use muster_model::{BootDriver, Position, nanoseconds, quantity};
use muster_proto::v1::{self, Phase, machine_command::Kind};

use super::{Session, machines};
use crate::arguments::{MachineBootArguments, MachineSetArguments};
use crate::confirm::confirm;
use crate::exit::{Failure, one_line};
use crate::output::{Cell, Column, Table};
use crate::progress::Progress;
use crate::times::short;

/// How often machines are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn set(session: &Session, arguments: &MachineSetArguments) -> Result<(), Failure> {
    let what = format!("set how `{}` is booted", arguments.selector);
    let mut set = v1::SetSettings { selector: arguments.selector.clone(), ..v1::SetSettings::default() };
    for setting in &arguments.settings {
        take(&mut set, setting).map_err(|why| Failure::Usage(format!("{what}: {why}")))?;
    }
    let changed = session.client.machine_command(&what, Kind::SetSettings(set)).await?;
    session.print(&machines::changes(&changed)).await
}

/// Takes one `NAME=VALUE`; an empty value is the default.
pub(super) fn take(set: &mut v1::SetSettings, setting: &str) -> Result<(), String> {
    let (name, value) = setting.split_once('=').ok_or_else(|| format!("`{setting}`: write `name=value`"))?;
    let span = || match value {
        "" => Ok(0),
        value => quantity::parse_duration(value)
            .map(nanoseconds)
            .map_err(|error| format!("`{setting}`: {}; write `90s` or `5m`", error.reason)),
    };
    match name {
        "boot" => set.boot_driver = Some(driver(value)?.into()),
        "attempts" if value.is_empty() => set.attempts_max = Some(0),
        "attempts" => {
            let count: u32 = value.parse().map_err(|_| format!("`{setting}`: {value} is no count"))?;
            set.attempts_max = Some(count);
        }
        "install-within" => set.install_within_ns = Some(span()?),
        "boot-within" => set.boot_within_ns = Some(span()?),
        "drain" => set.drain_ns = Some(span()?),
        "power" => set.power = Some(value.to_owned()),
        "snapshot" => set.snapshot = Some(value.to_owned()),
        "clean" => set.cleaning = Some(cleaning(setting, value)?.into()),
        "leave-down" => set.leave_down = Some(yes_or_no(setting, value)?),
        other => {
            return Err(format!(
                "`{other}` is no setting; there are boot, attempts, install-within, boot-within, drain, power, snapshot, \
                 clean and leave-down"
            ));
        }
    }
    Ok(())
}

fn cleaning(setting: &str, value: &str) -> Result<v1::Cleaning, String> {
    match value {
        "" => Ok(v1::Cleaning::Unspecified),
        "revert" => Ok(v1::Cleaning::Revert),
        "reboot" => Ok(v1::Cleaning::Reboot),
        _ => Err(format!("`{setting}`: write revert or reboot")),
    }
}

fn yes_or_no(setting: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" | "" => Ok(false),
        _ => Err(format!("`{setting}`: write yes or no")),
    }
}

fn driver(word: &str) -> Result<v1::BootDriver, String> {
    if word.is_empty() {
        return Ok(v1::BootDriver::Unspecified);
    }
    let all = BootDriver::ALL.map(BootDriver::as_str).join(", ");
    BootDriver::parse(word).map(Into::into).ok_or_else(|| format!("`{word}` is no boot driver; there are {all}"))
}

pub(super) async fn boot(session: &Session, arguments: &MachineBootArguments) -> Result<(), Failure> {
    let kernel = arguments.kernel.clone().unwrap_or_default();
    let target = if arguments.stock { "their stock kernel" } else { kernel.as_str() };
    let what = format!("boot machines into {}", one_line(target));
    if kernel.is_empty() && !arguments.stock {
        return Err(Failure::Usage(format!("{what}: a kernel has a name; `muster kernel list` shows all")));
    }
    let touched = machines::names(session, &what, &arguments.selector).await?;
    confirm(&format!("{what} ({} machines)", touched.len()), &touched, arguments.yes).await?;
    let command = v1::BootMachines { selector: arguments.selector.clone(), kernel };
    let changed = session.client.machine_command(&what, Kind::Boot(command)).await?;
    if !arguments.wait {
        return session.print(&machines::changes(&changed)).await;
    }
    let order = changed.position.unwrap_or_default().into();
    let result = wait(session, &what, order, changed.machines.len(), arguments.within).await?;
    let mut found = ordered(session, &what, order).await?;
    found.sort_by(|a, b| name(a).cmp(name(b)));
    session.print(&table(&found)).await?;
    result
}

/// Waits until every machine of an order is ready or given up; gives how that ended.
async fn wait(
    session: &Session,
    what: &str,
    order: Position,
    total: usize,
    within: Duration,
) -> Result<Result<(), Failure>, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::begin(what, total as u64, false);
    loop {
        let found = ordered(session, what, order).await?;
        let offline = found.iter().filter(|machine| phase_of(machine) == Phase::Offline).count();
        // Its hello proved it; before its first heartbeat it takes neither a start nor another order.
        let is_back = |machine: &v1::MachineStatus| machine.health() == v1::Health::Up;
        let ready = found.iter().filter(|machine| phase_of(machine) == Phase::Ready && is_back(machine)).count();
        progress.set((ready + offline) as u64, &phases(&found));
        if ready + offline >= found.len() {
            progress.end(&format!("{ready} verified, {offline} offline after {}", short(begun.elapsed())));
            let others = total.saturating_sub(ready);
            if others == 0 {
                return Ok(Ok(()));
            }
            let why = format!("{what}: {others} of {total} machines are not proven to run it; the table says why");
            return Ok(Err(Failure::Other(anyhow::anyhow!(why))));
        }
        if begun.elapsed() >= within {
            progress.clear();
            let why = format!("{what}: not done within {within:?} ({}); it goes on", phases(&found));
            return Ok(Err(Failure::TimedOut(why)));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The machines whose newest order is this one.
async fn ordered(session: &Session, what: &str, order: Position) -> Result<Vec<v1::MachineStatus>, Failure> {
    let mut found = session.client.machines(what, "", true).await?;
    found.retain(|machine| boot_of(machine).and_then(|boot| boot.order).map(Position::from) == Some(order));
    Ok(found)
}

fn name(machine: &v1::MachineStatus) -> &str {
    machine.record.as_ref().map_or("", |record| record.machine.as_str())
}

fn boot_of(machine: &v1::MachineStatus) -> Option<&v1::BootRecord> {
    machine.record.as_ref().and_then(|record| record.boot.as_ref())
}

fn phase_of(machine: &v1::MachineStatus) -> Phase {
    machine.record.as_ref().map_or(Phase::Unspecified, v1::MachineRecord::phase)
}

/// How many machines are in which phase: `3 rebooting, 1 verifying`.
fn phases(found: &[v1::MachineStatus]) -> String {
    let mut counts = std::collections::BTreeMap::<_, usize>::new();
    for machine in found {
        *counts.entry(phase_of(machine).known()).or_default() += 1;
    }
    let words = counts.iter().filter_map(|(phase, count)| phase.map(|phase| format!("{count} {phase}")));
    words.collect::<Vec<_>>().join(", ")
}

fn table(found: &[v1::MachineStatus]) -> Table {
    let names = ["machine", "phase", "kernel", "verdict", "attempt", "attempts_max", "reason"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for machine in found {
        let phase = phase_of(machine).known().map_or("unknown", muster_model::Phase::as_str);
        let boot = boot_of(machine).cloned().unwrap_or_default();
        table.push(vec![
            Cell::text(name(machine)),
            Cell::text(phase),
            kernel(&boot),
            verdict(&boot),
            Cell::Integer(boot.attempt.into()),
            Cell::Integer(boot.attempts_max.into()),
            Cell::text(&boot.reason),
        ]);
    }
    table
}

/// The kernel that a machine was ordered into.
pub(super) fn kernel(boot: &v1::BootRecord) -> Cell {
    match (&boot.kernel, boot.order) {
        (Some(kernel), _) => Cell::text(&kernel.name),
        (None, Some(_)) => Cell::text("stock"),
        (None, None) => Cell::None,
    }
}

/// What was proven of its newest boot.
pub(super) fn verdict(boot: &v1::BootRecord) -> Cell {
    boot.verdict().known().map_or(Cell::None, |verdict| Cell::text(verdict.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[&str]) -> Result<v1::SetSettings, String> {
        let mut set = v1::SetSettings::default();
        settings.iter().try_for_each(|setting| take(&mut set, setting)).map(|()| set)
    }

    #[test]
    fn settings_are_words_with_values_and_nothing_is_the_default() {
        let set = check(&["boot=grub", "attempts=5", "boot-within=90s", "drain="]).unwrap();
        assert_eq!((set.boot_driver(), set.attempts_max), (v1::BootDriver::Grub, Some(5)));
        assert_eq!((set.boot_within_ns, set.drain_ns, set.install_within_ns), (Some(90_000_000_000), Some(0), None));
        assert_eq!(check(&["boot="]).unwrap().boot_driver, Some(0));
    }

    #[test]
    fn a_wrong_setting_is_told_with_what_there_is() {
        for (setting, word) in [
            ("boot=lilo", "systemd-boot"),
            ("boost=grub", "attempts"),
            ("attempts=many", "count"),
            ("drain=soon", "90s"),
            ("x", "name=value"),
        ] {
            assert!(check(&[setting]).unwrap_err().contains(word), "{setting}");
        }
    }
}
