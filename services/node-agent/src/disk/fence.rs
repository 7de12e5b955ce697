//! The fence's file: it is written before anything is done about what changed in it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::atomic;
use crate::core::fence::Fence;

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
    use muster_model::{Epoch, Incarnation, Term};

    use super::*;
    use crate::core::authority::Owner;

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
