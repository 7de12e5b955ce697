//! Quotas.

use std::time::Duration;

use muster_model::nanoseconds;
use muster_proto::WireError;
use muster_proto::v1;

use super::checked_duration;
use crate::core::Quota;

/// A quota on the wire.
#[must_use]
pub fn to_wire(name: &str, quota: &Quota) -> v1::QuotaSet {
    let wire = v1::Quota {
        machines: quota.machines.unwrap_or_default(),
        no_machines: quota.machines == Some(0),
        length_ns: quota.length.map_or(0, nanoseconds),
        ahead_ns: quota.ahead.map_or(0, nanoseconds),
        priority_and_one: quota.priority.map_or(0, |priority| priority.saturating_add(1)),
        share: quota.share.unwrap_or_default(),
        members: quota.members.iter().cloned().collect(),
        no_deadline: quota.no_deadline,
    };
    v1::QuotaSet { name: name.to_owned(), quota: Some(wire) }
}

/// # Errors
/// When a time is below zero.
pub(super) fn from_wire(set: v1::QuotaSet) -> Result<(String, Quota), WireError> {
    let quota = set.quota.unwrap_or_default();
    let span = |field, ns| {
        let read = checked_duration("Quota", field, ns);
        read.map(|span| Some(span).filter(|span| *span != Duration::ZERO))
    };
    let machines = (quota.machines > 0 || quota.no_machines).then_some(quota.machines);
    let quota = Quota {
        machines,
        length: span("length_ns", quota.length_ns)?,
        ahead: span("ahead_ns", quota.ahead_ns)?,
        priority: quota.priority_and_one.checked_sub(1),
        share: Some(quota.share).filter(|share| *share > 0),
        members: quota.members.into_iter().collect(),
        no_deadline: quota.no_deadline,
    };
    Ok((set.name, quota))
}
