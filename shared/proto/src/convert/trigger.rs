//! Triggers: actions, outcomes, firings and policies.

use std::time::Duration;

use bytes::Bytes;
use muster_model as model;

use super::WireError;
use crate::v1;

impl From<&model::TriggerAction> for v1::TriggerAction {
    fn from(action: &model::TriggerAction) -> Self {
        match action {
            model::TriggerAction::Crash => Self::Crash,
            model::TriggerAction::Sysrq(_) => Self::Sysrq,
            model::TriggerAction::Command(_) => Self::Command,
            model::TriggerAction::DumpHistory => Self::DumpHistory,
            model::TriggerAction::Packet => Self::Packet,
            model::TriggerAction::StopJob(_) => Self::StopJob,
        }
    }
}

impl v1::TriggerAction {
    /// The word of the action; empty where none is said.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Crash => "crash",
            Self::Sysrq => "sysrq",
            Self::Command => "command",
            Self::DumpHistory => "dump-history",
            Self::Packet => "packet",
            Self::StopJob => "stop-job",
        }
    }

    /// The action, with its argument.
    ///
    /// # Errors
    /// None is said, or the argument is not what it takes.
    pub fn with(self, argument: &str) -> Result<model::TriggerAction, model::TriggerActionError> {
        model::TriggerAction::parse(self.word(), argument)
    }
}

impl From<model::TriggerOutcome> for v1::TriggerOutcome {
    fn from(outcome: model::TriggerOutcome) -> Self {
        match outcome {
            model::TriggerOutcome::Acted => Self::Acted,
            model::TriggerOutcome::Missed => Self::Missed,
            model::TriggerOutcome::Forbidden => Self::Forbidden,
            model::TriggerOutcome::Failed => Self::Failed,
            model::TriggerOutcome::BrokenOff => Self::BrokenOff,
        }
    }
}

impl v1::TriggerOutcome {
    /// The outcome that is said; none where it is not said.
    #[must_use]
    pub fn known(self) -> Option<model::TriggerOutcome> {
        match self {
            Self::Unspecified => None,
            Self::Acted => Some(model::TriggerOutcome::Acted),
            Self::Missed => Some(model::TriggerOutcome::Missed),
            Self::Forbidden => Some(model::TriggerOutcome::Forbidden),
            Self::Failed => Some(model::TriggerOutcome::Failed),
            Self::BrokenOff => Some(model::TriggerOutcome::BrokenOff),
        }
    }
}

impl From<&model::TriggerPolicy> for v1::TriggerPolicy {
    fn from(policy: &model::TriggerPolicy) -> Self {
        Self {
            crash: policy.crash,
            sysrq: policy.sysrq.iter().collect(),
            commands: policy.commands.iter().cloned().collect(),
        }
    }
}

impl From<v1::TriggerPolicy> for model::TriggerPolicy {
    fn from(policy: v1::TriggerPolicy) -> Self {
        Self {
            crash: policy.crash,
            sysrq: policy.sysrq.chars().collect(),
            commands: policy.commands.into_iter().collect(),
        }
    }
}

/// A number of a trigger, of a field of a message.
///
/// # Errors
/// It is no number of a trigger.
pub fn trigger_number(message: &'static str, number: u32) -> Result<model::TriggerNumber, WireError> {
    model::TriggerNumber::new(number).ok_or_else(|| WireError::invalid(message, "number", number))
}

fn firing_id(message: &'static str, bytes: &[u8]) -> Result<model::FiringId, WireError> {
    let id = bytes.try_into().map_err(|_| WireError::invalid(message, "firing", "not 16 bytes"))?;
    Ok(model::FiringId(id))
}

fn machine(message: &'static str, text: &str) -> Result<Option<model::MachineId>, WireError> {
    if text.is_empty() {
        return Ok(None);
    }
    model::MachineId::new(text).map(Some).map_err(|error| WireError::invalid(message, "machine", error))
}

impl From<&model::Firing> for v1::TriggerFired {
    fn from(firing: &model::Firing) -> Self {
        let fired = Self {
            firing: Bytes::copy_from_slice(&firing.id.0),
            number: firing.number.0.into(),
            fired_ns: firing.fired.0,
            note: firing.note.clone(),
            reservation: firing.reservation.0,
            ..Self::default()
        };
        match &firing.source {
            model::FiringSource::Person(actor) => Self { actor: actor.clone(), ..fired },
            model::FiringSource::Process { machine, epoch, process } => {
                Self { machine: machine.to_string(), epoch: epoch.0, process: Some((*process).into()), ..fired }
            }
        }
    }
}

impl TryFrom<v1::TriggerFired> for model::Firing {
    type Error = WireError;
    fn try_from(fired: v1::TriggerFired) -> Result<Self, WireError> {
        const MESSAGE: &str = "TriggerFired";
        let source = match machine(MESSAGE, &fired.machine)? {
            None => model::FiringSource::Person(fired.actor),
            Some(machine) => model::FiringSource::Process {
                machine,
                epoch: model::Epoch(fired.epoch),
                process: fired.process.ok_or_else(|| WireError::missing(MESSAGE, "process"))?.into(),
            },
        };
        Ok(Self {
            id: firing_id(MESSAGE, &fired.firing)?,
            number: trigger_number(MESSAGE, fired.number)?,
            source,
            fired: model::PoolTime(fired.fired_ns),
            note: fired.note,
            reservation: model::ReservationId(fired.reservation),
        })
    }
}

impl From<&model::TriggerActed> for v1::TriggerActed {
    fn from(acted: &model::TriggerActed) -> Self {
        Self {
            firing: Bytes::copy_from_slice(&acted.firing.0),
            number: acted.number.0.into(),
            machine: acted.machine.to_string(),
            epoch: acted.epoch.0,
            action: v1::TriggerAction::from(&acted.action).into(),
            argument: acted.action.argument(),
            outcome: v1::TriggerOutcome::from(acted.outcome).into(),
            detail: acted.detail.clone(),
            latency_ns: i64::try_from(acted.latency.as_nanos()).unwrap_or(i64::MAX),
            fired_ns: acted.fired.0,
            fired_by: acted.fired_by.as_ref().map_or_else(String::new, ToString::to_string),
            armed: acted.arm.map(|arm| arm.position.into()),
            index: acted.arm.map_or(0, |arm| arm.index),
        }
    }
}

impl TryFrom<v1::TriggerActed> for model::TriggerActed {
    type Error = WireError;
    fn try_from(acted: v1::TriggerActed) -> Result<Self, WireError> {
        const MESSAGE: &str = "TriggerActed";
        let (action, outcome) = (acted.action(), acted.outcome());
        Ok(Self {
            firing: firing_id(MESSAGE, &acted.firing)?,
            number: trigger_number(MESSAGE, acted.number)?,
            machine: machine(MESSAGE, &acted.machine)?.ok_or_else(|| WireError::missing(MESSAGE, "machine"))?,
            epoch: model::Epoch(acted.epoch),
            action: action.with(&acted.argument).map_err(|error| WireError::invalid(MESSAGE, "action", error))?,
            outcome: outcome.known().ok_or_else(|| WireError::missing(MESSAGE, "outcome"))?,
            detail: acted.detail,
            latency: Duration::from_nanos(u64::try_from(acted.latency_ns).unwrap_or(0)),
            fired: model::PoolTime(acted.fired_ns),
            fired_by: machine(MESSAGE, &acted.fired_by)?,
            arm: acted.armed.map(|armed| model::ArmId { position: armed.into(), index: acted.index }),
        })
    }
}
