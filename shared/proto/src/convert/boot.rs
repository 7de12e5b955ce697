//! The words of boots. On the wire each may also be unspecified, or newer than this version.

use muster_model as model;

use crate::v1;

impl From<model::BootDriver> for v1::BootDriver {
    fn from(driver: model::BootDriver) -> Self {
        match driver {
            model::BootDriver::Simulated => Self::Simulated,
            model::BootDriver::Kexec => Self::Kexec,
            model::BootDriver::Grub => Self::Grub,
            model::BootDriver::SystemdBoot => Self::SystemdBoot,
            model::BootDriver::QemuDirect => Self::QemuDirect,
        }
    }
}

impl v1::BootDriver {
    /// The driver that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::BootDriver> {
        match self {
            Self::Unspecified => None,
            Self::Simulated => Some(model::BootDriver::Simulated),
            Self::Kexec => Some(model::BootDriver::Kexec),
            Self::Grub => Some(model::BootDriver::Grub),
            Self::SystemdBoot => Some(model::BootDriver::SystemdBoot),
            Self::QemuDirect => Some(model::BootDriver::QemuDirect),
        }
    }
}

impl From<model::Absence> for v1::Absence {
    fn from(absence: model::Absence) -> Self {
        match absence {
            model::Absence::Reboot => Self::Reboot,
            model::Absence::Shutdown => Self::Shutdown,
            model::Absence::Crash => Self::Crash,
        }
    }
}

impl v1::Absence {
    /// The absence that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::Absence> {
        match self {
            Self::Unspecified => None,
            Self::Reboot => Some(model::Absence::Reboot),
            Self::Shutdown => Some(model::Absence::Shutdown),
            Self::Crash => Some(model::Absence::Crash),
        }
    }
}

impl From<model::BootVerdict> for v1::BootVerdict {
    fn from(verdict: model::BootVerdict) -> Self {
        match verdict {
            model::BootVerdict::Verified => Self::Verified,
            model::BootVerdict::WrongKernel => Self::WrongKernel,
            model::BootVerdict::WrongBuild => Self::WrongBuild,
            model::BootVerdict::StaleBoot => Self::StaleBoot,
            model::BootVerdict::CrashedBack => Self::CrashedBack,
        }
    }
}

impl v1::BootVerdict {
    /// The verdict that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::BootVerdict> {
        match self {
            Self::Unspecified => None,
            Self::Verified => Some(model::BootVerdict::Verified),
            Self::WrongKernel => Some(model::BootVerdict::WrongKernel),
            Self::WrongBuild => Some(model::BootVerdict::WrongBuild),
            Self::StaleBoot => Some(model::BootVerdict::StaleBoot),
            Self::CrashedBack => Some(model::BootVerdict::CrashedBack),
        }
    }
}

impl From<model::Occurrence> for v1::Occurrence {
    fn from(occurrence: model::Occurrence) -> Self {
        match occurrence {
            model::Occurrence::Verified => Self::Verified,
            model::Occurrence::WrongKernel => Self::WrongKernel,
            model::Occurrence::WrongBuild => Self::WrongBuild,
            model::Occurrence::StaleBoot => Self::StaleBoot,
            model::Occurrence::CrashedBack => Self::CrashedBack,
            model::Occurrence::InstallFailed => Self::InstallFailed,
            model::Occurrence::PowerFailed => Self::PowerFailed,
            model::Occurrence::PowerUnclear => Self::PowerUnclear,
            model::Occurrence::WentDown => Self::WentDown,
            model::Occurrence::UnorderedBoot => Self::UnorderedBoot,
        }
    }
}

impl v1::Occurrence {
    /// The occurrence that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::Occurrence> {
        match self {
            Self::Unspecified => None,
            Self::Verified => Some(model::Occurrence::Verified),
            Self::WrongKernel => Some(model::Occurrence::WrongKernel),
            Self::WrongBuild => Some(model::Occurrence::WrongBuild),
            Self::StaleBoot => Some(model::Occurrence::StaleBoot),
            Self::CrashedBack => Some(model::Occurrence::CrashedBack),
            Self::InstallFailed => Some(model::Occurrence::InstallFailed),
            Self::PowerFailed => Some(model::Occurrence::PowerFailed),
            Self::PowerUnclear => Some(model::Occurrence::PowerUnclear),
            Self::WentDown => Some(model::Occurrence::WentDown),
            Self::UnorderedBoot => Some(model::Occurrence::UnorderedBoot),
        }
    }
}

impl From<model::BootOperation> for v1::BootOperation {
    fn from(operation: model::BootOperation) -> Self {
        Self { order: Some(operation.order.into()), attempt: operation.attempt }
    }
}

impl From<v1::BootOperation> for model::BootOperation {
    fn from(operation: v1::BootOperation) -> Self {
        Self { order: operation.order.unwrap_or_default().into(), attempt: operation.attempt }
    }
}

impl From<&model::BootProgress> for v1::BootProgress {
    fn from(progress: &model::BootProgress) -> Self {
        let step = match progress.step {
            model::BootStep::Installing => v1::BootStep::Installing,
            model::BootStep::Installed => v1::BootStep::Installed,
            model::BootStep::Failed => v1::BootStep::Failed,
            model::BootStep::Rebooting => v1::BootStep::Rebooting,
        };
        Self { operation: Some(progress.operation.into()), step: step.into(), detail: progress.detail.clone() }
    }
}

impl v1::BootProgress {
    /// The progress that is said; none where no step is said that this version knows.
    #[must_use]
    pub fn known(self) -> Option<model::BootProgress> {
        let step = match self.step() {
            v1::BootStep::Unspecified => return None,
            v1::BootStep::Installing => model::BootStep::Installing,
            v1::BootStep::Installed => model::BootStep::Installed,
            v1::BootStep::Failed => model::BootStep::Failed,
            v1::BootStep::Rebooting => model::BootStep::Rebooting,
        };
        Some(model::BootProgress { operation: self.operation?.into(), step, detail: self.detail })
    }
}
