//! Conversions of the shared words between wire and model. What a service alone says is converted by that service.

mod boot;
mod group;
mod machine;
mod plan;
mod storage;
mod trigger;

use std::time::Duration;

use muster_model as model;

use crate::v1;

pub use trigger::trigger_number;

/// A message that can be decoded, and yet says nothing that the model knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field}: {reason}")]
pub struct WireError {
    /// Message type.
    pub message: &'static str,
    /// Field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl WireError {
    /// A field that is needed and not there.
    #[must_use]
    pub fn missing(message: &'static str, field: &'static str) -> Self {
        Self { message, field, reason: "missing".into() }
    }

    /// A field whose value is not legal.
    #[must_use]
    pub fn invalid(message: &'static str, field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self { message, field, reason: reason.to_string() }
    }
}

impl From<model::Position> for v1::Position {
    fn from(position: model::Position) -> Self {
        Self { lineage: position.lineage.0, sequence: position.sequence.0 }
    }
}

impl From<v1::Position> for model::Position {
    fn from(position: v1::Position) -> Self {
        Self::new(position.lineage, position.sequence)
    }
}

impl From<model::Dpid> for v1::Dpid {
    fn from(dpid: model::Dpid) -> Self {
        Self { job: dpid.job.0, process: dpid.process.0 }
    }
}

impl From<v1::Dpid> for model::Dpid {
    fn from(dpid: v1::Dpid) -> Self {
        Self { job: model::JobNumber(dpid.job), process: model::ProcessNumber(dpid.process) }
    }
}

impl From<model::ProcessId> for v1::ProcessId {
    fn from(id: model::ProcessId) -> Self {
        Self { run: id.run.0, dpid: Some(id.dpid.into()), attempt: id.attempt.0 }
    }
}

impl From<v1::ProcessId> for model::ProcessId {
    fn from(id: v1::ProcessId) -> Self {
        Self {
            run: model::RunId(id.run),
            dpid: id.dpid.unwrap_or_default().into(),
            attempt: model::Attempt(id.attempt),
        }
    }
}

impl From<model::ProcessState> for v1::ProcessState {
    fn from(state: model::ProcessState) -> Self {
        match state {
            model::ProcessState::Starting => Self::Starting,
            model::ProcessState::Running => Self::Running,
            model::ProcessState::Mia => Self::Mia,
            model::ProcessState::Fip => Self::Fip,
            model::ProcessState::Finished => Self::Finished,
            model::ProcessState::Dead => Self::Dead,
            model::ProcessState::Lost => Self::Lost,
            model::ProcessState::Away => Self::Away,
        }
    }
}

impl TryFrom<v1::ProcessState> for model::ProcessState {
    type Error = WireError;
    fn try_from(state: v1::ProcessState) -> Result<Self, WireError> {
        match state {
            v1::ProcessState::Unspecified => Err(WireError::missing("ProcessReport", "state")),
            v1::ProcessState::Starting => Ok(Self::Starting),
            v1::ProcessState::Running => Ok(Self::Running),
            v1::ProcessState::Mia => Ok(Self::Mia),
            v1::ProcessState::Fip => Ok(Self::Fip),
            v1::ProcessState::Finished => Ok(Self::Finished),
            v1::ProcessState::Dead => Ok(Self::Dead),
            v1::ProcessState::Lost => Ok(Self::Lost),
            v1::ProcessState::Away => Ok(Self::Away),
        }
    }
}

impl From<model::Verdict> for v1::Verdict {
    fn from(verdict: model::Verdict) -> Self {
        match verdict {
            model::Verdict::None => Self::Unspecified,
            model::Verdict::Pass => Self::Pass,
            model::Verdict::Fail => Self::Fail,
            model::Verdict::Skip => Self::Skip,
            model::Verdict::Error => Self::Error,
        }
    }
}

impl From<v1::Verdict> for model::Verdict {
    fn from(verdict: v1::Verdict) -> Self {
        match verdict {
            v1::Verdict::Unspecified => Self::None,
            v1::Verdict::Pass => Self::Pass,
            v1::Verdict::Fail => Self::Fail,
            v1::Verdict::Skip => Self::Skip,
            v1::Verdict::Error => Self::Error,
        }
    }
}

impl From<&model::Refusal> for v1::Refusal {
    fn from(refusal: &model::Refusal) -> Self {
        let code = match refusal.code {
            model::RefusalCode::Invalid => v1::RefusalCode::Invalid,
            model::RefusalCode::Refused => v1::RefusalCode::Refused,
            model::RefusalCode::NotFound => v1::RefusalCode::NotFound,
            model::RefusalCode::Unavailable => v1::RefusalCode::Unavailable,
            model::RefusalCode::TooOld => v1::RefusalCode::TooOld,
            model::RefusalCode::Limit => v1::RefusalCode::Limit,
        };
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let place = refusal.place.as_ref();
        Self {
            code: code.into(),
            what: refusal.what.clone(),
            why: refusal.why.clone(),
            next: refusal.next.clone(),
            text: place.map_or_else(String::new, |place| place.text.clone()),
            place_from: place.map_or(0, |place| offset(place.from)),
            place_to: place.map_or(0, |place| offset(place.to)),
            again_after_ms: refusal.again_after().map_or(0, |wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}

impl From<v1::Refusal> for model::Refusal {
    fn from(refusal: v1::Refusal) -> Self {
        let code = match refusal.code() {
            v1::RefusalCode::Invalid => model::RefusalCode::Invalid,
            v1::RefusalCode::Refused => model::RefusalCode::Refused,
            v1::RefusalCode::NotFound => model::RefusalCode::NotFound,
            v1::RefusalCode::Unspecified | v1::RefusalCode::Unavailable => model::RefusalCode::Unavailable,
            v1::RefusalCode::TooOld => model::RefusalCode::TooOld,
            v1::RefusalCode::Limit => model::RefusalCode::Limit,
        };
        let mut made = Self::new(code, refusal.what, refusal.why, refusal.next);
        if !refusal.text.is_empty() {
            let (from, to) = (refusal.place_from as usize, refusal.place_to as usize);
            made = made.at(model::Place { text: refusal.text, from, to });
        }
        made = made.with_again_after(Duration::from_millis(refusal.again_after_ms.into()));
        made
    }
}

/// The command id of an envelope.
///
/// # Errors
/// When it is not the 16 bytes of a UUIDv7 (RFC 9562: version in the high half of byte 6).
pub fn command_id(envelope: &v1::Envelope) -> Result<model::CommandId, WireError> {
    let invalid = || WireError::invalid("Envelope", "cmd_id", "must be a UUIDv7 of 16 bytes");
    let bytes: [u8; 16] = envelope.cmd_id.as_ref().try_into().map_err(|_| invalid())?;
    if bytes[6] >> 4 == 7 { Ok(model::CommandId(bytes)) } else { Err(invalid()) }
}
