//! The words of storage. On the wire each may also be unspecified, or newer than this version.

use muster_model as model;

use crate::v1;

impl From<model::StorageTask> for v1::StorageTask {
    fn from(task: model::StorageTask) -> Self {
        match task {
            model::StorageTask::Mount => Self::Mount,
            model::StorageTask::Dismount => Self::Dismount,
            model::StorageTask::Format => Self::Format,
        }
    }
}

impl v1::StorageTask {
    /// The task that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::StorageTask> {
        match self {
            Self::Unspecified => None,
            Self::Mount => Some(model::StorageTask::Mount),
            Self::Dismount => Some(model::StorageTask::Dismount),
            Self::Format => Some(model::StorageTask::Format),
        }
    }
}

impl From<Option<model::FileSystem>> for v1::FileSystem {
    fn from(file_system: Option<model::FileSystem>) -> Self {
        match file_system {
            None => Self::Unspecified,
            Some(model::FileSystem::Ext4) => Self::Ext4,
            Some(model::FileSystem::Xfs) => Self::Xfs,
            Some(model::FileSystem::Btrfs) => Self::Btrfs,
        }
    }
}

impl v1::FileSystem {
    /// The type that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::FileSystem> {
        match self {
            Self::Unspecified => None,
            Self::Ext4 => Some(model::FileSystem::Ext4),
            Self::Xfs => Some(model::FileSystem::Xfs),
            Self::Btrfs => Some(model::FileSystem::Btrfs),
        }
    }
}

impl From<Option<model::StorageOutcome>> for v1::StorageOutcome {
    fn from(outcome: Option<model::StorageOutcome>) -> Self {
        match outcome {
            None => Self::Unspecified,
            Some(model::StorageOutcome::Done) => Self::Done,
            Some(model::StorageOutcome::Failed) => Self::Failed,
        }
    }
}

impl v1::StorageOutcome {
    /// The outcome that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::StorageOutcome> {
        match self {
            Self::Unspecified => None,
            Self::Done => Some(model::StorageOutcome::Done),
            Self::Failed => Some(model::StorageOutcome::Failed),
        }
    }
}

impl From<model::StorageProgress> for v1::StorageProgress {
    fn from(progress: model::StorageProgress) -> Self {
        let step = match progress.step {
            model::StorageStep::Emptying => v1::StorageStep::Emptying,
            model::StorageStep::Acting => v1::StorageStep::Acting,
            model::StorageStep::Ended => v1::StorageStep::Ended,
        };
        Self { order: Some(progress.order.into()), step: step.into() }
    }
}

impl v1::StorageProgress {
    /// The progress that is said; none where no step is said that this version knows.
    #[must_use]
    pub fn known(self) -> Option<model::StorageProgress> {
        let step = match self.step() {
            v1::StorageStep::Unspecified => return None,
            v1::StorageStep::Emptying => model::StorageStep::Emptying,
            v1::StorageStep::Acting => model::StorageStep::Acting,
            v1::StorageStep::Ended => model::StorageStep::Ended,
        };
        Some(model::StorageProgress { order: self.order?.into(), step })
    }
}
