//! The words of machines: kinds of resources, phases, flags. On the wire each may also be unspecified, or newer than this version.

use muster_model as model;

use crate::v1;

impl From<model::ResourceKind> for v1::ResourceKind {
    fn from(kind: model::ResourceKind) -> Self {
        match kind {
            model::ResourceKind::Cpu => Self::Cpu,
            model::ResourceKind::Disk => Self::Disk,
            model::ResourceKind::Nic => Self::Nic,
            model::ResourceKind::Memory => Self::Memory,
            model::ResourceKind::Tape => Self::Tape,
        }
    }
}

impl v1::ResourceKind {
    /// The kind that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::ResourceKind> {
        match self {
            Self::Unspecified => None,
            Self::Cpu => Some(model::ResourceKind::Cpu),
            Self::Disk => Some(model::ResourceKind::Disk),
            Self::Nic => Some(model::ResourceKind::Nic),
            Self::Memory => Some(model::ResourceKind::Memory),
            Self::Tape => Some(model::ResourceKind::Tape),
        }
    }
}

impl From<model::Phase> for v1::Phase {
    fn from(phase: model::Phase) -> Self {
        match phase {
            model::Phase::Dirty => Self::Dirty,
            model::Phase::Reverting => Self::Reverting,
            model::Phase::Settling => Self::Settling,
            model::Phase::Installing => Self::Installing,
            model::Phase::Rebooting => Self::Rebooting,
            model::Phase::Verifying => Self::Verifying,
            model::Phase::Ready => Self::Ready,
            model::Phase::Offline => Self::Offline,
        }
    }
}

impl v1::Phase {
    /// The phase that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::Phase> {
        match self {
            Self::Unspecified => None,
            Self::Dirty => Some(model::Phase::Dirty),
            Self::Reverting => Some(model::Phase::Reverting),
            Self::Settling => Some(model::Phase::Settling),
            Self::Installing => Some(model::Phase::Installing),
            Self::Rebooting => Some(model::Phase::Rebooting),
            Self::Verifying => Some(model::Phase::Verifying),
            Self::Ready => Some(model::Phase::Ready),
            Self::Offline => Some(model::Phase::Offline),
        }
    }
}

impl From<model::Flag> for v1::MachineFlag {
    fn from(flag: model::Flag) -> Self {
        match flag {
            model::Flag::Active => Self::Active,
            model::Flag::Maintenance => Self::Maintenance,
            model::Flag::Retired => Self::Retired,
        }
    }
}

impl v1::MachineFlag {
    /// The flag that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::Flag> {
        match self {
            Self::Unspecified => None,
            Self::Active => Some(model::Flag::Active),
            Self::Maintenance => Some(model::Flag::Maintenance),
            Self::Retired => Some(model::Flag::Retired),
        }
    }
}
