//! Processes that have clients.

use muster_model::{GroupMaster, ReservationId};
use muster_proto::{WireError, v1};

use crate::core::event::Event;
use crate::core::groups::{Group, Groups};

/// A process that has clients is over.
pub(super) fn ended_from_wire(ended: v1::GroupEnded) -> Result<Event, WireError> {
    let master = ended.master.ok_or_else(|| WireError::missing("GroupEnded", "master"))?;
    Ok(Event::GroupEnded { master: master.try_into()?, reason: ended.reason })
}

pub(super) fn ended_to_wire(master: GroupMaster, reason: &str) -> v1::GroupEnded {
    v1::GroupEnded { master: Some(master.into()), reason: reason.to_owned() }
}

/// Groups of a snapshot.
pub(super) fn to_wire(groups: &Groups) -> Vec<v1::SnapshotGroup> {
    let one = |((run, dpid), group): (&(_, _), &Group)| v1::SnapshotGroup {
        master: Some(GroupMaster::Process(*run, *dpid).into()),
        clients: group.clients.iter().map(|id| id.0).collect(),
        ended: group.ended,
    };
    groups.iter().map(one).collect()
}

pub(super) fn from_wire(groups: Vec<v1::SnapshotGroup>) -> Result<Groups, WireError> {
    let one = |kept: v1::SnapshotGroup| match kept.master.unwrap_or_default().try_into()? {
        GroupMaster::Process(run, dpid) => {
            let clients = kept.clients.into_iter().map(ReservationId).collect();
            Ok(((run, dpid), Group { clients, ended: kept.ended }))
        }
        GroupMaster::Reservation(_) => Err(WireError::invalid("SnapshotGroup", "master", "it is no process")),
    };
    groups.into_iter().map(one).collect()
}
