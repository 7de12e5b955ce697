//! `manifest.json`: what a backup holds, with the digest of every file. It is written last: a folder without it is no backup.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use muster_ledger::LogExtent;
use muster_model::text::hex;
use muster_model::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};

use super::files::Written;
use crate::exit::Failure;

/// Name of the file.
pub(super) const NAME: &str = "manifest.json";
/// The layout of the folder. A reader refuses a number that it does not know.
const FORMAT: u32 = 1;
/// It is read up to this size, bytes.
const SIZE_MAX: u64 = 256 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The layout of the folder.
    pub(super) format: u32,
    /// Version of the `muster` that wrote it.
    pub(super) muster: String,
    /// UUID of the system.
    pub(super) system: String,
    /// When it was written, RFC 3339.
    pub(super) made: String,
    /// The decision logs.
    pub(super) logs: Vec<LogEntry>,
    /// Files of the object stores.
    pub(super) objects: Vec<ObjectEntry>,
}

/// A decision log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogEntry {
    /// Its name.
    pub(super) log: String,
    /// Position of its first message, `lineage/sequence`.
    pub(super) first: String,
    /// Position of its last message.
    pub(super) last: String,
    /// How many messages.
    pub(super) messages: u64,
    /// BLAKE3 of the last message, hex.
    pub(super) last_blake3: String,
    /// Highest term in it.
    pub(super) term: u64,
    /// How far it has followed other streams.
    pub(super) followed: BTreeMap<String, String>,
    /// The file.
    #[serde(flatten)]
    pub(super) file: Written,
}

/// A file of an object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectEntry {
    /// The object store.
    pub(super) store: String,
    /// Its name there.
    pub(super) name: String,
    /// The file.
    #[serde(flatten)]
    pub(super) file: Written,
}

impl LogEntry {
    pub(super) fn of(log: &str, extent: &LogExtent, file: Written) -> Self {
        let followed = extent.followed.iter().map(|(stream, position)| (stream.clone(), position.to_string()));
        Self {
            log: log.to_owned(),
            first: extent.first.to_string(),
            last: extent.last.to_string(),
            messages: extent.messages(),
            last_blake3: hex(&extent.last_hash),
            term: extent.term.0,
            followed: followed.collect(),
            file,
        }
    }
}

impl Manifest {
    pub(super) fn new(system: String, made: String, logs: Vec<LogEntry>, objects: Vec<ObjectEntry>) -> Self {
        Self { format: FORMAT, muster: env!("CARGO_PKG_VERSION").into(), system, made, logs, objects }
    }

    /// Writes it into a folder: whole, or not at all.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let (part, whole) = (directory.join(format!("{NAME}.part")), directory.join(NAME));
        let text = serde_json::to_vec_pretty(self).context("encode the manifest")?;
        std::fs::write(&part, text).with_context(|| format!("write {}", part.display()))?;
        std::fs::File::open(&part).and_then(|file| file.sync_all()).context("make the manifest durable")?;
        std::fs::rename(&part, &whole).with_context(|| format!("write {}", whole.display()))?;
        std::fs::File::open(directory).and_then(|folder| folder.sync_all()).context("make the folder durable")
    }

    /// Reads the manifest of a folder.
    pub(super) fn read(what: &str, directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(NAME);
        let invalid = |why: String, next: &str| Failure::from(Refusal::new(RefusalCode::Invalid, what, why, next));
        let size = std::fs::metadata(&path).map(|found| found.len()).map_err(|error| {
            let why = format!("{} can not be read: {error}", path.display());
            invalid(why, "name the folder of a backup; one without a manifest was broken off: take another")
        })?;
        if size > SIZE_MAX {
            return Err(invalid(
                format!("{} has {size} bytes, which is no manifest", path.display()),
                "take another backup",
            ));
        }
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let read = serde_json::from_slice::<Self>(&text);
        let manifest =
            read.map_err(|error| invalid(format!("the manifest can not be read: {error}"), "take another backup"))?;
        if manifest.format != FORMAT {
            let why = format!("it has the format {}, and this version reads {FORMAT}", manifest.format);
            return Err(invalid(why, "use the `muster` of the version that the manifest names"));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = Written { file: "logs/JOBS.envelopes".into(), size_bytes: 5, sha256: "ab".into() };
        let object = ObjectEntry { store: "modules".into(), name: "x".into(), file: file.clone() };
        let log = LogEntry {
            log: "JOBS".into(),
            first: "1/1".into(),
            last: "1/9".into(),
            messages: 9,
            last_blake3: "cd".into(),
            term: 3,
            followed: [("REPORTS".to_owned(), "0/4".to_owned())].into(),
            file,
        };
        Manifest::new("s".into(), "2026-11-30T20:00:00Z".into(), vec![log], vec![object])
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        manifest().write(folder.path()).expect("it is written");
        assert_eq!(Manifest::read("restore", folder.path()).expect("it is read"), manifest());
    }

    #[test]
    fn a_folder_without_a_manifest_and_one_of_another_format_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = Manifest::read("restore", folder.path()).expect_err("there is none").text();
        assert!(none.contains("broken off"), "{none}");
        Manifest { format: 2, ..manifest() }.write(folder.path()).expect("it is written");
        let other = Manifest::read("restore", folder.path()).expect_err("it is another format").text();
        assert!(other.contains("format 2"), "{other}");
    }
}
