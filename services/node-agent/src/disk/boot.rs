//! The newest order to install a kernel or to reboot, in a file that is written before anything is done about it.

use std::io;
use std::path::{Path, PathBuf};

use muster_model::{BootOperation, Position};
use serde::{Deserialize, Serialize};

use super::atomic;
use crate::boot::Entry;

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Its kernel is being fetched and installed.
    Installing,
    /// It is installed.
    Installed,
    /// It could not be done.
    Failed,
    /// The machine is going down.
    Rebooting,
}

/// What is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BootOrder {
    /// Lineage and sequence of the order, and the attempt.
    operation: (u64, u64, u32),
    /// How far it is.
    pub step: Step,
    /// Why it failed.
    pub detail: String,
    /// Boot in which this was written.
    boot_id: String,
    /// The kernel that is installed for it.
    pub entry: Option<Entry>,
}

impl BootOrder {
    /// An order in this boot.
    pub(crate) fn new(operation: BootOperation, step: Step, detail: &str, boot_id: &str) -> Self {
        let order = operation.order;
        let operation = (order.lineage.0, order.sequence.0, operation.attempt);
        Self { operation, step, detail: detail.into(), boot_id: boot_id.into(), entry: None }
    }

    /// Its name.
    pub(crate) fn operation(&self) -> BootOperation {
        let (lineage, sequence, attempt) = self.operation;
        BootOperation { order: Position::new(lineage, sequence), attempt }
    }

    /// Another life of the agent can go on from here: what was under way in this boot is told again.
    fn is_settled(&self, boot_id: &str) -> bool {
        match self.step {
            Step::Installed | Step::Failed => true,
            Step::Rebooting => self.boot_id != boot_id,
            Step::Installing => false,
        }
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct BootFile {
    path: PathBuf,
}

impl BootFile {
    /// Reads what an earlier life left; what can not be read counts for nothing, and is told again.
    pub(crate) fn open(state: &Path, boot_id: &str) -> (Self, Option<BootOrder>) {
        let path = state.join("boot.json");
        let left = std::fs::read(&path).ok().and_then(|content| serde_json::from_slice(&content).ok());
        (Self { path }, left.filter(|order: &BootOrder| order.is_settled(boot_id)))
    }

    /// Returns when it is on the disk.
    pub(crate) fn write(&self, order: &BootOrder) -> io::Result<()> {
        atomic::write(&self.path, &serde_json::to_vec_pretty(order)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reboot_that_did_not_happen_is_told_again_and_one_that_did_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let operation = BootOperation { order: Position::new(1, 7), attempt: 2 };
        for (step, same_boot, other_boot) in [
            (Step::Installing, false, false),
            (Step::Installed, true, true),
            (Step::Failed, true, true),
            (Step::Rebooting, false, true),
        ] {
            let (file, _) = BootFile::open(directory.path(), "boot-1");
            file.write(&BootOrder::new(operation, step, "", "boot-1")).unwrap();
            let known = |boot_id: &str| BootFile::open(directory.path(), boot_id).1;
            assert_eq!((known("boot-1").is_some(), known("boot-2").is_some()), (same_boot, other_boot), "{step:?}");
            assert!(known("boot-2").is_none_or(|order| order.operation() == operation));
        }
    }
}
