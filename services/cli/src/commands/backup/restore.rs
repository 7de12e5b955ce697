//! `muster admin restore`: puts a backup into a system that holds nothing yet. Everything is checked before anything is written.

use std::path::Path;

use anyhow::Context;
use muster_bus::subjects::Service;
use muster_bus::{Bucket, Bus, streams};
use muster_ledger::{LogBackup, RestoreOptions, Standing};
use muster_model::{Position, Refusal, RefusalCode};

use super::manifest::{LogEntry, Manifest, ObjectEntry};
use crate::arguments::RestoreArguments;
use crate::commands::Session;
use crate::commands::admin::{OWNERS, refused};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::progress::Progress;

/// A log that was checked, and what is to be done with it.
struct Checked {
    log: &'static str,
    backup: LogBackup,
    /// None when it was restored from this very backup before, by a restore that was broken off later.
    options: Option<RestoreOptions>,
    /// Where its archive ends, where that is known.
    archived: Option<Position>,
}

/// Restores a backup.
pub(in crate::commands) async fn restore(session: &Session, arguments: &RestoreArguments) -> Result<(), Failure> {
    let (bus, directory) = (session.client.bus(), arguments.directory.as_path());
    let what = format!("restore {}", directory.display());
    let manifest = Manifest::read(&what, directory)?;
    check_files(&what, directory, &manifest).await?;
    let owners: &[Service] = if arguments.objects { &[] } else { &OWNERS };
    let mut logs = Vec::new();
    for service in owners {
        logs.push(checked(bus, &what, directory, &manifest, *service).await?);
    }
    if logs.iter().any(|log| log.options.is_some() && log.archived.is_none()) {
        eprintln!(
            "muster: no archive says which lineages were used, so the new ones are numbered by the time; with \
             muster-telemetry-logger and PostgreSQL up they follow the last"
        );
    }
    let stores = stores(&what, &manifest)?;
    confirm(&what, &touched(&manifest, &logs), arguments.yes).await?;
    put_objects(bus, directory, &manifest.objects, &stores).await?;
    if arguments.objects {
        let objects = manifest.objects.len() as u64;
        return session.print(&Table::record(vec![("objects", Cell::Integer(objects))])).await;
    }
    let mut table = Table::new(["log", "lineage", "messages", "restored_to"].map(Column::new).into());
    for log in &logs {
        table.push(restored(bus, &what, log).await?);
    }
    session.print(&table).await
}

fn refusal(what: &str, why: impl Into<String>, next: &str) -> Failure {
    Refusal::new(RefusalCode::Refused, what, why, next).into()
}

async fn check_files(what: &str, directory: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let logs = manifest.logs.iter().map(|log| &log.file);
    let files: Vec<_> = logs.chain(manifest.objects.iter().map(|object| &object.file)).collect();
    let mut progress = Progress::begin("check the backup", files.len() as u64, false);
    for (done, file) in (1..).zip(files) {
        file.check(what, directory).await?;
        progress.set(done, &file.file);
    }
    progress.clear();
    Ok(())
}

/// Opens a log of the backup, compares it with the manifest, and looks whether it can be put here.
async fn checked(
    bus: &Bus,
    what: &str,
    directory: &Path,
    manifest: &Manifest,
    service: Service,
) -> Result<Checked, Failure> {
    let log = streams::log_of(service).unwrap_or_default();
    let entry = manifest.logs.iter().find(|entry| entry.log == log);
    let entry = entry.ok_or_else(|| refusal(what, format!("the manifest names no {log}"), "take another backup"))?;
    let backup = LogBackup::open(service, &directory.join(&entry.file.file)).map_err(|error| refused(what, error))?;
    check_entry(what, manifest, entry, &backup)?;
    let standing = muster_ledger::standing(bus, service).await.map_err(|error| refused(what, error))?;
    let replace = replaced(what, log, &standing, &backup)?;
    // An archive that can not be asked is like one that knows nothing.
    let archived = muster_ledger::archived(bus, service).await.unwrap_or_default();
    let options = replace.map(|replace| RestoreOptions { replace, lineage_min: lineage_min(archived) });
    Ok(Checked { log, backup, options, archived })
}

/// A lineage that nobody has used. Without an archive that knows of them, the time is one: a backup may be restored twice.
fn lineage_min(archived: Option<Position>) -> u64 {
    let since_1970 = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    archived.map_or_else(|| since_1970().map_or(0, |time| time.as_secs()), |archived| archived.lineage.0 + 1)
}

fn check_entry(what: &str, manifest: &Manifest, entry: &LogEntry, backup: &LogBackup) -> Result<(), Failure> {
    let extent = backup.extent();
    let next = "the manifest was changed, or is of another backup: restore from another copy";
    if LogEntry::of(&entry.log, extent, entry.file.clone()) != *entry {
        let why = format!("{} ends at {}, and is not what the manifest says", entry.log, extent.last);
        return Err(refusal(what, why, next));
    }
    if uuid::Uuid::from_bytes(extent.system.0).to_string() != manifest.system {
        return Err(refusal(what, format!("{} belongs to another system than the manifest says", entry.log), next));
    }
    Ok(())
}

/// Whether what the log holds is taken away first; none where the log is what is to be restored already.
fn replaced(what: &str, log: &str, standing: &Standing, backup: &LogBackup) -> Result<Option<bool>, Failure> {
    match standing {
        Standing::Missing => Err(refusal(
            what,
            format!("there is no stream {log}"),
            "make the streams with `muster admin init`, then restore",
        )),
        Standing::Empty => Ok(Some(false)),
        Standing::Begun => Ok(Some(true)),
        Standing::Rebuilt { hash, is_whole } if *hash == backup.extent().last_hash => Ok((!is_whole).then_some(true)),
        Standing::Rebuilt { .. } => {
            let why = format!("{log} was rebuilt from something else than this backup");
            Err(refusal(what, why, "restore into an empty system: another NATS account, or an empty store"))
        }
        Standing::InUse { messages } => {
            let why = format!("{log} is in use: it holds {messages} messages");
            Err(refusal(what, why, "restore into an empty system: another NATS account, or an empty store"))
        }
    }
}

/// The object store of each object.
fn stores(what: &str, manifest: &Manifest) -> Result<Vec<Bucket>, Failure> {
    let store = |object: &ObjectEntry| {
        let found = Bucket::ALL.into_iter().find(|bucket| bucket.as_str() == object.store);
        found.ok_or_else(|| {
            refusal(what, format!("there is no object store {}", object.store), "use the `muster` of its version")
        })
    };
    manifest.objects.iter().map(store).collect()
}

fn touched(manifest: &Manifest, logs: &[Checked]) -> Vec<String> {
    let mut touched: Vec<String> = logs.iter().map(told).collect();
    touched.push(format!("{} objects in their stores", manifest.objects.len()));
    touched
}

/// What becomes of a log, and whether its archive would lose less.
fn told(log: &Checked) -> String {
    let (name, last) = (log.log, log.backup.extent().last);
    match log.archived {
        Some(archived) if archived > last => {
            format!("{name} up to {last} (its archive goes on to {archived}: `muster admin recover {name}` loses less)")
        }
        Some(_) | None => format!("{name} up to {last}"),
    }
}

async fn put_objects(bus: &Bus, directory: &Path, objects: &[ObjectEntry], stores: &[Bucket]) -> Result<(), Failure> {
    let mut progress = Progress::begin("restore", objects.len() as u64, false);
    for (done, (object, store)) in (1..).zip(objects.iter().zip(stores)) {
        if !bus.has_object(*store, &object.name).await? {
            let path = directory.join(&object.file.file);
            let mut file = tokio::fs::File::open(&path).await.with_context(|| format!("open {}", path.display()))?;
            bus.put_object(*store, &object.name, &mut file).await?;
        }
        progress.set(done, store.as_str());
    }
    progress.clear();
    Ok(())
}

/// Restores a log, and says what it is now.
async fn restored(bus: &Bus, what: &str, log: &Checked) -> Result<Vec<Cell>, Failure> {
    let last = log.backup.extent().last.to_string();
    let Some(options) = log.options else {
        return Ok(vec![Cell::text(log.log), Cell::Word("restored before"), Cell::Integer(0), Cell::text(last)]);
    };
    let mut progress: Option<Progress> = None;
    let shown = |done: u64, all: u64| {
        progress
            .get_or_insert_with(|| Progress::begin(&format!("restore {}", log.log), all, false))
            .set(done, "messages");
    };
    let restored = muster_ledger::restore(bus, &log.backup, options, shown).await;
    if let Some(progress) = progress {
        progress.clear();
    }
    let restored = restored.map_err(|error| refused(what, error))?;
    Ok(vec![Cell::text(log.log), Cell::Integer(restored.lineage), Cell::Integer(restored.messages), Cell::text(last)])
}
