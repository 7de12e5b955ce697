//! Words of plans.

use muster_model as model;

use crate::WireError;
use crate::v1;

impl From<model::TaskState> for v1::TaskState {
    fn from(state: model::TaskState) -> Self {
        match state {
            model::TaskState::Queued => Self::Queued,
            model::TaskState::Running => Self::Running,
            model::TaskState::Failed => Self::Failed,
            model::TaskState::Skipped => Self::Skipped,
            model::TaskState::Completed => Self::Completed,
        }
    }
}

impl TryFrom<v1::TaskState> for model::TaskState {
    type Error = WireError;
    fn try_from(state: v1::TaskState) -> Result<Self, WireError> {
        match state {
            v1::TaskState::Unspecified => Err(WireError::missing("PlanTaskEnd", "state")),
            v1::TaskState::Queued => Ok(Self::Queued),
            v1::TaskState::Running => Ok(Self::Running),
            v1::TaskState::Failed => Ok(Self::Failed),
            v1::TaskState::Skipped => Ok(Self::Skipped),
            v1::TaskState::Completed => Ok(Self::Completed),
        }
    }
}

impl From<model::OnFailure> for v1::OnFailure {
    fn from(what: model::OnFailure) -> Self {
        match what {
            model::OnFailure::Stop => Self::Stop,
            model::OnFailure::Continue => Self::Continue,
            model::OnFailure::Checkout => Self::Checkout,
        }
    }
}

impl From<v1::OnFailure> for model::OnFailure {
    fn from(what: v1::OnFailure) -> Self {
        match what {
            v1::OnFailure::Unspecified | v1::OnFailure::Stop => Self::Stop,
            v1::OnFailure::Continue => Self::Continue,
            v1::OnFailure::Checkout => Self::Checkout,
        }
    }
}
