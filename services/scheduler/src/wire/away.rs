//! Announced absences on the wire.

use std::time::Duration;

use muster_model::{Epoch, PoolTime, nanoseconds};
use muster_proto::{WireError, v1};

use super::{bounded, machine_id};
use crate::core::event::AbsenceExpected;
use crate::core::input::Announced;
use crate::core::job::Expected;

const MESSAGE: &str = "AbsenceExpected";

/// What an agent says of a process; none for what is taken back, or is of a newer version.
pub(super) fn report(said: v1::AbsenceAnnounced) -> Option<Announced> {
    let absence = said.absence().known().filter(|_| !said.withdrawn)?;
    Some(Announced {
        id: said.id?.into(),
        epoch: Epoch(said.epoch),
        number: said.number,
        absence,
        within: duration(said.within_ns),
        boot_id: bounded(said.boot_id),
        note: bounded(said.note),
    })
}

fn duration(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
}

/// What was decided, without whose it is.
pub(super) fn expected_to_wire(expected: &Expected) -> v1::AbsenceExpected {
    v1::AbsenceExpected {
        id: None,
        machine: String::new(),
        number: expected.number,
        absence: v1::Absence::from(expected.absence).into(),
        within_ns: nanoseconds(expected.within),
        until_ns: expected.until.0,
        refused: expected.refused.clone(),
        boot_id: expected.boot_id.clone(),
        note: expected.note.clone(),
    }
}

/// The same, read.
pub(super) fn expected_from_wire(wire: v1::AbsenceExpected) -> Result<Expected, WireError> {
    Ok(Expected {
        number: wire.number,
        absence: wire.absence().known().ok_or_else(|| WireError::missing(MESSAGE, "absence"))?,
        within: duration(wire.within_ns),
        until: PoolTime(wire.until_ns),
        boot_id: wire.boot_id,
        note: wire.note,
        refused: wire.refused,
    })
}

impl From<&AbsenceExpected> for v1::AbsenceExpected {
    fn from(absence: &AbsenceExpected) -> Self {
        let (id, machine) = (Some(absence.id.into()), absence.machine.to_string());
        Self { id, machine, ..expected_to_wire(&absence.expected) }
    }
}

impl TryFrom<v1::AbsenceExpected> for AbsenceExpected {
    type Error = WireError;
    fn try_from(wire: v1::AbsenceExpected) -> Result<Self, WireError> {
        Ok(Self {
            id: wire.id.ok_or_else(|| WireError::missing(MESSAGE, "id"))?.into(),
            machine: machine_id(MESSAGE, &wire.machine)?,
            expected: expected_from_wire(wire)?,
        })
    }
}
