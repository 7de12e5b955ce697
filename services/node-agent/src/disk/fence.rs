//! The fence: whose this machine is, as far as this agent was told, in a file that is written before anything is done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_model::{Epoch, Incarnation, PoolTime, Position, Term};
use serde::{Deserialize, Serialize};

use super::atomic;
use crate::core::authority::Owner;

/// What is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    /// Nothing older than this epoch lives.
    fenced_epoch: u64,
    /// Newest epoch heard of.
    epoch: u64,
    /// Starts are refused.
    pub draining: bool,
    /// The holder's deadline passed without a word from anyone, and what ran was ended.
    pub acted_alone: bool,
    /// Protected resource ids.
    pub protected: BTreeSet<String>,
    /// The whole machine is protected.
    pub machine_protected: bool,
    /// Number of the reservation that holds it; 0 for the pool.
    pub reservation: u64,
    /// Pool time of the holder's deadline, nanoseconds; 0 for none.
    deadline_ns: i64,
    /// Ssh key of who holds it; empty for none.
    #[serde(default)]
    pub ssh_key: String,
    /// Generation of machine-lifecycle's desired state: lineage and sequence.
    machine_generation: (u64, u64),
    /// Newest incarnation that was granted.
    incarnation: u64,
    /// Highest term per service.
    terms: BTreeMap<String, u64>,
    /// Boot in which this was written.
    pub boot_id: String,
}

impl Fence {
    /// Nothing older than this epoch lives.
    pub(crate) fn fenced_epoch(&self) -> Epoch {
        Epoch(self.fenced_epoch)
    }

    /// Newest epoch heard of.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Deadline of the holder.
    pub(crate) fn deadline(&self) -> PoolTime {
        PoolTime(self.deadline_ns)
    }

    /// Generation of machine-lifecycle's desired state.
    pub(crate) fn machine_generation(&self) -> Position {
        Position::new(self.machine_generation.0, self.machine_generation.1)
    }

    /// Newest incarnation that was granted.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation)
    }

    /// Highest terms.
    pub(crate) fn terms(&self) -> BTreeMap<Owner, Term> {
        let owners = [Owner::MachineLifecycle, Owner::Scheduler];
        owners.into_iter().filter_map(|owner| Some((owner, Term(*self.terms.get(owner.as_str())?)))).collect()
    }

    /// Raises the epoch that was heard of; it never falls.
    pub(crate) fn raise_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch.0);
    }

    /// Nothing older than the newest epoch lives.
    pub(crate) fn close(&mut self) {
        self.fenced_epoch = self.epoch;
    }

    /// A new deadline.
    pub(crate) fn set_deadline(&mut self, deadline: PoolTime) {
        self.deadline_ns = deadline.0;
    }

    /// A new generation.
    pub(crate) fn set_machine_generation(&mut self, position: Position) {
        self.machine_generation = (position.lineage.0, position.sequence.0);
    }

    /// A granted incarnation; never lower than the last.
    pub(crate) fn set_incarnation(&mut self, incarnation: Incarnation) {
        self.incarnation = self.incarnation.max(incarnation.0);
    }

    /// A term that was heard; gives whether it is higher than all before.
    pub(crate) fn raise_term(&mut self, owner: Owner, term: Term) -> bool {
        let known = self.terms.entry(owner.as_str().into()).or_default();
        let higher = term.0 > *known;
        *known = term.0.max(*known);
        higher
    }
}

/// The fence's file.
#[derive(Debug)]
pub(crate) struct FenceFile {
    path: PathBuf,
}

impl FenceFile {
    /// Reads the fence; an agent that was never here before starts with the default.
    pub(crate) fn open(state: &Path) -> anyhow::Result<(Self, Fence)> {
        let path = state.join("fence.json");
        let fence = match std::fs::read(&path) {
            Ok(content) => serde_json::from_slice(&content).with_context(|| {
                format!(
                    "read {}: it is damaged, and without it old processes can not be told from new ones",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Fence::default(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        Ok((Self { path }, fence))
    }

    /// Returns when the fence is on the disk.
    pub(crate) fn write(&self, fence: &Fence) -> io::Result<()> {
        atomic::write(&self.path, &serde_json::to_vec_pretty(fence)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_reads_back_and_its_numbers_never_fall() {
        let directory = tempfile::tempdir().unwrap();
        let (file, mut fence) = FenceFile::open(directory.path()).unwrap();
        fence.raise_epoch(Epoch(4));
        fence.raise_epoch(Epoch(3));
        fence.set_incarnation(Incarnation(9));
        assert!(fence.raise_term(Owner::Scheduler, Term(5)) && !fence.raise_term(Owner::Scheduler, Term(4)));
        file.write(&fence).unwrap();
        let (_, read) = FenceFile::open(directory.path()).unwrap();
        assert_eq!(read, fence);
        assert_eq!((read.epoch(), read.fenced_epoch()), (Epoch(4), Epoch(0)));
        assert_eq!(read.terms()[&Owner::Scheduler], Term(5));
    }
}
