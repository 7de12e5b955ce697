//! Answers to people.

use muster_ledger::View;
use muster_model::{MachineId, Position, Term};
use muster_proto::v1;
use muster_proto::v1::machine_reply::Kind;

use super::inventory::load_to_wire;
use crate::core::{LoadKey, MachineCore};

pub(super) fn changed_to_wire(machines: &[MachineId], unchanged: &[MachineId], position: Position) -> v1::MachineReply {
    let names = |ids: &[MachineId]| ids.iter().map(ToString::to_string).collect();
    let changed =
        v1::MachinesChanged { machines: names(machines), unchanged: names(unchanged), position: Some(position.into()) };
    v1::MachineReply { kind: Some(Kind::Changed(changed)) }
}

/// A load number.
#[must_use]
pub fn load_number_to_wire(key: &LoadKey, load: u32) -> v1::LoadNumber {
    load_to_wire(key, load)
}

/// The service's own status; `state_hash` is of the state that the view shows.
#[must_use]
pub fn status_to_wire(
    view: &View<'_, MachineCore>,
    instance: &str,
    term: Term,
    state_hash: String,
) -> v1::ServiceStatus {
    let followed = view
        .followed
        .iter()
        .map(|(stream, position)| v1::FollowedStatus { stream: stream.clone(), position: Some((*position).into()) });
    v1::ServiceStatus {
        instance: instance.to_owned(),
        term: term.0,
        position: Some(view.now.position.into()),
        state_hash,
        followed: followed.collect(),
        system: uuid::Uuid::from_bytes(view.system.0).to_string(),
    }
}
