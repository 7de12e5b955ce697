//! `muster load-number`: capacity weights of types of resources.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use muster_model::ResourceKind;
use muster_proto::v1::{self, machine_command, machine_query, machine_reply};
use serde::Deserialize;

use super::Session;
use super::pool_file::told;
use super::resources::kind_name;
use crate::arguments::{KindName, LoadNumberCommand, LoadNumberSetArguments};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

/// Kind (by its number on the wire) and device type, empty for the default of the kind.
type Key = (i32, String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadFile {
    load_number: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    #[serde(default)]
    r#type: String,
    load: u32,
}

pub(super) async fn run(session: &Session, command: LoadNumberCommand) -> Result<(), Failure> {
    match command {
        LoadNumberCommand::List => list(session).await,
        LoadNumberCommand::Set(arguments) => {
            set(session, "set a load number", vec![number(arguments)]).await?;
            list(session).await
        }
        LoadNumberCommand::Load { file } => load(session, &file).await,
    }
}

fn number(arguments: LoadNumberSetArguments) -> v1::LoadNumber {
    let kind = match arguments.kind {
        KindName::Cpu => v1::ResourceKind::Cpu,
        KindName::Disk => v1::ResourceKind::Disk,
        KindName::Nic => v1::ResourceKind::Nic,
        KindName::Memory => v1::ResourceKind::Memory,
        KindName::Tape => v1::ResourceKind::Tape,
    };
    v1::LoadNumber { kind: kind.into(), device_type: arguments.device_type, load: arguments.load }
}

/// Sets load numbers, all or none.
async fn set(session: &Session, what: &str, numbers: Vec<v1::LoadNumber>) -> Result<(), Failure> {
    let command = machine_command::Kind::SetLoadNumber(v1::SetLoadNumber { number: None, numbers });
    session.client.machine_command(what, command).await?;
    Ok(())
}

async fn load(session: &Session, file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let numbers = parse(&text).map_err(|why| Failure::Usage(format!("{}: {why}", file.display())))?;
    let what = format!("load the load numbers of {}", file.display());
    let before = numbers_by_key(session, &what).await?;
    let wanted = numbers.clone();
    set(session, &what, numbers).await?;
    session.print(&changes(&before, &wanted)).await
}

/// Reads a file of load numbers; says in one line what is wrong with it.
fn parse(text: &str) -> Result<Vec<v1::LoadNumber>, String> {
    let file: LoadFile = toml::from_str(text).map_err(|error| told(text, &error))?;
    let mut numbers: Vec<v1::LoadNumber> = Vec::new();
    for Entry { kind, r#type, load } in file.load_number {
        let known = ResourceKind::from_word(&kind);
        let known = known.ok_or_else(|| format!("kind `{kind}` is none of {}", ResourceKind::words()))?;
        let number = v1::LoadNumber { kind: v1::ResourceKind::from(known).into(), device_type: r#type, load };
        if numbers.iter().any(|other| key(other) == key(&number)) {
            return Err(format!(
                "{kind} {} is there twice",
                if number.device_type.is_empty() { "without a type" } else { &number.device_type }
            ));
        }
        if load == 0 {
            return Err(format!("load of {kind} is 0; give 1 or more, `muster resource protect` keeps tests away"));
        }
        numbers.push(number);
    }
    if numbers.is_empty() {
        return Err("it has no [[load_number]]".into());
    }
    Ok(numbers)
}

fn key(number: &v1::LoadNumber) -> Key {
    (number.kind, number.device_type.clone())
}

async fn numbers_by_key(session: &Session, what: &str) -> Result<BTreeMap<Key, v1::LoadNumber>, Failure> {
    let query = machine_query::Kind::LoadNumbers(v1::ListLoadNumbers {});
    let machine_reply::Kind::LoadNumbers(list) = session.client.machine_query(what, query).await? else {
        return Err(unexpected("machine-lifecycle"));
    };
    Ok(list.numbers.into_iter().map(|number| (key(&number), number)).collect())
}

/// One row for each number that was given.
fn changes(before: &BTreeMap<Key, v1::LoadNumber>, wanted: &[v1::LoadNumber]) -> Table {
    let mut table = Table::new(["kind", "device_type", "before", "after", "change"].map(Column::new).into());
    for number in wanted {
        let was = before.get(&key(number)).map(|known| known.load);
        table.push(vec![
            Cell::text(kind_name(number.kind())),
            Cell::text(&number.device_type),
            was.map_or(Cell::None, |was| Cell::Integer(was.into())),
            Cell::Integer(number.load.into()),
            Cell::text(change(was, number.load)),
        ]);
    }
    table
}

fn change(before: Option<u32>, load: u32) -> &'static str {
    match before {
        None => "added",
        Some(before) if before == load => "unchanged",
        Some(_) => "changed",
    }
}

/// All load numbers, the defaults of the kinds too, and how many resources each holds for: those of its type, and a default for those
/// whose type has no number of its own.
async fn list(session: &Session) -> Result<(), Failure> {
    let numbers = numbers_by_key(session, "list load numbers").await?;
    let machines = session.client.machines("list load numbers", "", false).await?;
    let mut counts = BTreeMap::<Key, u64>::new();
    let inventories = machines.iter().filter_map(|machine| machine.record.as_ref()?.inventory.as_ref());
    for resource in inventories.flat_map(|inventory| &inventory.resources) {
        let own = (resource.kind, resource.device_type.clone());
        let holds = if numbers.contains_key(&own) { own } else { (resource.kind, String::new()) };
        *counts.entry(holds).or_default() += 1;
    }
    let mut table = Table::new(["kind", "device_type", "load", "resources"].map(Column::new).into());
    for (key, number) in numbers {
        table.push(vec![
            Cell::text(kind_name(number.kind())),
            Cell::text(number.device_type),
            Cell::Integer(number.load.into()),
            Cell::Integer(counts.get(&key).copied().unwrap_or(0)),
        ]);
    }
    session.print(&table).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_load_numbers_is_read() {
        let text = "[[load_number]]\nkind = \"tape\"\nload = 2\n\n[[load_number]]\nkind = \"disk\"\ntype = \"QEMU\"\nload = 64\n";
        let numbers = parse(text).unwrap();
        assert_eq!(
            numbers[0],
            v1::LoadNumber { kind: v1::ResourceKind::Tape.into(), device_type: String::new(), load: 2 }
        );
        assert_eq!((numbers[1].device_type.as_str(), numbers[1].load), ("QEMU", 64));
        assert_eq!([change(None, 1), change(Some(1), 1), change(Some(2), 1)], ["added", "unchanged", "changed"]);
    }

    #[test]
    fn a_wrong_file_is_told_in_one_line() {
        let wrong = |text: &str| parse(text).unwrap_err();
        assert_eq!(
            wrong("[[load_number]]\nkind = \"disc\"\nload = 1\n"),
            "kind `disc` is none of cpu, disk, nic, memory, tape"
        );
        assert!(wrong("[[load_number]]\nkind = \"disk\"\nlaod = 1\n").starts_with("line 3:"));
        assert!(wrong("[[load_number]]\nkind = \"disk\"\nload = -1\n").starts_with("line 3:"));
        assert!(wrong("[[load_number]]\nkind = \"disk\"\nload = 0\n").contains("is 0"));
        let twice = "[[load_number]]\nkind = \"disk\"\nload = 1\n";
        assert_eq!(wrong(&twice.repeat(2)), "disk without a type is there twice");
    }
}
