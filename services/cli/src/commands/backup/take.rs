//! `muster admin backup`: copies while everything goes on.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use muster_bus::{Bucket, Bus};
use muster_ledger::{LogCopy, LogExtent};
use muster_model::{Refusal, RefusalCode};

use super::cut;
use super::files::Written;
use super::manifest::{LogEntry, Manifest, ObjectEntry};
use crate::arguments::BackupArguments;
use crate::commands::Session;
use crate::commands::admin::{OWNERS, refused};
use crate::exit::Failure;
use crate::output::{Cell, Table};
use crate::progress::Progress;
use crate::times;

/// Object stores without which the logs name what nobody has.
const STORES: [Bucket; 2] = [Bucket::Modules, Bucket::Kernels];
/// What processes and tests left, which can be missed.
const STORES_OF_TESTS: [Bucket; 2] = [Bucket::Logs, Bucket::Artifacts];

/// Folders of a backup.
const FOLDERS: [&str; 2] = ["logs", "objects"];

/// Takes a backup.
pub(in crate::commands) async fn take(session: &Session, arguments: &BackupArguments) -> Result<(), Failure> {
    let directory = arguments.directory.as_path();
    let what = format!("back up into {}", directory.display());
    begin(&what, directory)?;
    let taken = fill(session, &what, arguments).await;
    if taken.is_err() {
        clear(directory);
    }
    session.print(&taken?).await
}

/// Fills the folder, and says with what.
async fn fill(session: &Session, what: &str, arguments: &BackupArguments) -> Result<Table, Failure> {
    let (bus, directory) = (session.client.bus(), arguments.directory.as_path());
    let logs = logs(bus, what, directory).await?;
    let mut stores = STORES.to_vec();
    if arguments.all {
        stores.extend(STORES_OF_TESTS);
    }
    let objects = objects(bus, directory, &stores).await?;
    let systems: Vec<_> = logs.iter().map(|(_, extent)| extent.system).collect();
    let system = uuid::Uuid::from_bytes(systems[0].0).to_string();
    if systems.iter().any(|other| *other != systems[0]) {
        let next = "one NATS account holds one system: use the logs of one of them";
        return Err(Refusal::new(RefusalCode::Refused, what, "the logs belong to different systems", next).into());
    }
    let made = times::rfc3339(session.client.viewer().await.now).unwrap_or_default();
    let entries: Vec<LogEntry> = logs.into_iter().map(|(entry, _)| entry).collect();
    let messages = entries.iter().map(|entry| entry.messages).sum();
    let size_bytes = entries.iter().map(|entry| entry.file.size_bytes).sum::<u64>()
        + objects.iter().map(|entry| entry.file.size_bytes).sum::<u64>();
    let count = objects.len() as u64;
    Manifest::new(system.clone(), made, entries, objects).write(directory)?;
    Ok(Table::record(vec![
        ("directory", Cell::text(directory.display().to_string())),
        ("system", Cell::text(system)),
        ("messages", Cell::Integer(messages)),
        ("objects", Cell::Integer(count)),
        ("size_bytes", Cell::Bytes(size_bytes)),
    ]))
}

/// Takes away what a backup wrote that was broken off: the folder may be named again.
fn clear(directory: &Path) {
    for name in FOLDERS {
        let folder = directory.join(name);
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            eprintln!("muster: {} is left behind: {error}", folder.display());
        }
    }
}

/// Makes the folder, which has to be new or empty.
fn begin(what: &str, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).with_context(|| format!("make the folder {}", directory.display()))?;
    let mut found = std::fs::read_dir(directory).with_context(|| format!("read the folder {}", directory.display()))?;
    if found.next().is_some() {
        let next = "name a new folder: a backup is never written over another";
        return Err(Refusal::new(RefusalCode::Refused, what, "the folder is not empty", next).into());
    }
    for name in FOLDERS {
        let folder = directory.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    }
    Ok(())
}

/// Copies the logs up to a consistent cut.
async fn logs(bus: &Bus, what: &str, directory: &Path) -> Result<Vec<(LogEntry, LogExtent)>, Failure> {
    let mut copies = Vec::new();
    let mut ends = BTreeMap::new();
    let file = |log: &str| format!("logs/{log}.envelopes");
    for service in OWNERS {
        let log = muster_bus::streams::log_of(service).unwrap_or_default();
        let copy = LogCopy::begin(bus, service, &directory.join(file(log))).await;
        let copy = copy.map_err(|error| refused(what, error))?;
        ends.insert(copy.log(), copy.head().await.map_err(|error| refused(what, error))?);
        copies.push(copy);
    }
    let mut progress = Progress::begin("backup", ends.values().map(|end| end.sequence.0).sum(), false);
    let mut copied: BTreeMap<&str, u64> = BTreeMap::new();
    loop {
        for copy in &mut copies {
            let (log, end) = (copy.log(), ends[copy.log()]);
            let others: u64 = copied.iter().filter(|(name, _)| **name != log).map(|(_, count)| *count).sum();
            let shown = |done: u64| progress.set(others + done, log);
            copy.copy_to(end.sequence.0, shown).await.map_err(|error| refused(what, error))?;
            copied.insert(log, copy.extent().map_or(0, LogExtent::messages));
        }
        if !cut::raise(&mut ends, copies.iter().filter_map(LogCopy::extent)) {
            break;
        }
    }
    progress.clear();
    let mut entries = Vec::new();
    for copy in copies {
        let log = copy.log();
        let extent = copy.finish().map_err(|error| refused(what, error))?;
        let written = Written::of(directory, file(log)).await?;
        entries.push((LogEntry::of(log, &extent, written), extent));
    }
    Ok(entries)
}

/// Copies the object stores. One that was deleted meanwhile is nobody's any more.
async fn objects(bus: &Bus, directory: &Path, stores: &[Bucket]) -> Result<Vec<ObjectEntry>, Failure> {
    let mut named = Vec::new();
    for store in stores {
        let names = bus.list_objects(*store).await?;
        named.extend(names.into_iter().map(|name| (*store, name)));
    }
    let mut progress = Progress::begin("backup", named.len() as u64, false);
    let mut entries = Vec::new();
    for (done, (store, name)) in (1..).zip(named) {
        if let Some(mut object) = bus.get_object(store, &name).await? {
            let file = Written::object(directory, &mut object).await.with_context(|| format!("copy {name}"))?;
            entries.push(ObjectEntry { store: store.as_str().into(), name, file });
        }
        progress.set(done, store.as_str());
    }
    progress.clear();
    Ok(entries)
}
