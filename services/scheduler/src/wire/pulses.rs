//! Pulses on the wire.

use std::time::Duration;

use muster_model::{JobNumber, Pulse, PulseNumber, Refusal, RefusalCode};
use muster_proto::{WireError, v1};

use super::{key_values, pairs};
use crate::core::event::JobChanged;
use crate::core::input::PulseUse;

/// A definition.
#[must_use]
pub fn to_wire(number: PulseNumber, pulse: &Pulse) -> v1::Pulse {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    v1::Pulse {
        number: number.0.into(),
        block_ns: nanoseconds(pulse.block()),
        free_ns: nanoseconds(pulse.free()),
        phase_ns: nanoseconds(pulse.phase()),
    }
}

pub(super) fn list_to_wire(pulses: &[(PulseNumber, Pulse)]) -> Vec<v1::Pulse> {
    pulses.iter().map(|(number, pulse)| to_wire(*number, pulse)).collect()
}

fn parts(pulse: &v1::Pulse) -> [Duration; 3] {
    [pulse.block_ns, pulse.free_ns, pulse.phase_ns].map(Duration::from_nanos)
}

/// A definition of the log.
pub(super) fn from_wire(pulse: &v1::Pulse) -> Result<(PulseNumber, Pulse), WireError> {
    let invalid = |error| WireError::invalid("Pulse", "number", error);
    let [block, free, phase] = parts(pulse);
    let number = PulseNumber::try_from(pulse.number).map_err(invalid)?;
    Ok((number, Pulse::new(block, free, phase).map_err(invalid)?))
}

/// A definition as a person gives it.
pub(super) fn definition(pulse: &v1::Pulse) -> Result<(PulseNumber, Pulse), Refusal> {
    let refuse =
        |why: String, next: &str| Refusal::new(RefusalCode::Invalid, format!("set pulse {}", pulse.number), why, next);
    let number = PulseNumber::try_from(pulse.number);
    let number = number.map_err(|error| refuse(error.to_string(), "give a number of 0 to 255"))?;
    let [block, free, phase] = parts(pulse);
    let made = Pulse::new(block, free, phase);
    let pulse =
        made.map_err(|error| refuse(error.to_string(), "give times of 1ms to 24h, like `--block 2s --free 3s`"))?;
    Ok((number, pulse))
}

pub(super) fn numbers_to_wire(numbers: &[PulseNumber]) -> Vec<u32> {
    numbers.iter().map(|number| number.0.into()).collect()
}

pub(super) fn numbers(message: &'static str, numbers: &[u32]) -> Result<Vec<PulseNumber>, WireError> {
    let numbers = numbers.iter().map(|number| PulseNumber::try_from(*number));
    numbers.collect::<Result<_, _>>().map_err(|error| WireError::invalid(message, "pulses", error))
}

impl From<&PulseUse> for v1::PulseRecord {
    fn from(used: &PulseUse) -> Self {
        Self {
            pulse: Some(to_wire(used.number, &used.pulse)),
            jobs: used.jobs.iter().map(|job| job.0).collect(),
            processes: used.processes,
            cleared: used.cleared,
        }
    }
}

impl From<&JobChanged> for v1::JobChanged {
    fn from(changed: &JobChanged) -> Self {
        let pulses = changed.pulses.as_ref();
        Self {
            job: changed.job.0,
            pulses: pulses.map(|pulses| v1::PulseNumbers { numbers: numbers_to_wire(pulses) }),
            parameters: key_values(changed.parameters.iter().map(|(name, value)| (name, value))),
        }
    }
}

impl TryFrom<v1::JobChanged> for JobChanged {
    type Error = WireError;
    fn try_from(changed: v1::JobChanged) -> Result<Self, WireError> {
        Ok(Self {
            job: JobNumber(changed.job),
            pulses: changed.pulses.map(|pulses| numbers("JobChanged", &pulses.numbers)).transpose()?,
            parameters: pairs(changed.parameters),
        })
    }
}
