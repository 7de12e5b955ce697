//! Answers to people.

use muster_model::{MachineId, Position};
use muster_proto::v1;
use muster_proto::v1::machine_reply::Kind;

use super::inventory::load_to_wire;
use crate::core::LoadKey;

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
