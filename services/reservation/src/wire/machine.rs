//! Machines as this log keeps them.

use muster_model::{Epoch, MachineId, PoolTime, ReservationId};
use muster_proto::WireError;
use muster_proto::v1;

use super::{image, image_to_wire, machine_id};
use crate::core::{Boot, Machine, Tenure};

pub(super) fn to_wire(id: &MachineId, seen: Option<&Machine>) -> v1::ReservationMachineSeen {
    let Some(machine) = seen else {
        return v1::ReservationMachineSeen { machine: id.to_string(), removed: true, ..Default::default() };
    };
    let (tenure, reservation) = match machine.tenure {
        Tenure::Pool => (v1::Tenure::Pool, ReservationId(0)),
        Tenure::Draining(next) => (v1::Tenure::Draining, next.unwrap_or_default()),
        Tenure::Held(reservation) => (v1::Tenure::Held, reservation),
        Tenure::Returning => (v1::Tenure::Returning, ReservationId(0)),
    };
    let attribute = |(key, value): (&String, &String)| v1::KeyValue { key: key.clone(), value: value.clone() };
    v1::ReservationMachineSeen {
        machine: id.to_string(),
        removed: false,
        active: machine.active,
        maintenance: machine.maintenance,
        retired: machine.retired,
        machine_protected: machine.protected,
        down: machine.down,
        quarantined: machine.quarantined,
        ready: machine.ready,
        tenure: tenure.into(),
        reservation: reservation.0,
        epoch: machine.epoch.0,
        fenced_epoch: machine.fenced.0,
        attributes: machine.attributes.iter().map(attribute).collect(),
        tags: machine.tags.iter().cloned().collect(),
        offline: machine.offline,
        ordered_for: machine.boot.reservation.unwrap_or_default().0,
        proven: machine.boot.proven,
        bootable: machine.bootable,
        down_since_ns: machine.down_since.0,
        image: image_to_wire(machine.image.as_ref()),
        restored_for: machine.restored_for.unwrap_or_default().0,
    }
}

pub(super) fn from_wire(seen: v1::ReservationMachineSeen) -> Result<(MachineId, Option<Machine>), WireError> {
    let id = machine_id(&seen.machine)?;
    if seen.removed {
        return Ok((id, None));
    }
    let machine = Machine {
        active: seen.active,
        maintenance: seen.maintenance,
        retired: seen.retired,
        protected: seen.machine_protected,
        down: seen.down,
        down_since: PoolTime(seen.down_since_ns),
        quarantined: seen.quarantined,
        ready: seen.ready,
        offline: seen.offline,
        boot: Boot { reservation: Some(ReservationId(seen.ordered_for)).filter(|id| id.0 > 0), proven: seen.proven },
        bootable: seen.bootable,
        image: image("ReservationMachineSeen", &seen.image)?,
        restored_for: Some(ReservationId(seen.restored_for)).filter(|id| id.0 > 0),
        tenure: tenure(&seen)?,
        epoch: Epoch(seen.epoch),
        fenced: Epoch(seen.fenced_epoch),
        attributes: seen.attributes.into_iter().map(|attribute| (attribute.key, attribute.value)).collect(),
        tags: seen.tags.into_iter().collect(),
    };
    Ok((id, Some(machine)))
}

fn tenure(seen: &v1::ReservationMachineSeen) -> Result<Tenure, WireError> {
    let reservation = ReservationId(seen.reservation);
    match seen.tenure() {
        v1::Tenure::Unspecified => Err(WireError::missing("ReservationMachineSeen", "tenure")),
        v1::Tenure::Pool => Ok(Tenure::Pool),
        v1::Tenure::Draining => Ok(Tenure::Draining((seen.reservation > 0).then_some(reservation))),
        v1::Tenure::Held => Ok(Tenure::Held(reservation)),
        v1::Tenure::Returning => Ok(Tenure::Returning),
    }
}
