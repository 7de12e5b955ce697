//! Between bytes and words: every conversion of machine-lifecycle. What can not be converted is an error that names the field.

mod agent;
mod boot;
mod event;
mod followed;
mod holder;
mod inventory;
mod kernel;
mod power;
mod record;
mod reply;
mod request;
mod storage;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use muster_model::MachineId;
use muster_proto::WireError;
use muster_proto::v1;
use prost::Message;

pub use agent::{agent_command, desired_to_wire, heartbeat_answer, heartbeat_from_wire, hello_from_wire};
pub use boot::boot_command;
pub use followed::{inputs_of_report_batch, inputs_of_reservation_event, take_report, take_reservations};
pub use kernel::kernel_to_wire;
pub use power::hold_to_wire;
pub use record::record_to_wire;
pub use reply::load_number_to_wire;
pub use request::{command_from_wire, selector_from_wire};
pub use storage::prepare_command;

use crate::core::{Event, Machine, Reply, State};

/// A machine id of a field.
fn machine_id(message: &'static str, field: &'static str, text: &str) -> Result<MachineId, WireError> {
    MachineId::new(text).map_err(|error| WireError::invalid(message, field, error))
}

/// An enum number of a field: known, and not `UNSPECIFIED`.
fn word<W: TryFrom<i32> + Default + PartialEq>(
    message: &'static str,
    field: &'static str,
    number: i32,
) -> Result<W, WireError> {
    let known =
        W::try_from(number).map_err(|_| WireError::invalid(message, field, format!("{number} is not known")))?;
    if known == W::default() { Err(WireError::missing(message, field)) } else { Ok(known) }
}

/// Encodes an event as `muster.v1.MachineEvent`.
#[must_use]
pub fn event_bytes(event: &Event) -> Bytes {
    event::to_wire(event).encode_to_vec().into()
}

/// Decodes an event.
///
/// # Errors
/// When it was written by something newer, or is damaged.
pub fn event_from_bytes(bytes: &Bytes) -> Result<Event, WireError> {
    event::from_wire(decode(bytes, "MachineEvent")?)
}

/// Encodes a machine as `muster.v1.MachineRecord`: its value in the projection.
#[must_use]
pub fn record_bytes(id: &MachineId, machine: &Machine) -> Bytes {
    record_to_wire(id, machine).encode_to_vec().into()
}

/// Encodes the state as `muster.v1.MachinesState`. Equal states give equal bytes.
#[must_use]
pub fn state_bytes(state: &State) -> Bytes {
    record::state_to_wire(state).encode_to_vec().into()
}

/// Decodes a state.
///
/// # Errors
/// When it was written by something newer, or is damaged.
pub fn state_from_bytes(bytes: &Bytes) -> Result<State, WireError> {
    record::state_from_wire(decode(bytes, "MachinesState")?)
}

/// Encodes a reply: a `HelloAnswer` for a hello, else a `MachineReply`.
#[must_use]
pub fn reply_bytes(reply: &Reply) -> Bytes {
    match reply {
        Reply::Hello(desired) => {
            let kind = v1::hello_answer::Kind::Machine(desired_to_wire(desired));
            v1::HelloAnswer { kind: Some(kind) }.encode_to_vec().into()
        }
        Reply::Changed { machines, unchanged, position } => {
            reply::changed_to_wire(machines, unchanged, *position).encode_to_vec().into()
        }
        Reply::Kernel { kernel, unchanged, unused } => {
            let kind = v1::machine_reply::Kind::KernelChanged(kernel::changed_to_wire(kernel, *unchanged, unused));
            v1::MachineReply { kind: Some(kind) }.encode_to_vec().into()
        }
    }
}

fn decode<M: Message + Default>(bytes: &Bytes, name: &'static str) -> Result<M, WireError> {
    M::decode(bytes.clone()).map_err(|error| WireError::invalid(name, "bytes", error))
}
