//! `muster resource`: what tests may use, and what is hidden from them.

use std::time::{Duration, Instant};

use muster_model::glob_matches;
use muster_proto::v1::{self, machine_command::Kind};

use super::machines::{changes, protection_on_disk};
use super::{Session, not_found, storage};
use crate::arguments::{ProtectionArguments, ResourceCommand, SelectorArguments};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

/// How often the acknowledgement of a protection is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn run(session: &Session, command: ResourceCommand) -> Result<(), Failure> {
    match command {
        ResourceCommand::List(arguments) => list(session, &arguments).await,
        ResourceCommand::Protect(arguments) => protect(session, arguments).await,
        ResourceCommand::Release(arguments) => release(session, arguments).await,
        ResourceCommand::Mount(arguments) => storage::mount(session, &arguments).await,
        ResourceCommand::Dismount(arguments) => storage::dismount(session, &arguments).await,
        ResourceCommand::Format(arguments) => storage::format(session, &arguments).await,
    }
}

async fn list(session: &Session, arguments: &SelectorArguments) -> Result<(), Failure> {
    let machines = session.client.machines("list resources", &arguments.selector, false).await?;
    let names = ["machine", "resource", "kind", "device_type", "path", "size_bytes", "protected", "signatures", "area"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["bits_per_second", "shared_name", "area_device", "area_by"].map(Column::programs));
    let mut table = Table::new(columns);
    for record in machines.into_iter().filter_map(|machine| machine.record) {
        for resource in record.inventory.iter().flat_map(|inventory| &inventory.resources) {
            table.push(row(&record, resource));
        }
    }
    session.print(&table).await
}

fn row(record: &v1::MachineRecord, resource: &v1::Resource) -> Vec<Cell> {
    let area = resource.area.clone().unwrap_or_default();
    let protected = record.machine_protected || record.protected.contains(&resource.id);
    let (size, speed) = match resource.kind() {
        v1::ResourceKind::Disk | v1::ResourceKind::Memory => (Cell::Bytes(resource.size), Cell::None),
        v1::ResourceKind::Nic => (Cell::None, Cell::Integer(resource.size)),
        v1::ResourceKind::Cpu | v1::ResourceKind::Tape | v1::ResourceKind::Unspecified => (Cell::None, Cell::None),
    };
    vec![
        Cell::text(&record.machine),
        Cell::text(&resource.id),
        Cell::text(kind_name(resource.kind())),
        Cell::text(&resource.device_type),
        Cell::text(&resource.path),
        size,
        Cell::Flag(protected),
        Cell::List(resource.signatures.clone()),
        storage::area(record, resource),
        speed,
        Cell::text(&resource.shared_name),
        Cell::text(&area.device),
        Cell::text(&area.actor),
    ]
}

/// The word for a kind of resource.
pub(super) fn kind_name(kind: v1::ResourceKind) -> &'static str {
    kind.known().map_or("unknown", muster_model::ResourceKind::as_str)
}

async fn protect(session: &Session, arguments: ProtectionArguments) -> Result<(), Failure> {
    let what = format!("protect on `{}`", arguments.selector);
    let changed = set(session, &what, arguments, true).await?;
    let machines = changed.machines.iter().chain(&changed.unchanged).cloned().collect();
    wait_on_disk(session, machines).await
}

async fn set(
    session: &Session,
    what: &str,
    arguments: ProtectionArguments,
    protect: bool,
) -> Result<v1::MachinesChanged, Failure> {
    let ProtectionArguments { selector, resources, machine, yes: _ } = arguments;
    let kind = Kind::SetProtection(v1::SetProtection { selector, resources, protect, machine });
    session.client.machine_command(what, kind).await
}

/// Waits until the agents have it on disk; an agent that can not be reached stays pending, and is named.
async fn wait_on_disk(session: &Session, mut machines: Vec<String>) -> Result<(), Failure> {
    machines.sort();
    if machines.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + session.client.timeout();
    let selector = machines.join(" or ");
    let states = loop {
        let seen = session.client.machines("look for the protection", &selector, true).await?;
        let states: Vec<(String, &'static str)> = seen.iter().filter_map(protection_state).collect();
        let waits = states.iter().any(|(_, state)| *state == "pending");
        if !waits || Instant::now() >= deadline {
            break states;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let mut table = Table::new(vec![Column::new("machine"), Column::new("protection")]);
    for (machine, state) in &states {
        table.push(vec![Cell::text(machine), Cell::text(*state)]);
    }
    session.print(&table).await?;
    let pending: Vec<&str> =
        states.iter().filter(|(_, state)| *state != "protected").map(|(machine, _)| machine.as_str()).collect();
    if pending.is_empty() {
        return Ok(());
    }
    Err(Failure::TimedOut(format!(
        "protect: decided, and not yet on the disk of {}; it counts from the moment that the agent answers again",
        pending.join(", ")
    )))
}

fn protection_state(status: &v1::MachineStatus) -> Option<(String, &'static str)> {
    let record = status.record.as_ref()?;
    let state = if protection_on_disk(record) {
        "protected"
    } else if status.health() == v1::Health::Up {
        "pending"
    } else {
        "pending: unreachable"
    };
    Some((record.machine.clone(), state))
}

async fn release(session: &Session, arguments: ProtectionArguments) -> Result<(), Failure> {
    let what = format!("release on `{}`", arguments.selector);
    let touched = released(session, &what, &arguments).await?;
    confirm(&what, &touched, arguments.yes).await?;
    let changed = set(session, &what, arguments, false).await?;
    session.print(&changes(&changed)).await
}

/// What a release will touch: each resource with what is on it.
async fn released(session: &Session, what: &str, arguments: &ProtectionArguments) -> Result<Vec<String>, Failure> {
    let machines = session.client.machines(what, &arguments.selector, false).await?;
    let named = |id: &str| arguments.resources.iter().any(|glob| glob == id || glob_matches(glob, id));
    let mut touched = Vec::new();
    for record in machines.into_iter().filter_map(|machine| machine.record) {
        if arguments.machine {
            touched.push(format!("the whole of {}", record.machine));
        }
        for resource in record.inventory.iter().flat_map(|inventory| &inventory.resources) {
            if named(&resource.id) && record.protected.contains(&resource.id) {
                touched.push(described(&record.machine, resource));
            }
        }
        let probed = |id: &String| record.inventory.iter().flat_map(|found| &found.resources).any(|one| one.id == *id);
        let rules = record.protected.iter().chain(&record.protect_rules).filter(|id| named(id) && !probed(id));
        touched.extend(rules.map(|rule| format!("{}/{rule}", record.machine)));
    }
    if touched.is_empty() {
        let thing = "protected resource of that name on those machines".to_owned();
        return Err(not_found(what.to_owned(), thing, "`muster resource list` shows all"));
    }
    Ok(touched)
}

fn described(machine: &str, resource: &v1::Resource) -> String {
    if resource.signatures.is_empty() {
        format!("{machine}/{}", resource.id)
    } else {
        format!("{machine}/{} ({})", resource.id, resource.signatures.join(", "))
    }
}
