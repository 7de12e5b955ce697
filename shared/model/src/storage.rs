//! The words of storage: what is done to a disk so that tests can work in it, and what came of it.

use std::fmt;

use crate::Position;

/// What is done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageTask {
    /// Its file system is mounted: tests work in a directory.
    Mount,
    /// It is a plain device again.
    Dismount,
    /// It gets a new, empty file system.
    Format,
}

impl StorageTask {
    /// All tasks.
    pub const ALL: [Self; 3] = [Self::Mount, Self::Dismount, Self::Format];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Dismount => "dismount",
            Self::Format => "format",
        }
    }
}

impl fmt::Display for StorageTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A type of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileSystem {
    /// ext4; it also mounts what ext2 and ext3 were.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl FileSystem {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The word for people, for mount(2) and for mkfs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The type of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageOutcome {
    /// Done.
    Done,
    /// Not done.
    Failed,
}

impl StorageOutcome {
    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// How far an agent is with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageStep {
    /// It waits until nothing uses the disk.
    Emptying,
    /// It is being done.
    Acting,
    /// It has ended, and that is reported.
    Ended,
}

impl StorageStep {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emptying => "waiting until nothing uses it",
            Self::Acting => "at it",
            Self::Ended => "ended",
        }
    }
}

/// How far an agent is with the newest order that it was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StorageProgress {
    /// MACHINES position of the order.
    pub order: Position,
    /// How far it is.
    pub step: StorageStep,
}
