//! `muster resource mount`, `dismount` and `format`: disks as test areas.

use std::time::{Duration, Instant};

use muster_model::{FileSystem, Position, StorageTask};
use muster_proto::v1::{self, machine_command::Kind};

use super::{Session, machines, not_found};
use crate::arguments::{FileSystemName, FormatArguments, MountArguments, StorageArguments};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::progress::Progress;
use crate::times::{short, size};

/// How often the machine is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn mount(session: &Session, arguments: &MountArguments) -> Result<(), Failure> {
    let file_system = arguments.file_system.map(of_name);
    let order = Order { task: StorageTask::Mount, file_system, confirmed: false };
    perform(session, &arguments.storage, order).await
}

pub(super) async fn dismount(session: &Session, arguments: &StorageArguments) -> Result<(), Failure> {
    perform(session, arguments, Order { task: StorageTask::Dismount, file_system: None, confirmed: false }).await
}

pub(super) async fn format(session: &Session, arguments: &FormatArguments) -> Result<(), Failure> {
    let StorageArguments { machine, resource, .. } = &arguments.storage;
    let what = format!("format {resource} on {machine}");
    if !arguments.yes {
        let lost = lost(session, &what, &arguments.storage).await?;
        confirm(&what, &[lost], false).await?;
    }
    let file_system = Some(of_name(arguments.file_system));
    perform(session, &arguments.storage, Order { task: StorageTask::Format, file_system, confirmed: true }).await
}

fn of_name(name: FileSystemName) -> FileSystem {
    match name {
        FileSystemName::Ext4 => FileSystem::Ext4,
        FileSystemName::Xfs => FileSystem::Xfs,
        FileSystemName::Btrfs => FileSystem::Btrfs,
    }
}

/// What a format destroys: the device, its size, and what is on it.
async fn lost(session: &Session, what: &str, arguments: &StorageArguments) -> Result<String, Failure> {
    let StorageArguments { machine, resource, .. } = arguments;
    let record = record(session, what, machine).await?;
    let found = record.inventory.iter().flat_map(|inventory| &inventory.resources).find(|one| one.id == *resource);
    let Some(found) = found else {
        let thing = format!("resource {resource} on {machine}");
        return Err(not_found(what.to_owned(), thing, "`muster resource list` shows all"));
    };
    let signatures =
        if found.signatures.is_empty() { "no known signature".into() } else { found.signatures.join(", ") };
    Ok(format!("{machine}/{resource}: {}, {}, {signatures}", found.path, size(found.size)))
}

/// What is ordered.
struct Order {
    task: StorageTask,
    file_system: Option<FileSystem>,
    confirmed: bool,
}

async fn perform(session: &Session, arguments: &StorageArguments, order: Order) -> Result<(), Failure> {
    let StorageArguments { machine, resource, .. } = arguments;
    let what = format!("{} {resource} on {machine}", order.task);
    let command = v1::PrepareStorage {
        machine: machine.clone(),
        resource: resource.clone(),
        task: v1::StorageTask::from(order.task).into(),
        file_system: v1::FileSystem::from(order.file_system).into(),
        confirmed: order.confirmed,
    };
    let changed = session.client.machine_command(&what, Kind::PrepareStorage(command)).await?;
    if !arguments.wait || changed.machines.is_empty() {
        return session.print(&machines::changes(&changed)).await;
    }
    let position = changed.position.unwrap_or_default().into();
    let record = wait(session, &what, arguments, position).await?;
    session.print(&table(machine, &record)).await?;
    match record.outcome() {
        v1::StorageOutcome::Done => Ok(()),
        v1::StorageOutcome::Failed | v1::StorageOutcome::Unspecified => {
            Err(Failure::Other(anyhow::anyhow!("{what}: {}", record.detail)))
        }
    }
}

async fn record(session: &Session, what: &str, machine: &str) -> Result<v1::MachineRecord, Failure> {
    let found = session.client.machines(what, machine, false).await?;
    found.into_iter().find_map(|status| status.record).ok_or_else(|| no_machine(what, machine))
}

fn no_machine(what: &str, machine: &str) -> Failure {
    not_found(what.to_owned(), format!("machine {machine}"), "`muster machine list` shows all")
}

/// Waits until the order has ended.
async fn wait(
    session: &Session,
    what: &str,
    arguments: &StorageArguments,
    position: Position,
) -> Result<v1::StorageRecord, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::begin(what, 1, false);
    loop {
        let found = session.client.machines(what, &arguments.machine, true).await?;
        let status = found.into_iter().next().ok_or_else(|| no_machine(what, &arguments.machine))?;
        let step = step(&status, position);
        let record = status.record.and_then(|record| record.storage).filter(|order| is_of(order.order, position));
        let Some(record) = record else {
            progress.clear();
            return Err(Failure::Other(anyhow::anyhow!("{what}: another order came after it")));
        };
        if record.outcome() != v1::StorageOutcome::Unspecified {
            progress.end(&format!("{} after {}", outcome(&record), short(begun.elapsed())));
            return Ok(record);
        }
        progress.set(0, step);
        if begun.elapsed() >= arguments.within {
            progress.clear();
            let within = arguments.within;
            return Err(Failure::TimedOut(format!("{what}: not done within {within:?} ({step}); it goes on")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_of(order: Option<v1::Position>, position: Position) -> bool {
    order.map(Position::from) == Some(position)
}

/// How far the agent is, in words.
fn step(status: &v1::MachineStatus, position: Position) -> &'static str {
    let told = status.storage.and_then(v1::StorageProgress::known).filter(|progress| progress.order == position);
    told.map_or("its agent is being told", |progress| progress.step.as_str())
}

fn outcome(record: &v1::StorageRecord) -> &'static str {
    record.outcome().known().map_or("under way", muster_model::StorageOutcome::as_str)
}

fn table(machine: &str, record: &v1::StorageRecord) -> Table {
    let names = ["machine", "resource", "task", "outcome", "detail"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    let [task, resource, _, outcome, detail] = cells(Some(record));
    table.push(vec![Cell::text(machine), resource, task, outcome, detail]);
    table
}

fn task(ordered: &v1::StorageOrdered) -> &'static str {
    ordered.task().known().map_or("unknown", StorageTask::as_str)
}

/// Columns of a machine: the newest order to prepare a disk of it.
pub(super) const COLUMNS: [&str; 5] =
    ["storage_task", "storage_resource", "storage_by", "storage_outcome", "storage_detail"];

/// The same of one machine; nothing where there was none.
pub(super) fn cells(order: Option<&v1::StorageRecord>) -> [Cell; 5] {
    let Some(record) = order else { return [const { Cell::None }; 5] };
    let ordered = record.ordered.clone().unwrap_or_default();
    [
        Cell::text(task(&ordered)),
        Cell::text(&ordered.resource),
        Cell::text(&ordered.actor),
        Cell::text(outcome(record)),
        Cell::text(&record.detail),
    ]
}

/// What a disk is as a test area: its file system, or why it can not be used, or what is under way; nothing for other resources.
pub(super) fn area(record: &v1::MachineRecord, resource: &v1::Resource) -> Cell {
    let order = record.storage.as_ref().filter(|order| order.outcome() == v1::StorageOutcome::Unspecified);
    let under_way = order.and_then(|order| order.ordered.as_ref()).filter(|ordered| ordered.resource == resource.id);
    match (under_way, &resource.area) {
        (Some(ordered), _) => Cell::text(format!("{} under way", task(ordered))),
        (None, Some(area)) if !area.trouble.is_empty() => Cell::text(format!("not usable: {}", area.trouble)),
        (None, Some(area)) => Cell::text(area.file_system().known().map_or("mounted", FileSystem::as_str)),
        (None, None) => Cell::None,
    }
}
