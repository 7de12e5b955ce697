//! What agent and keeper say to each other: one JSON object a line over a Unix socket. The agent alone asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::executable::Checked;

/// A line longer than this ends the connection.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 20;
/// Processes in one spawn request at most.
pub(crate) const SPAWN_BATCH_MAX: usize = 100;

/// Name of a process between agent and keeper: `<run>-<dpid>-<attempt>`.
pub(crate) type Name = String;

/// One life of a keeper. What it was asked is in its memory, so only the same life can say that something was never begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct KeeperLife(u64);

impl KeeperLife {
    /// A new one.
    pub(crate) fn begin() -> Self {
        let (high, low) = uuid::Uuid::now_v7().as_u64_pair();
        Self(high ^ low)
    }

    /// It is not known which life this is.
    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// From the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToKeeper {
    /// First on every connection; answered by `State` when nothing that was asked before is still on its way.
    Hello,
    /// Start these. A name that is known is not started again.
    Spawn {
        /// The processes.
        processes: Vec<Spawn>,
    },
    /// End these and everything that they started, at once.
    Kill {
        /// Their names.
        names: Vec<Name>,
    },
    /// Their exits are on the agent's disk.
    Acknowledge {
        /// Their names.
        names: Vec<Name>,
    },
    /// End, if nothing lives.
    Shutdown,
}

/// One process to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spawn {
    /// Its name.
    pub name: Name,
    /// Absolute path of the executable.
    pub program: String,
    /// What `ps` shows.
    pub argv0: String,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Directory that it starts in.
    pub directory: String,
    /// File that stdout and stderr are appended to.
    pub log: String,
    /// What `program` leads to, where it is the link with the name of the process. Older agents do not say.
    #[serde(default)]
    pub artifact: Option<Checked>,
    /// Number of its user, of its own; none where it runs as the keeper does.
    #[serde(default)]
    pub user: Option<u32>,
    /// Number of its group, with its user.
    #[serde(default)]
    pub group: u32,
    /// It runs as root because its module has to: it may gain what root may.
    #[serde(default)]
    pub root: bool,
    /// What it may take.
    #[serde(default)]
    pub limits: Limits,
}

/// What one test process may take. Zero is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// OS processes.
    pub processes: u64,
    /// Descriptors of each of them.
    pub open_files: u64,
    /// Share of the CPUs, against 100 of others.
    pub cpu_weight: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// A file of a crashed process, bytes: zero is none.
    pub core_bytes: u64,
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum FromKeeper {
    /// Everything that it knows.
    State {
        /// Living ones.
        living: Vec<Living>,
        /// Exits that were not acknowledged.
        exits: Vec<Exit>,
        /// Who says so. Older keepers do not tell.
        #[serde(default)]
        life: KeeperLife,
        /// The controllers of cgroups by which it limits processes. Older keepers do not tell, and confine nobody.
        #[serde(default)]
        controllers: Option<Vec<String>>,
    },
    /// It lives.
    Spawned(Living),
    /// It will not.
    NotSpawned {
        /// Its name.
        name: Name,
        /// Why.
        reason: String,
    },
    /// It is gone, and that is in the keeper's journal.
    Exited(Exit),
}

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Living {
    /// Its name.
    pub name: Name,
    /// Its OS process id.
    pub pid: u32,
}

/// A process that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// Its name.
    pub name: Name,
    /// Its OS process id.
    pub pid: u32,
    /// Status as wait(2) gives it; none where it was not ours to wait for.
    pub status: Option<i32>,
}
