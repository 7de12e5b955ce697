//! Disks that were prepared by order: the newest order, in a file that is written before anything is done about it, and the disks that
//! are mounted as test areas.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_model::{FileSystem, Position, StorageTask};
use serde::{Deserialize, Serialize};

use super::atomic;

/// What is to be done to which disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Its resource id.
    pub resource: String,
    /// What.
    #[serde(with = "TaskWord")]
    pub task: StorageTask,
    /// The file system to make, or to expect.
    #[serde(with = "file_system")]
    pub file_system: Option<FileSystem>,
    /// Who ordered it.
    pub actor: String,
}

/// An order that something is, or was, done about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Lineage and sequence of the order.
    position: (u64, u64),
    /// What.
    pub work: Work,
    /// What a file system made for it is known by.
    pub uuid: String,
    /// Boot in which it was taken: in another one a device may have another name.
    pub boot_id: String,
    /// It has ended, and that is reported.
    pub ended: bool,
}

impl Order {
    /// An order that is taken now.
    pub(crate) fn new(position: Position, work: Work, boot_id: &str) -> Self {
        let position = (position.lineage.0, position.sequence.0);
        Self { position, work, uuid: uuid::Uuid::new_v4().to_string(), boot_id: boot_id.into(), ended: false }
    }

    /// Its name.
    pub(crate) fn position(&self) -> Position {
        Position::new(self.position.0, self.position.1)
    }
}

/// A disk that is mounted as a test area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Area {
    /// The device.
    pub device: PathBuf,
    /// The directory.
    pub place: PathBuf,
    /// The file system; none while it was never mounted.
    #[serde(with = "file_system")]
    pub file_system: Option<FileSystem>,
    /// What the file system is known by, so that no other disk is taken for it; empty while it was never mounted.
    pub uuid: String,
    /// Who ordered it.
    pub actor: String,
}

/// Areas by resource id.
pub(crate) type Areas = BTreeMap<String, Area>;

/// What is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The newest order.
    pub order: Option<Order>,
    /// All areas.
    pub areas: Areas,
}

/// The file.
#[derive(Debug)]
pub(crate) struct StorageFile {
    path: PathBuf,
}

impl StorageFile {
    /// Reads what an earlier life left.
    ///
    /// # Errors
    /// When it can not be read: what is mounted would be taken for somebody else's.
    pub(crate) fn open(state: &Path) -> anyhow::Result<(Self, Kept)> {
        let path = state.join("storage.json");
        let kept = match std::fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).with_context(|| {
                format!("read {}: it is damaged; dismount what is below `areas`, then remove it", path.display())
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        Ok((Self { path }, kept))
    }

    /// Returns when it is on the disk.
    pub(crate) fn write(&self, kept: &Kept) -> io::Result<()> {
        atomic::write(&self.path, &serde_json::to_vec_pretty(kept)?)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StorageTask", rename_all = "snake_case")]
enum TaskWord {
    Mount,
    Dismount,
    Format,
}

mod file_system {
    use muster_model::FileSystem;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
    pub(super) fn serialize<S: Serializer>(value: &Option<FileSystem>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.map_or("", FileSystem::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<FileSystem>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(None),
            word => FileSystem::parse(word).map(Some).ok_or_else(|| D::Error::custom("no file system that is known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_and_areas_read_back_and_a_damaged_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (file, empty) = StorageFile::open(directory.path()).unwrap();
        assert_eq!(empty, Kept::default());
        let work = Work {
            resource: "disk-sdb".into(),
            task: StorageTask::Format,
            file_system: Some(FileSystem::Xfs),
            actor: "user:anna".into(),
        };
        let area = Area {
            device: "/dev/sdc".into(),
            place: "/areas/disk-sdc".into(),
            file_system: None,
            uuid: String::new(),
            actor: "user:anna".into(),
        };
        let order = Order::new(Position::new(1, 7), work, "boot-1");
        let kept = Kept { order: Some(order), areas: [("disk-sdc".to_owned(), area)].into() };
        file.write(&kept).unwrap();
        assert_eq!(StorageFile::open(directory.path()).unwrap().1, kept);
        std::fs::write(directory.path().join("storage.json"), "{").unwrap();
        assert!(StorageFile::open(directory.path()).unwrap_err().to_string().contains("damaged"));
    }
}
