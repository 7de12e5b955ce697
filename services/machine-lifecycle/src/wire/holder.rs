//! Holders, tenures, phases, flags: the small words of a machine.

use std::time::Duration;

use muster_model::{Flag, Phase, PoolTime, ReservationId};
use muster_proto::WireError;
use muster_proto::v1;

use crate::core::{Claim, Holder, Stage, Tenure};

pub(super) fn holder_to_wire(holder: &Holder) -> v1::Holder {
    match holder {
        Holder::Pool => v1::Holder::default(),
        Holder::Reservation { id, user, deadline, ssh_key } => {
            v1::Holder { reservation: id.0, user: user.clone(), deadline_ns: deadline.0, ssh_key: ssh_key.clone() }
        }
    }
}

/// An absent holder is the pool.
pub(super) fn holder_from_wire(holder: Option<v1::Holder>) -> Holder {
    let holder = holder.unwrap_or_default();
    match holder.reservation {
        0 => Holder::Pool,
        id => Holder::Reservation {
            id: ReservationId(id),
            user: holder.user,
            deadline: PoolTime(holder.deadline_ns),
            ssh_key: holder.ssh_key,
        },
    }
}

pub(super) fn claim_from_wire(next: Option<v1::Holder>, drain_ns: i64) -> Option<Claim> {
    match holder_from_wire(next) {
        Holder::Pool => None,
        next @ Holder::Reservation { .. } => Some(Claim { next, drain: duration(drain_ns) }),
    }
}

/// Tenure, and the pool time at which draining gives up.
pub(super) fn tenure_to_wire(tenure: &Tenure) -> (v1::Tenure, i64) {
    let moving = match tenure.holder {
        Holder::Pool => v1::Tenure::Returning,
        Holder::Reservation { .. } => v1::Tenure::Draining,
    };
    match (tenure.stage, &tenure.holder) {
        (Stage::Settled, Holder::Pool) => (v1::Tenure::Pool, 0),
        (Stage::Settled, Holder::Reservation { .. }) => (v1::Tenure::Held, 0),
        (Stage::Draining { deadline }, _) => (moving, deadline.0),
        (Stage::Fencing, _) => (moving, 0),
    }
}

pub(super) fn tenure_from_wire(
    tenure: v1::Tenure,
    holder: Holder,
    drain_deadline_ns: i64,
) -> Result<Tenure, WireError> {
    let stage = match tenure {
        v1::Tenure::Unspecified => return Err(WireError::missing("MachineRecord", "tenure")),
        v1::Tenure::Pool | v1::Tenure::Held => Stage::Settled,
        v1::Tenure::Draining | v1::Tenure::Returning if drain_deadline_ns == 0 => Stage::Fencing,
        v1::Tenure::Draining | v1::Tenure::Returning => Stage::Draining { deadline: PoolTime(drain_deadline_ns) },
    };
    Ok(Tenure { holder, stage })
}

pub(super) fn phase_from_wire(message: &'static str, phase: v1::Phase) -> Result<Phase, WireError> {
    phase.known().ok_or_else(|| WireError::missing(message, "phase"))
}

pub(super) fn flag_from_wire(flag: v1::MachineFlag) -> Result<Flag, WireError> {
    flag.known().ok_or_else(|| WireError::missing("SetFlag", "flag"))
}

/// A negative span of the wire is none.
pub(super) fn duration(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}
