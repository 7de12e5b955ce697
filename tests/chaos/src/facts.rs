//! Everything that the oracle judges by, gathered once all has ended. Plain data.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_model::{CommandId, PoolTime, Position, ProcessId};
use muster_proto::v1::Entry;

use crate::load::Act;

/// What people were told of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Acknowledged {
        /// Position that the answer names: of its decision, where it decided anything.
        position: Position,
        /// Number of the job or reservation that it made, where it made one.
        made: Option<u64>,
    },
    /// It was refused, and why.
    Refused(String),
    /// No answer came in time.
    Unknown,
}

/// A command that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// When it was given first.
    pub at: Duration,
    /// Its id.
    pub id: CommandId,
    /// What it asks for; none for what ends everything at the end.
    pub act: Option<Act>,
    /// What came of it.
    pub answer: Answer,
}

/// BLAKE3 of a message.
pub type Hash = [u8; 32];

/// A message of a decision log.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Where it says that it stands.
    pub position: Position,
    /// Its hash.
    pub hash: Hash,
    /// The hash that it has of its predecessor.
    pub previous: Vec<u8>,
    /// What was decided.
    pub entries: Vec<Entry>,
}

/// A decision log and its copy in PostgreSQL.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    /// Its name.
    pub name: String,
    /// All of it.
    pub messages: Vec<Message>,
    /// Positions and hashes of the copy.
    pub archived: Vec<(Position, Vec<u8>)>,
}

/// A test process that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Started {
    /// Which.
    pub id: ProcessId,
    /// Number of its machine.
    pub machine: u32,
    /// OS process id.
    pub pid: u32,
    /// When it was started, clock ticks since the host's boot.
    pub ticks: u64,
}

/// An intent in an agent's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intent {
    /// Number of the machine.
    pub machine: u32,
    /// What it was about to start.
    pub id: ProcessId,
}

/// A machine as the pool shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// `up`.
    pub health: String,
    /// `ready`.
    pub phase: String,
    /// `pool`.
    pub tenure: String,
}

/// How large a process of a part was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// When.
    pub at: Duration,
    /// Memory, bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

/// One life of a part, from its start to its end, and how large it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The part.
    pub part: String,
    /// OS process id.
    pub pid: u32,
    /// In order of time.
    pub sizes: Vec<Size>,
}

/// A stream and its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// What it holds, bytes.
    pub size: u64,
    /// What it may hold, bytes; 0 for no limit.
    pub size_max: u64,
}

/// What agents were acknowledged, and what the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Values of processes.
    pub samples: u64,
    /// Processes with a final report.
    pub finals: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Pool time at which the run began.
    pub begun: PoolTime,
    /// The commands, in order.
    pub given: Vec<Given>,
    /// JOBS, MACHINES and RESERVATIONS.
    pub logs: Vec<Log>,
    /// Every test process that was ever seen.
    pub started: BTreeSet<Started>,
    /// Test processes that still run.
    pub left: BTreeSet<Started>,
    /// What the agents' journals hold.
    pub intents: Vec<Intent>,
    /// The machines.
    pub machines: Vec<Machine>,
    /// How many there are to be.
    pub machines_expected: u32,
    /// What did not settle in time.
    pub unsettled: Vec<String>,
    /// How large the parts were.
    pub lives: Vec<Life>,
    /// From when on everything was at rest, as far as it came to that.
    pub rested: Option<Duration>,
    /// The streams.
    pub streams: Vec<Stream>,
    /// What agents were acknowledged.
    pub acknowledged: Counts,
    /// What the store holds.
    pub stored: Counts,
}

impl Facts {
    /// The log of this name; empty where it was not gathered.
    pub(crate) fn log(&self, name: &str) -> &[Message] {
        self.logs.iter().find(|log| log.name == name).map_or(&[], |log| &log.messages)
    }

    /// A pool time as time since the beginning of the run.
    pub(crate) fn moment(&self, time_ns: i64) -> Duration {
        PoolTime(time_ns).since(self.begun)
    }
}
