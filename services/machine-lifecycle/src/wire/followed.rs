//! Messages of the streams that machine-lifecycle follows: RESERVATIONS and REPORTS.

use std::sync::Arc;

use bytes::Bytes;
use muster_bus::{StoredMessage, subjects};
use muster_ledger::open_turn;
use muster_model::{Epoch, Incarnation, MachineId, PoolTime, ReservationId};
use muster_proto::WireError;
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_proto::v1::reservation_event::Kind;
use prost::Message;

use super::holder::duration;
use super::inventory::inventory_from_wire;
use super::kernel::kernel_name;
use super::{boot, machine_id, storage};
use crate::core::{Grant, Input};

/// Inputs of one message of RESERVATIONS.
///
/// # Errors
/// Says what can not be decoded; the message is noted and passed over.
pub fn take_reservations(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let turn = open_turn(&message.payload)?;
    let mut inputs = Vec::new();
    for bytes in turn.entries.into_iter().flat_map(|entry| entry.events) {
        let event = v1::ReservationEvent::decode(bytes).map_err(|error| error.to_string())?;
        inputs.extend(inputs_of_reservation_event(event).map_err(|error| error.to_string())?);
    }
    Ok(inputs)
}

/// What one event of RESERVATIONS means for machines; none for what concerns none, or a newer version says.
///
/// # Errors
/// Names the field that is wrong.
pub fn inputs_of_reservation_event(event: v1::ReservationEvent) -> Result<Option<Input>, WireError> {
    let reservation = ReservationId(event.reservation);
    Ok(match event.kind {
        Some(Kind::Granted(granted)) => Some(Input::Granted(grant(reservation, granted)?)),
        Some(Kind::Ready(ready)) => Some(Input::DeadlineMoved { reservation, deadline: PoolTime(ready.deadline_ns) }),
        Some(Kind::Extended(extended)) => {
            Some(Input::DeadlineMoved { reservation, deadline: PoolTime(extended.deadline_ns) })
        }
        Some(Kind::MachineDropped(dropped)) => {
            let machine = machine_id("ReservationMachineDropped", "machine", &dropped.machine)?;
            Some(Input::Dropped { reservation, machine })
        }
        Some(Kind::MachineDismissed(dismissed)) => {
            let machine = machine_id("ReservationMachineDismissed", "machine", &dismissed.machine)?;
            Some(Input::Dropped { reservation, machine })
        }
        Some(Kind::Ended(_)) => Some(Input::Ended { reservation }),
        Some(
            Kind::Queued(_)
            | Kind::MachineReturned(_)
            | Kind::MachineSeen(_)
            | Kind::Countdown(_)
            | Kind::Aged(_)
            | Kind::Noticed(_)
            | Kind::TakenUp(_)
            | Kind::QuotaSet(_),
        )
        | None => None,
    })
}

fn grant(reservation: ReservationId, granted: v1::ReservationGranted) -> Result<Grant, WireError> {
    let ids = granted.machines.iter().map(|id| machine_id("ReservationGranted", "machines", id));
    Ok(Grant {
        reservation,
        user: granted.user,
        machines: ids.collect::<Result<_, _>>()?,
        deadline: PoolTime(granted.deadline_ns),
        ssh_key: granted.ssh_key,
        drain: duration(granted.drain_ns),
        kernel: match granted.kernel.as_str() {
            "" => None,
            name => Some((kernel_name(name)?, granted.nonce)),
        },
        image: boot::image("ReservationGranted", &granted.image)?,
    })
}

/// Inputs of one message of REPORTS.
///
/// # Errors
/// Says what can not be decoded; the message is noted and passed over.
pub fn take_report(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let machine = subjects::machine_of(&message.subject).ok_or("its subject names no machine")?;
    let envelope = decode_envelope(&message.payload)?;
    match envelope.body {
        Some(Body::ReportBatch(batch)) if batch.machine == machine.as_str() => {
            inputs_of_report_batch(&machine, Incarnation(envelope.incarnation), batch)
                .map_err(|error| error.to_string())
        }
        Some(Body::ReportBatch(batch)) => Err(format!("its subject says {machine}, its body {}", batch.machine)),
        _ => Err("it is not a batch of reports".into()),
    }
}

/// What a batch of reports means for its machine: fences, what probing found, and what came of disks. The rest is the scheduler's.
///
/// # Errors
/// Names the field that is wrong.
pub fn inputs_of_report_batch(
    machine: &MachineId,
    incarnation: Incarnation,
    batch: v1::ReportBatch,
) -> Result<Vec<Input>, WireError> {
    let number = batch.batch;
    let mut inputs = Vec::new();
    for report in batch.reports {
        match report.kind {
            Some(v1::report::Kind::Fence(done)) => {
                inputs.push(Input::FenceDone { machine: machine.clone(), epoch: Epoch(done.epoch) });
            }
            Some(v1::report::Kind::Inventory(v1::InventoryReport { inventory: Some(found) })) => {
                let inventory = Arc::new(inventory_from_wire(found)?);
                inputs.push(Input::Probed { machine: machine.clone(), incarnation, batch: number, inventory });
            }
            Some(v1::report::Kind::Storage(done)) => {
                let report = storage::report_from_wire(done);
                inputs.extend(report.map(|report| Input::StorageDone { machine: machine.clone(), report }));
            }
            Some(v1::report::Kind::AbsenceAnnounced(said)) => inputs.extend(announced(machine, said)),
            _ => {}
        }
    }
    Ok(inputs)
}

/// What a test announces; none where it is of a newer version.
fn announced(machine: &MachineId, said: v1::AbsenceAnnounced) -> Option<Input> {
    let (absence, within) = (said.absence().known(), duration(said.within_ns));
    let process = said.id?.into();
    let absence = if said.withdrawn { None } else { Some((absence?, within)) };
    Some(Input::Announced { machine: machine.clone(), process, boot_id: said.boot_id, absence })
}

fn decode_envelope(payload: &Bytes) -> Result<v1::Envelope, String> {
    v1::Envelope::decode(payload.clone()).map_err(|error| error.to_string())
}
