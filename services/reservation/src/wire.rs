//! Between wire and core: protobuf stops here.

mod event;
mod followed;
mod jobs;
mod machine;
mod notice;
mod quota;
mod request;
mod rollout;
mod state;

use std::time::Duration;

use muster_model::{GroupMaster, MachineId, PoolTime, SnapshotName, SshKey};
use muster_proto::WireError;

use crate::core::End;

pub use event::{decode_event, encode_event};
pub use followed::{inputs_of_entry, take};
pub use jobs::take_jobs;
pub use quota::to_wire as quota_to_wire;
pub use request::{command, encode_record, encode_reply, explained_to_wire, record_to_wire};
pub use state::{decode_state, encode_state};

use muster_proto::v1;

fn duration(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// Nanoseconds that a sender gives for a duration; below zero is not one.
fn checked_duration(message: &'static str, field: &'static str, nanoseconds: i64) -> Result<Duration, WireError> {
    let checked = u64::try_from(nanoseconds).map(Duration::from_nanos);
    checked.map_err(|_| WireError::invalid(message, field, "it is below zero"))
}

fn machine_id(text: &str) -> Result<MachineId, WireError> {
    MachineId::new(text).map_err(|error| WireError::invalid("ReservationEvent", "machine", error))
}

fn machine_ids<C: FromIterator<MachineId>>(texts: &[String]) -> Result<C, WireError> {
    texts.iter().map(|text| machine_id(text)).collect()
}

fn names<'a>(machines: impl IntoIterator<Item = &'a MachineId>) -> Vec<String> {
    machines.into_iter().map(ToString::to_string).collect()
}

fn time(nanoseconds: i64) -> PoolTime {
    PoolTime(nanoseconds)
}

/// Whose client it is, where that is said.
fn master(wire: Option<v1::GroupMaster>) -> Result<Option<GroupMaster>, WireError> {
    wire.map(GroupMaster::try_from).transpose()
}

/// A time that may be unset.
fn set_time(nanoseconds: i64) -> Option<PoolTime> {
    Some(time(nanoseconds)).filter(|time| *time != PoolTime::NEVER)
}

/// A span that may be unset.
fn set_duration(nanoseconds: i64) -> Option<Duration> {
    Some(duration(nanoseconds)).filter(|span| !span.is_zero())
}

/// A key that may be missing.
fn ssh_key(message: &'static str, text: &str) -> Result<Option<SshKey>, WireError> {
    if text.is_empty() {
        return Ok(None);
    }
    SshKey::parse(text).map(Some).map_err(|error| WireError::invalid(message, "ssh_key", error))
}

/// The name of a snapshot that may be missing.
fn image(message: &'static str, text: &str) -> Result<Option<SnapshotName>, WireError> {
    let read = (!text.is_empty()).then(|| SnapshotName::new(text)).transpose();
    read.map_err(|error| WireError::invalid(message, "image", error))
}

fn image_to_wire(image: Option<&SnapshotName>) -> String {
    image.map(ToString::to_string).unwrap_or_default()
}

fn ssh_key_to_wire(key: Option<&SshKey>) -> String {
    key.map(ToString::to_string).unwrap_or_default()
}

fn end_to_wire(end: End) -> v1::ReservationEnd {
    match end {
        End::Released => v1::ReservationEnd::Released,
        End::Expired => v1::ReservationEnd::Expired,
        End::Canceled => v1::ReservationEnd::Canceled,
        End::Failed => v1::ReservationEnd::Failed,
        End::NoShow => v1::ReservationEnd::NoShow,
        End::Revoked => v1::ReservationEnd::Revoked,
        End::MasterEnded => v1::ReservationEnd::MasterEnded,
    }
}

fn end_from_wire(end: v1::ReservationEnd) -> Result<End, WireError> {
    match end {
        v1::ReservationEnd::Unspecified => Err(WireError::missing("ReservationEnded", "end")),
        v1::ReservationEnd::Released => Ok(End::Released),
        v1::ReservationEnd::Expired => Ok(End::Expired),
        v1::ReservationEnd::Canceled => Ok(End::Canceled),
        v1::ReservationEnd::Failed => Ok(End::Failed),
        v1::ReservationEnd::NoShow => Ok(End::NoShow),
        v1::ReservationEnd::Revoked => Ok(End::Revoked),
        v1::ReservationEnd::MasterEnded => Ok(End::MasterEnded),
    }
}
