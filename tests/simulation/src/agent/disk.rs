//! What an agent has on its disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use muster_model::{PoolTime, Position, ProcessId, ProcessState, Verdict};
use muster_proto::v1;

use super::Owner;

/// Everything that survives a crash of the agent and a reboot of the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// Nothing older than this epoch lives.
    pub(crate) fenced: u64,
    /// Newest epoch that was heard of.
    pub(crate) epoch: u64,
    /// Starts are refused.
    pub(crate) draining: bool,
    /// Deadline of the holder.
    pub(crate) deadline: PoolTime,
    /// Generation of machine-lifecycle's desired state.
    pub(crate) machine_generation: Position,
    /// What nothing may touch.
    pub(crate) protected: BTreeSet<String>,
    /// Newest incarnation that was granted.
    pub(crate) incarnation: u64,
    /// Highest term per service.
    pub(crate) terms: BTreeMap<Owner, u64>,
    /// Intents, and what became of them, until they may be forgotten.
    pub(crate) known: BTreeMap<ProcessId, Known>,
    /// Generation of the scheduler's desired state.
    pub(crate) generation: Position,
    /// Pulses that jobs here have, as they were told with that generation: its pulse page.
    pub(crate) pulses: Vec<v1::Pulse>,
    /// Batches that are not acknowledged.
    pub(crate) spool: VecDeque<(u64, v1::ReportBatch)>,
    /// Number of the newest batch.
    pub(crate) last_batch: u64,
}

/// A process that the agent has an intent for.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Epoch that it belongs to.
    pub(crate) epoch: u64,
    /// State that was reported last.
    pub(crate) state: ProcessState,
    /// It was told to stop; when its grace is over.
    pub(crate) stop: Option<PoolTime>,
    /// Its end is in the spool.
    pub(crate) ended: bool,
    /// What it said at its end.
    pub(crate) verdict: Verdict,
}

impl Known {
    /// An intent.
    pub(crate) fn new(epoch: u64, stop: Option<PoolTime>) -> Self {
        Self { epoch, state: ProcessState::Starting, stop, ended: false, verdict: Verdict::None }
    }
}
