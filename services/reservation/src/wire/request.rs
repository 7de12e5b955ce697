//! Commands and answers.

use bytes::Bytes;
use muster_model::{NotifyTarget, ReservationId, nanoseconds};
use muster_proto::WireError;
use muster_proto::v1::{self, reservation_command::Kind, reservation_reply};
use prost::Message;

use super::notice::{notices_to_wire, target_from_wire, target_to_wire};
use super::{
    checked_duration, end_to_wire, image, image_to_wire, machine_id, master, names, quota, rollout, set_time, ssh_key,
    ssh_key_to_wire,
};
use crate::core::{Command, Explained, Extension, Kept, Record, Reply, Reserve, Stage};

/// What a command asks for. The nonce is for the boots of a rollout.
///
/// # Errors
/// When it can not be understood.
pub fn command(command: v1::ReservationCommand, nonce: &str) -> Result<Command, WireError> {
    let behalf = master(command.master)?;
    let command = match command.kind.ok_or_else(|| WireError::missing("ReservationCommand", "kind"))? {
        Kind::Reserve(reserve) => Command::Reserve(Reserve {
            rollout: reserve.rollout.map(|rollout| rollout::asked(rollout, nonce)).transpose()?,
            selector: reserve.selector,
            count: reserve.count,
            duration: checked_duration("Reserve", "duration_ns", reserve.duration_ns)?,
            drain: checked_duration("Reserve", "drain_ns", reserve.drain_ns)?,
            comment: reserve.comment,
            priority: reserve.priority,
            minimum: reserve.minimum,
            until: set_time(reserve.until_ns),
            each: reserve.each,
            master: behalf,
            notify: match reserve.notify.as_str() {
                "" => None,
                text => Some(target_from_wire("notify", text)?),
            },
            notify_administrator: NotifyTarget::None,
            no_show: reserve.no_show_ns.map(|ns| checked_duration("Reserve", "no_show_ns", ns)).transpose()?,
            ssh_key: ssh_key("Reserve", &reserve.ssh_key)?,
            image: image("Reserve", &reserve.image)?,
        }),
        Kind::Extend(extend) => Command::Extend {
            id: ReservationId(extend.reservation),
            to: match set_time(extend.until_ns) {
                _ if extend.no_deadline => Extension::Never,
                Some(until) => Extension::Until(until),
                None => Extension::By(checked_duration("Extend", "by_ns", extend.by_ns)?),
            },
        },
        Kind::SetQuota(set) => {
            let (name, quota) = quota::from_wire(set)?;
            Command::SetQuota { name, quota }
        }
        Kind::CheckIn(check_in) if check_in.revoke => {
            Command::Revoke { id: ReservationId(check_in.reservation), reason: check_in.reason }
        }
        Kind::CheckIn(check_in) => Command::CheckIn { id: ReservationId(check_in.reservation) },
        Kind::Accept(accept) => Command::Accept { id: ReservationId(accept.reservation) },
        Kind::Dismiss(dismiss) => {
            Command::Dismiss { id: ReservationId(dismiss.reservation), machine: machine_id(&dismiss.machine)? }
        }
    };
    Ok(match behalf {
        Some(master) => Command::OnBehalf { master, command: Box::new(command) },
        None => command,
    })
}

/// Encodes an answer as `muster.v1.ReservationReply`.
#[must_use]
pub fn encode_reply(reply: &Reply) -> Bytes {
    let kind = match reply {
        Reply::Reservation(record) => reservation_reply::Kind::Reservation(record_to_wire(record)),
        Reply::Reservations(records) => {
            let reservations = records.iter().map(record_to_wire).collect();
            reservation_reply::Kind::Reservations(v1::ReservationList { reservations })
        }
        Reply::Quota { name, quota } => reservation_reply::Kind::Quota(quota::to_wire(name, quota)),
    };
    v1::ReservationReply { kind: Some(kind) }.encode_to_vec().into()
}

/// Encodes a record as `muster.v1.ReservationRecord`: a value of the projection.
#[must_use]
pub fn encode_record(record: &Record) -> Bytes {
    record_to_wire(record).encode_to_vec().into()
}

/// A record on the wire.
#[must_use]
pub fn record_to_wire(record: &Record) -> v1::ReservationRecord {
    let reservation = &record.reservation;
    let request = &reservation.request;
    let grant = reservation.grant();
    let state = match &reservation.stage {
        Stage::Queued => v1::ReservationState::Queued,
        Stage::Preparing(_) => v1::ReservationState::Preparing,
        Stage::Ready(grant) if grant.taken_up.is_some() => v1::ReservationState::Active,
        Stage::Ready(grant) if grant.told.is_some() => v1::ReservationState::Ready,
        Stage::Ready(_) => v1::ReservationState::Prepared,
        Stage::Ended(_) => v1::ReservationState::Ended,
    };
    let ended = match &reservation.stage {
        Stage::Ended(ended) => Some(ended),
        Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) => None,
    };
    v1::ReservationRecord {
        reservation: reservation.id.0,
        state: state.into(),
        user: request.user.clone(),
        selector: request.selector.to_string(),
        count: request.count,
        machines: grant.map_or_else(Vec::new, |grant| names(&grant.machines)),
        ready: names(&record.ready),
        returning: match (ended, grant) {
            (Some(ended), _) => names(&ended.returning),
            (None, Some(grant)) => names(grant.returning.keys()),
            (None, None) => Vec::new(),
        },
        queued_ns: reservation.queued.0,
        deadline_ns: grant.map_or(0, |grant| grant.deadline.0),
        duration_ns: nanoseconds(request.duration),
        ended_ns: ended.map_or(0, |ended| ended.time.0),
        end: ended.map_or(v1::ReservationEnd::Unspecified, |ended| end_to_wire(ended.end)).into(),
        reason: record.reason.clone(),
        comment: request.comment.clone(),
        drain_ns: nanoseconds(request.drain),
        rollout: request.rollout.as_ref().map(rollout::rollout_to_wire),
        countdown_ends_ns: grant.and_then(|grant| grant.countdown).unwrap_or_default().0,
        dropped: grant.map_or_else(Vec::new, |grant| names(&grant.dropped)),
        priority: request.priority,
        minimum: request.minimum,
        until_ns: request.until.unwrap_or_default().0,
        aged: reservation.aged,
        master: request.master.map(Into::into),
        notify: target_to_wire(&request.notify.user),
        notify_administrator: target_to_wire(&request.notify.administrator),
        no_show_ns: request.no_show.map_or(0, nanoseconds),
        ready_ns: grant.and_then(|grant| grant.ready).unwrap_or_default().0,
        told_ns: grant.and_then(|grant| grant.told).unwrap_or_default().0,
        taken_up_ns: grant.and_then(|grant| grant.taken_up).unwrap_or_default().0,
        notices: notices_to_wire(&reservation.notices),
        ssh_key: ssh_key_to_wire(request.ssh_key.as_ref()),
        image: image_to_wire(request.image.as_ref()),
    }
}

/// Why a reservation waits, on the wire.
#[must_use]
pub fn explained_to_wire(explained: &Explained) -> v1::ReservationExplained {
    let kept = |kept: &Kept| v1::MachinesKept {
        what: kept.what.clone(),
        count: kept.count,
        machines: kept.some.iter().map(ToString::to_string).collect(),
        until_ns: kept.until.unwrap_or_default().0,
    };
    v1::ReservationExplained {
        record: Some(record_to_wire(&explained.record)),
        expected_ns: explained.expected.unwrap_or_default().0,
        before: explained.before,
        kept: explained.kept.iter().map(kept).collect(),
        change: explained.change.clone(),
        quota: explained.quota.clone(),
    }
}
