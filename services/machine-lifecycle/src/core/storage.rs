//! The newest order to prepare a disk of a machine as a test area, or back.
//!
//! Responsible for what such an order is. Not for areas themselves: what is mounted is what probing finds.

use muster_model::{
    Epoch, FileSystem, MachineId, PoolTime, Position, ResourceId, StorageOutcome, StorageProgress, StorageTask,
};

use super::limits::{STORAGE_TOLD_WITHIN, STORAGE_WITHIN};
use super::{Area, Machine};

/// What is to be done to which disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageWork {
    /// The disk.
    pub resource: ResourceId,
    /// What.
    pub task: StorageTask,
    /// The file system to make, or to expect; none takes the one that is there.
    pub file_system: Option<FileSystem>,
    /// Who ordered it.
    pub actor: String,
}

/// An order, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageOrder {
    /// MACHINES position of the order: with the machine, its name.
    pub position: Position,
    /// What.
    pub work: StorageWork,
    /// Epoch of the machine at that time.
    pub epoch: Epoch,
    /// Boot of the machine at that time: in another one a device may have another name.
    pub boot_id: String,
    /// When.
    pub since: PoolTime,
    /// What became of it; none while it is under way.
    pub outcome: Option<StorageOutcome>,
    /// For people.
    pub detail: String,
    /// When it ended.
    pub ended: PoolTime,
}

/// A person's order.
#[derive(Debug, Clone)]
pub struct StorageOrdering {
    /// The machine.
    pub machine: MachineId,
    /// What.
    pub work: StorageWork,
    /// What is on the disk may be lost.
    pub confirmed: bool,
}

/// What an agent reports of an order.
#[derive(Debug, Clone)]
pub struct StorageReport {
    /// The order.
    pub position: Position,
    /// What became of it.
    pub outcome: StorageOutcome,
    /// For people.
    pub detail: String,
}

impl StorageOrder {
    /// It is not known yet what becomes of it: no test uses the disk.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// What its agent said last is about this order.
    #[must_use]
    pub fn is_known(&self, progress: Option<StorageProgress>) -> bool {
        progress.is_some_and(|progress| progress.order == self.position)
    }
}

impl Machine {
    /// The order that is under way.
    #[must_use]
    pub fn storage_order(&self) -> Option<&StorageOrder> {
        self.storage.as_ref().filter(|order| order.is_open())
    }

    /// The area that a disk is mounted as.
    #[must_use]
    pub fn area(&self, id: &ResourceId) -> Option<&Area> {
        let inventory = self.inventory.as_ref()?;
        inventory.resources.iter().find(|resource| resource.id == *id)?.area.as_ref()
    }

    /// Nothing may touch this disk.
    #[must_use]
    pub fn shields(&self, id: &ResourceId) -> bool {
        self.protection.machine || self.protection.protected.contains(id)
    }

    /// Why its order comes to nothing: it was not told in time or may not be told any more, or nothing was heard of it.
    #[must_use]
    pub(super) fn storage_failure(&self, progress: Option<StorageProgress>, now: PoolTime) -> Option<String> {
        let order = self.storage_order()?;
        if (order.since + STORAGE_WITHIN).is_due(now) {
            return Some(format!("nothing was heard of it within {STORAGE_WITHIN:?}"));
        }
        if order.is_known(progress) {
            return None;
        }
        let told_late = (order.since + STORAGE_TOLD_WITHIN).is_due(now);
        let reasons = [
            (self.boot_id != order.boot_id, "the machine was rebooted before".to_owned()),
            (self.epoch != order.epoch, "the machine changed hands before".to_owned()),
            (self.shields(&order.work.resource), "it was protected before".to_owned()),
            (told_late, format!("its agent did not take it within {STORAGE_TOLD_WITHIN:?}")),
        ];
        reasons.into_iter().find(|(applies, _)| *applies).map(|(_, why)| why)
    }
}
