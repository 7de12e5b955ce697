//! `muster machine`: flags that people set, and all that is known of machines.

use std::path::Path;

use anyhow::Context;
use muster_model::Occurrence;
use muster_proto::v1::{self, machine_command::Kind};

use super::{Session, boots, not_found, pool_file, power, reservations, storage};
use crate::arguments::{ConfirmedSelector, MachineCommand, MachineFlagArguments, SelectorArguments};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, command: MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::List(arguments) => list(session, &arguments).await,
        MachineCommand::Show(arguments) => show(session, &arguments).await,
        MachineCommand::Activate(which) => set_flag(session, &which.selector, v1::MachineFlag::Active, true).await,
        MachineCommand::Deactivate(which) => set_flag(session, &which.selector, v1::MachineFlag::Active, false).await,
        MachineCommand::Maintenance(arguments) => {
            set_flag(session, &arguments.selector, v1::MachineFlag::Maintenance, !arguments.off).await
        }
        MachineCommand::Retire(arguments) => retire(session, arguments).await,
        MachineCommand::Remove(arguments) => remove(session, &arguments).await,
        MachineCommand::Set(arguments) => boots::set(session, &arguments).await,
        MachineCommand::Boot(arguments) => boots::boot(session, &arguments).await,
        MachineCommand::Power(arguments) => power::power(session, &arguments).await,
        MachineCommand::Revert(arguments) => power::revert(session, &arguments).await,
        MachineCommand::LoadPool { file } => load_pool(session, &file).await,
    }
}

async fn list(session: &Session, arguments: &SelectorArguments) -> Result<(), Failure> {
    let machines = session.client.machines("list machines", &arguments.selector, false).await?;
    session.print(&table(&machines)).await
}

async fn show(session: &Session, arguments: &SelectorArguments) -> Result<(), Failure> {
    let machines = session.client.machines("show machines", &arguments.selector, false).await?;
    if machines.is_empty() {
        let thing = format!("machine that `{}` names", arguments.selector);
        return Err(not_found("show machines".into(), thing, "`muster machine list` shows all"));
    }
    session.print(&table(&machines).upright()).await
}

async fn set_flag(session: &Session, selector: &str, flag: v1::MachineFlag, value: bool) -> Result<(), Failure> {
    let flag = u32::try_from(i32::from(flag)).unwrap_or(0);
    let kind = Kind::SetFlag(v1::SetFlag { selector: selector.to_owned(), flag, value });
    let changed = session.client.machine_command(&format!("change machines `{selector}`"), kind).await?;
    session.print(&changes(&changed)).await
}

async fn retire(session: &Session, arguments: MachineFlagArguments) -> Result<(), Failure> {
    if !arguments.off {
        let touched = names(session, "retire machines", &arguments.selector).await?;
        confirm("retire machines", &touched, arguments.yes).await?;
    }
    set_flag(session, &arguments.selector, v1::MachineFlag::Retired, !arguments.off).await
}

async fn remove(session: &Session, arguments: &ConfirmedSelector) -> Result<(), Failure> {
    let touched = names(session, "remove machines", &arguments.selector).await?;
    confirm("remove machines", &touched, arguments.yes).await?;
    let mut all = v1::MachinesChanged::default();
    for machine in touched {
        let what = format!("remove {machine}");
        let changed = session.client.machine_command(&what, Kind::Remove(v1::RemoveMachine { machine })).await?;
        all.machines.extend(changed.machines);
        all.unchanged.extend(changed.unchanged);
    }
    session.print(&changes(&all)).await
}

/// Names of the machines that a selector names; at least one.
pub(super) async fn names(session: &Session, what: &str, selector: &str) -> Result<Vec<String>, Failure> {
    let machines = session.client.machines(what, selector, true).await?;
    if machines.is_empty() {
        let thing = format!("machine that `{selector}` names");
        return Err(not_found(what.to_owned(), thing, "`muster machine list` shows all"));
    }
    Ok(machines.into_iter().filter_map(|machine| machine.record).map(|record| record.machine).collect())
}

async fn load_pool(session: &Session, file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let pool = pool_file::parse(&text).map_err(|reason| Failure::Usage(format!("{}: {reason}", file.display())))?;
    let what = format!("load the pool {}", file.display());
    let changed = session.client.machine_command(&what, Kind::LoadPool(pool)).await?;
    session.print(&changes(&changed)).await
}

/// What a command did, one row for each machine.
pub(super) fn changes(changed: &v1::MachinesChanged) -> Table {
    let mut table = Table::new(vec![Column::new("machine"), Column::new("changed")]);
    let mut rows: Vec<(&String, bool)> = changed.machines.iter().map(|machine| (machine, true)).collect();
    rows.extend(changed.unchanged.iter().map(|machine| (machine, false)));
    rows.sort();
    for (machine, changed) in rows {
        table.push(vec![Cell::text(machine), Cell::Flag(changed)]);
    }
    table
}

/// Machines as a table.
pub(super) fn table(machines: &[v1::MachineStatus]) -> Table {
    let people = ["machine", "health", "phase", "tenure", "reservation", "user", "active", "processes"];
    let mut columns: Vec<Column> = people.into_iter().map(Column::new).collect();
    columns.push(Column::new("cpus"));
    columns.push(Column::new("memory_bytes"));
    columns.push(Column::new("disks"));
    let programs = [
        "deadline_time",
        "maintenance",
        "retired",
        "down",
        "epoch",
        "fenced_epoch",
        "incarnation",
        "nics",
        "architecture",
        "machine_type",
        "host_name",
        "kernel_release",
        "kernel_build_id",
        "boot_id",
        "protected",
        "released",
        "machine_protected",
        "protection_on_disk",
        "heartbeat_age_seconds",
        "agent_version",
        "generation",
        "boot_driver",
        "boot_kernel",
        "boot_verdict",
        "boot_attempt",
        "boot_attempts_max",
        "boot_reason",
        "power",
        "snapshot",
        "switched",
        "switched_stands",
        "switched_time",
        "switched_reason",
        "switched_detail",
        "switch_waits_for",
        "flakiness",
        "recent_failures",
        "announced",
        "awaited_until_time",
    ];
    columns.extend(programs.into_iter().map(Column::programs));
    columns.extend([Column::new("tags"), Column::new("trouble"), Column::programs("ssh_key")]);
    columns.extend(storage::COLUMNS.map(Column::programs));
    let mut table = Table::new(columns);
    for machine in machines {
        let mut cells = row(machine);
        cells.extend(storage::cells(machine.record.as_ref().and_then(|record| record.storage.as_ref())));
        table.push(cells);
    }
    table
}

fn row(status: &v1::MachineStatus) -> Vec<Cell> {
    let record = status.record.clone().unwrap_or_default();
    let inventory = record.inventory.clone().unwrap_or_default();
    let holder = record.holder.clone().unwrap_or_default();
    let (boot, announced) = (record.boot.clone().unwrap_or_default(), record.announced.unwrap_or_default());
    let (settings, switched) = (record.settings.clone().unwrap_or_default(), record.power.clone().unwrap_or_default());
    let driver = settings.boot_driver().known();
    let failures = Occurrence::failures(record.recent().filter_map(v1::Occurrence::known));
    let count = |kind: v1::ResourceKind| {
        Cell::Integer(inventory.resources.iter().filter(|resource| resource.kind() == kind).count() as u64)
    };
    let position = |at: &Option<v1::Position>| {
        at.map_or(Cell::None, |at| Cell::text(muster_model::Position::from(at).to_string()))
    };
    vec![
        Cell::text(&record.machine),
        Cell::text(health(status.health())),
        Cell::text(phase(record.phase())),
        Cell::text(tenure(record.tenure())),
        if holder.reservation == 0 { Cell::None } else { Cell::Integer(holder.reservation) },
        Cell::text(holder.user),
        Cell::Flag(record.active),
        Cell::Integer(status.processes_live.into()),
        count(v1::ResourceKind::Cpu),
        Cell::Bytes(inventory.memory_bytes),
        count(v1::ResourceKind::Disk),
        if holder.reservation > 0 { reservations::deadline_of(holder.deadline_ns) } else { Cell::None },
        Cell::Flag(record.maintenance),
        Cell::Flag(record.retired),
        Cell::Flag(record.down),
        Cell::Integer(record.epoch),
        Cell::Integer(record.fenced_epoch),
        Cell::Integer(record.incarnation),
        count(v1::ResourceKind::Nic),
        Cell::text(inventory.architecture),
        Cell::text(inventory.machine_type),
        Cell::text(inventory.host_name),
        Cell::text(inventory.kernel_release),
        Cell::text(inventory.kernel_build_id),
        Cell::text(inventory.boot_id),
        Cell::List(record.protected.clone()),
        Cell::List(record.released.clone()),
        Cell::Flag(record.machine_protected),
        Cell::Flag(protection_on_disk(&record)),
        heartbeat_age(status),
        Cell::text(&record.agent_version),
        position(&record.generation),
        driver.map_or(Cell::None, |driver| Cell::text(driver.as_str())),
        boots::kernel(&boot),
        boots::verdict(&boot),
        if boot.order.is_some() { Cell::Integer(boot.attempt.into()) } else { Cell::None },
        if boot.order.is_some() { Cell::Integer(boot.attempts_max.into()) } else { Cell::None },
        Cell::text(&boot.reason),
        Cell::text(settings.power),
        Cell::text(settings.snapshot),
        Cell::text(power::word(switched.task())),
        Cell::text(power::stand(&switched)),
        Cell::time_ns(switched.begun_ns),
        Cell::text(switched.reason),
        Cell::text(switched.detail),
        Cell::text(&status.switch_waits_for),
        Cell::Integer(failures.iter().map(|(_, count)| *count as u64).sum()),
        Cell::List(failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect()),
        announced.absence().known().map_or(Cell::None, |absence| Cell::text(absence.as_str())),
        Cell::time_ns(announced.until_ns),
        Cell::List(record.tags.clone()),
        Cell::text(&record.trouble),
        Cell::text(&status.ssh_key),
    ]
}

/// The agent has the newest protection on its disk.
pub(super) fn protection_on_disk(record: &v1::MachineRecord) -> bool {
    let place = |at: Option<v1::Position>| muster_model::Position::from(at.unwrap_or_default());
    place(record.protection_acknowledged) >= place(record.protection_generation)
}

fn heartbeat_age(status: &v1::MachineStatus) -> Cell {
    match status.health() {
        v1::Health::Unspecified => Cell::None,
        v1::Health::Up | v1::Health::Silent | v1::Health::Down => {
            Cell::Span(std::time::Duration::from_millis(status.heartbeat_age_ms))
        }
    }
}

/// The word for a health.
pub(super) fn health(health: v1::Health) -> &'static str {
    match health {
        v1::Health::Unspecified => "unknown",
        v1::Health::Up => "up",
        v1::Health::Silent => "silent",
        v1::Health::Down => "down",
    }
}

fn phase(phase: v1::Phase) -> &'static str {
    phase.known().map_or("unknown", muster_model::Phase::as_str)
}

fn tenure(tenure: v1::Tenure) -> &'static str {
    match tenure {
        v1::Tenure::Unspecified => "unknown",
        v1::Tenure::Pool => "pool",
        v1::Tenure::Draining => "draining",
        v1::Tenure::Held => "held",
        v1::Tenure::Returning => "returning",
    }
}
