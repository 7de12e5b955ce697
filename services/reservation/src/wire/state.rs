//! The state in snapshots: equal states give equal bytes.

use bytes::Bytes;
use muster_model::{MachineId, PoolTime, Position, ReservationId, Selector};
use muster_proto::WireError;
use muster_proto::v1;
use prost::Message;

use super::notice::{notices_from_wire, notify_from_wire};
use super::rollout::rollout_from_wire;
use super::{
    duration, end_from_wire, image, machine, machine_id, machine_ids, master, names, quota, record_to_wire,
    set_duration, set_time, ssh_key, time,
};
use crate::core::{Ended, Grant, Quotas, Record, Request, Reservation, Stage, State, Usage};

/// Encodes the state as `muster.v1.ReservationSnapshot`.
#[must_use]
pub fn encode_state(state: &State) -> Bytes {
    let machines = state.machines().map(|(id, seen)| machine::to_wire(id, Some(seen))).collect();
    let reservations = state.reservations().map(reservation_to_wire).collect();
    let quotas = state.quotas().iter().map(|(name, quota)| quota::to_wire(name, quota)).collect();
    let used = |(user, used): (&str, u128)| v1::SnapshotUse {
        user: user.to_owned(),
        high: (used >> 64) as u64,
        low: used as u64,
    };
    let (use_base_ns, uses) = (state.usage().base().0, state.usage().users().map(used).collect());
    let snapshot =
        v1::ReservationSnapshot { next: state.last().next().0, reservations, machines, quotas, use_base_ns, uses };
    snapshot.encode_to_vec().into()
}

/// Decodes a state.
///
/// # Errors
/// When it was written by something newer.
pub fn decode_state(bytes: &Bytes) -> Result<State, String> {
    let snapshot = v1::ReservationSnapshot::decode(bytes.clone()).map_err(|error| error.to_string())?;
    from_wire(snapshot).map_err(|error| error.to_string())
}

fn from_wire(snapshot: v1::ReservationSnapshot) -> Result<State, WireError> {
    let last = ReservationId(snapshot.next.saturating_sub(1));
    let reservations: Vec<_> =
        snapshot.reservations.into_iter().map(reservation_from_wire).collect::<Result<_, _>>()?;
    let mut machines = std::collections::BTreeMap::new();
    for seen in snapshot.machines {
        if let (id, Some(machine)) = machine::from_wire(seen)? {
            machines.insert(id, machine);
        }
    }
    let quotas = snapshot.quotas.into_iter().map(quota::from_wire).collect::<Result<_, _>>()?;
    let used = |used: v1::SnapshotUse| (used.user, (u128::from(used.high) << 64) | u128::from(used.low));
    let usage = Usage::new(time(snapshot.use_base_ns), snapshot.uses.into_iter().map(used).collect());
    Ok(State::restored(last, reservations, machines, (Quotas::new(quotas), usage)))
}

fn reservation_to_wire(reservation: &Reservation) -> v1::SnapshotReservation {
    let (reason, position) = match &reservation.stage {
        Stage::Ended(ended) => (ended.reason.clone(), Some(ended.position.into())),
        Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) => (String::new(), None),
    };
    let record = Record { reservation: reservation.clone(), ready: Vec::new(), reason };
    let grant = reservation.grant();
    v1::SnapshotReservation {
        record: Some(record_to_wire(&record)),
        granted_ns: grant.map_or(0, |grant| grant.granted.0),
        ended_position: position,
        arrived: grant.map_or_else(Vec::new, |grant| names(&grant.arrived)),
        returning: grant.into_iter().flat_map(|grant| &grant.returning).map(returning_to_wire).collect(),
    }
}

fn returning_to_wire((machine, dropped): (&MachineId, &Position)) -> v1::SnapshotReturning {
    v1::SnapshotReturning { machine: machine.to_string(), dropped: Some((*dropped).into()) }
}

fn reservation_from_wire(kept: v1::SnapshotReservation) -> Result<Reservation, WireError> {
    let record = kept.record.clone().ok_or_else(|| WireError::missing("SnapshotReservation", "record"))?;
    let selector = Selector::parse(&record.selector)
        .map_err(|error| WireError::invalid("ReservationRecord", "selector", error))?;
    let request = Request {
        user: record.user.clone(),
        selector,
        count: record.count,
        duration: duration(record.duration_ns),
        drain: duration(record.drain_ns),
        comment: record.comment.clone(),
        rollout: record.rollout.clone().map(rollout_from_wire).transpose()?,
        priority: record.priority,
        minimum: record.minimum,
        until: set_time(record.until_ns),
        master: master(record.master)?,
        notify: notify_from_wire(&record.notify, &record.notify_administrator)?,
        no_show: set_duration(record.no_show_ns),
        ssh_key: ssh_key("ReservationRecord", &record.ssh_key)?,
        image: image("ReservationRecord", &record.image)?,
    };
    let notices = notices_from_wire(record.notices.clone())?;
    let stage = stage(&kept, &record)?;
    let (id, queued) = (ReservationId(record.reservation), time(record.queued_ns));
    Ok(Reservation { id, request, queued, aged: record.aged, stage, notices })
}

fn stage(kept: &v1::SnapshotReservation, record: &v1::ReservationRecord) -> Result<Stage, WireError> {
    let state = record.state();
    match state {
        v1::ReservationState::Unspecified => Err(WireError::missing("ReservationRecord", "state")),
        v1::ReservationState::Queued => Ok(Stage::Queued),
        v1::ReservationState::Preparing => Ok(Stage::Preparing(grant(kept, record)?)),
        v1::ReservationState::Prepared | v1::ReservationState::Ready | v1::ReservationState::Active => {
            Ok(Stage::Ready(grant(kept, record)?))
        }
        v1::ReservationState::Ended => Ok(Stage::Ended(Ended {
            end: end_from_wire(record.end())?,
            reason: record.reason.clone(),
            time: time(record.ended_ns),
            position: kept.ended_position.unwrap_or_default().into(),
            grant: if kept.granted_ns == PoolTime::NEVER.0 { None } else { Some(grant(kept, record)?) },
            returning: machine_ids(&record.returning)?,
        })),
    }
}

fn grant(kept: &v1::SnapshotReservation, record: &v1::ReservationRecord) -> Result<Grant, WireError> {
    Ok(Grant {
        machines: machine_ids(&record.machines)?,
        granted: time(kept.granted_ns),
        deadline: time(record.deadline_ns),
        arrived: machine_ids(&kept.arrived)?,
        dropped: machine_ids(&record.dropped)?,
        returning: kept
            .returning
            .iter()
            .map(|kept| Ok((machine_id(&kept.machine)?, kept.dropped.unwrap_or_default().into())))
            .collect::<Result<_, WireError>>()?,
        countdown: set_time(record.countdown_ends_ns),
        ready: set_time(record.ready_ns),
        told: set_time(record.told_ns),
        taken_up: set_time(record.taken_up_ns),
    })
}
