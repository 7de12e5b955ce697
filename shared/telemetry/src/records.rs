//! Records: what one transaction of the logger writes. Plain data; the logger's core makes them, [`crate::write`] stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use muster_model::{FiringId, PoolTime, Position, ProcessId, ProcessState, RunId, Verdict};
use serde_json::Value;

mod task;

pub use task::{TaskChange, TaskId};

/// Where a stream stands: the position that a transaction moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// Name of the stream.
    pub stream: String,
    /// Creation time of the stream, nanoseconds.
    pub epoch: i64,
    /// Last sequence taken; 0 before the first.
    pub last: u64,
}

/// An agent's stream of batches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Machine.
    pub machine: String,
    /// Incarnation.
    pub incarnation: u64,
}

/// What could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Sequence of the message.
    pub sequence: u64,
    /// When the stream stored it.
    pub stored: PoolTime,
    /// Its subject.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// How many items of it: rows or events; 1 for the message as a whole.
    pub items: u32,
    /// The message, or its beginning.
    pub payload: Bytes,
}

/// What was never seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Stream, or the place that an agent names.
    pub place: String,
    /// Machine, when an agent reports it.
    pub machine: Option<String>,
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
    /// Why.
    pub reason: String,
}

/// How values of a metric add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A level.
    Gauge,
    /// Only rises; a fall is a reset.
    Counter,
    /// Increase since the previous value.
    Delta,
}

impl MetricKind {
    /// From the word in the store; none of another.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Gauge, Self::Counter, Self::Delta].into_iter().find(|kind| kind.as_str() == word)
    }

    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Delta => "delta",
        }
    }
}

/// One metric of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Hash of everything else.
    pub id: i64,
    /// Machine.
    pub machine: String,
    /// Machine type.
    pub machine_type: String,
    /// The process; none for the machine itself.
    pub process: Option<ProcessId>,
    /// Module; empty for the machine.
    pub module: String,
    /// Resource; empty for the origin as a whole.
    pub device: String,
    /// Its type.
    pub device_type: String,
    /// Name of the metric.
    pub metric: String,
    /// Kind.
    pub kind: MetricKind,
    /// Unit.
    pub unit: String,
}

/// Whose series are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// An attempt of a process.
    Process(ProcessId),
    /// A machine in a run; run 0 has the machine's own.
    Machine(RunId, String),
    /// A run.
    Run(RunId),
}

impl Scope {
    /// Every scope that a series counts in, the narrowest first.
    #[must_use]
    pub fn of(series: &Series) -> Vec<Self> {
        let run = series.process.unwrap_or_default().run;
        let process = series.process.map(Self::Process);
        process.into_iter().chain([Self::Machine(run, series.machine.clone()), Self::Run(run)]).collect()
    }
}

/// A bound of series that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesBound {
    /// Whose.
    pub scope: Scope,
    /// How many series it may have.
    pub bound: u64,
    /// The first metric that was left out.
    pub metric: String,
}

/// Position in a row -> series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Hash of the list.
    pub id: i64,
    /// The list; 1 to 200. Shared, since most messages say the same one.
    pub series: Arc<[Series]>,
}

/// One hot row.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Pool time of the measurement.
    pub at: PoolTime,
    /// When the stream stored it.
    pub received: PoolTime,
    /// Sequence in the stream.
    pub sequence: u64,
    /// Id of its layout.
    pub layout: i64,
    /// One for each series; NaN means missing.
    pub values: Vec<f64>,
}

/// Which word of which batch a report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// By whom.
    pub origin: Origin,
    /// Batch.
    pub batch: u64,
    /// Place in the batch, from 0.
    pub ordinal: u32,
    /// Sequence in the stream.
    pub sequence: u64,
    /// Pool time of what is reported.
    pub at: PoolTime,
}

/// A durable word of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// By whom, and when.
    pub said: Said,
    /// What.
    pub kind: ReportKind,
}

/// What an agent reports. A process of `ProcessId::default()` stands for the agent itself.
#[derive(Debug, Clone, PartialEq)]
pub enum ReportKind {
    /// A process changed.
    Process {
        /// Which.
        id: ProcessId,
        /// Epoch that it was started in.
        epoch: u64,
        /// The new state.
        state: ProcessState,
        /// What the test says.
        verdict: Verdict,
        /// Exit status, where known.
        exit_status: Option<i32>,
        /// Why.
        reason: String,
        /// OS process id.
        pid: u32,
    },
    /// An epoch was fenced.
    Fence {
        /// Which.
        epoch: u64,
    },
    /// Trouble.
    Error {
        /// The process concerned.
        id: ProcessId,
        /// For people.
        message: String,
    },
    /// Corrupt data.
    Corruption(Box<Corruption>),
    /// A final report.
    Final {
        /// Whose.
        id: ProcessId,
        /// Module.
        module: String,
        /// Totals.
        totals: BTreeMap<String, f64>,
        /// For people.
        text: String,
        /// Resources that it used.
        resources: Vec<String>,
    },
    /// A file in an object store.
    Artifact {
        /// Whose.
        id: ProcessId,
        /// Object store.
        bucket: String,
        /// Name in it.
        name: String,
        /// Size.
        size_bytes: u64,
        /// SHA-256, hex.
        sha256: String,
        /// Where a file that a crash left was on its machine; else empty.
        path: String,
        /// The firing that crashed the machine, where one is known.
        firing: Option<FiringId>,
    },
}

/// Corrupt data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// Who found it.
    pub id: ProcessId,
    /// Path of the disk or file.
    pub target: String,
    /// Resource.
    pub resource: String,
    /// Byte offset.
    pub offset: u64,
    /// Class.
    pub class: String,
    /// Persistence.
    pub persistence: String,
    /// Who wrote it, where the pattern names another.
    pub owner: Option<ProcessId>,
    /// Expected bytes.
    pub expected: Bytes,
    /// Actual bytes.
    pub actual: Bytes,
    /// For people.
    pub detail: String,
}

/// A message of a decision log, as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its position.
    pub position: Position,
    /// BLAKE3 of the payload.
    pub hash: [u8; 32],
    /// What it says of its predecessor's hash.
    pub previous_hash: Bytes,
    /// Its subject.
    pub subject: String,
    /// When the stream stored it.
    pub stored: PoolTime,
    /// Term of the leader that wrote it.
    pub term: u64,
    /// All of it.
    pub payload: Bytes,
}

/// An event of a decision log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEvent {
    /// Position of its message.
    pub position: Position,
    /// Place in the message, from 0.
    pub ordinal: u32,
    /// Pool time of the decision.
    pub at: PoolTime,
    /// Actor; empty means the service itself.
    pub actor: String,
    /// Kind of the cause: `command`, `followed`, ...
    pub cause: String,
    /// Kind of the event: `job_started`.
    pub kind: String,
    /// What it is about: machine, reservation, job.
    pub subject: String,
    /// The event as protobuf JSON.
    pub detail: Value,
}

/// An accepted start command.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Run.
    pub run: u32,
    /// Job number.
    pub job: u32,
    /// Module.
    pub module: String,
    /// Its version.
    pub module_version: String,
    /// Selector of machines.
    pub selector: String,
    /// Who started it.
    pub actor: String,
    /// Seed.
    pub seed: u64,
    /// Reservation; 0 for the pool.
    pub reservation: u64,
    /// Parameters.
    pub parameters: BTreeMap<String, String>,
    /// How many processes.
    pub processes: u32,
    /// Pool time of the decision.
    pub started: PoolTime,
}

/// What one transaction learned of an attempt of a process; what is none stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessChange {
    /// Module.
    pub module: Option<String>,
    /// Machine.
    pub machine: Option<String>,
    /// Epoch that it was placed in.
    pub epoch: Option<u64>,
    /// Resources.
    pub resources: Option<Vec<String>>,
    /// State, as a word: a process state, or `replaced`.
    pub state: Option<&'static str>,
    /// Verdict, once given.
    pub verdict: Option<Verdict>,
    /// When it was placed.
    pub placed: Option<PoolTime>,
    /// When it first ran.
    pub running: Option<PoolTime>,
    /// When it ended.
    pub ended: Option<PoolTime>,
    /// Exit status.
    pub exit_status: Option<i32>,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// OS process id.
    pub pid: Option<u32>,
}

/// A transition of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Which process.
    pub id: ProcessId,
    /// Position of the message.
    pub position: Position,
    /// Place of the transition among those of the message, from 0.
    pub ordinal: u32,
    /// Pool time of the decision.
    pub at: PoolTime,
    /// From.
    pub from: &'static str,
    /// To.
    pub to: &'static str,
    /// Machine.
    pub machine: String,
    /// Why.
    pub reason: String,
}

/// Everything that one transaction writes.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// When the stream stored the last message; none keeps what is known.
    pub stored: Option<PoolTime>,
    /// Messages that could not be taken.
    pub rejects: Vec<Reject>,
    /// What was never seen.
    pub gaps: Vec<Gap>,
    /// Newest batch of each agent that spoke.
    pub batches: BTreeMap<Origin, u64>,
    /// Bounds of series that were reached.
    pub bounds: Vec<SeriesBound>,
    /// Layouts that the samples use.
    pub layouts: BTreeMap<i64, Layout>,
    /// Hot rows.
    pub samples: Vec<Sample>,
    /// Words of agents.
    pub reports: Vec<Report>,
    /// Messages of a decision log.
    pub archived: Vec<Archived>,
    /// Their events.
    pub events: Vec<LogEvent>,
    /// Runs that began.
    pub runs: BTreeMap<u32, PoolTime>,
    /// Jobs that were accepted.
    pub jobs: Vec<Job>,
    /// What was learned of processes.
    pub processes: BTreeMap<ProcessId, ProcessChange>,
    /// Transitions of processes.
    pub states: Vec<StateChange>,
    /// What was learned of tasks of plans.
    pub tasks: BTreeMap<TaskId, TaskChange>,
}

impl Records {
    /// Hours (since 1970) in which the samples were received: each is a partition.
    #[must_use]
    pub fn hours(&self) -> BTreeSet<i64> {
        self.samples.iter().map(|sample| sample.received.0.div_euclid(3_600_000_000_000)).collect()
    }
}
