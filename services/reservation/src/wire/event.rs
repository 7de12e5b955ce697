//! Events of RESERVATIONS.

use bytes::Bytes;
use muster_model::{ReservationId, Selector, nanoseconds};
use muster_proto::WireError;
use muster_proto::v1::{self, reservation_event::Kind};
use prost::Message;

use super::notice::{noticed_from_wire, noticed_to_wire, notify_from_wire, target_to_wire};
use super::rollout::{kernel_name, rollout_from_wire, rollout_to_wire};
use super::{
    duration, end_from_wire, end_to_wire, image, image_to_wire, machine, machine_id, machine_ids, master, names, quota,
    set_duration, set_time, ssh_key, ssh_key_to_wire, time,
};
use crate::core::{Event, Request};

/// Encodes an event as `muster.v1.ReservationEvent`.
#[must_use]
pub fn encode_event(event: &Event) -> Bytes {
    to_wire(event).encode_to_vec().into()
}

/// Decodes an event.
///
/// # Errors
/// When it was written by something newer.
pub fn decode_event(bytes: &Bytes) -> Result<Event, String> {
    let event = v1::ReservationEvent::decode(bytes.clone()).map_err(|error| error.to_string())?;
    from_wire(event).map_err(|error| error.to_string())
}

fn to_wire(event: &Event) -> v1::ReservationEvent {
    let kind = match event {
        Event::Queued { request, .. } => Kind::Queued(v1::ReservationQueued {
            user: request.user.clone(),
            selector: request.selector.to_string(),
            count: request.count,
            duration_ns: nanoseconds(request.duration),
            comment: request.comment.clone(),
            drain_ns: nanoseconds(request.drain),
            rollout: request.rollout.as_ref().map(rollout_to_wire),
            priority: request.priority,
            minimum: request.minimum,
            until_ns: request.until.unwrap_or_default().0,
            notify: target_to_wire(&request.notify.user),
            notify_administrator: target_to_wire(&request.notify.administrator),
            no_show_ns: request.no_show.map_or(0, nanoseconds),
            ssh_key: ssh_key_to_wire(request.ssh_key.as_ref()),
            master: request.master.map(Into::into),
            image: image_to_wire(request.image.as_ref()),
        }),
        Event::Granted { user, machines, kernel, image, deadline, drain, ssh_key, .. } => {
            let (kernel, nonce) =
                kernel.as_ref().map(|(name, nonce)| (name.to_string(), nonce.clone())).unwrap_or_default();
            Kind::Granted(v1::ReservationGranted {
                machines: names(machines),
                deadline_ns: deadline.0,
                drain_ns: nanoseconds(*drain),
                user: user.clone(),
                kernel,
                nonce,
                ssh_key: ssh_key_to_wire(ssh_key.as_ref()),
                image: image_to_wire(image.as_ref()),
            })
        }
        Event::Ready { machines, deadline, .. } => {
            Kind::Ready(v1::ReservationReady { deadline_ns: deadline.0, machines: names(machines) })
        }
        Event::Extended { deadline, .. } => Kind::Extended(v1::ReservationExtended { deadline_ns: deadline.0 }),
        Event::Ended { end, reason, .. } => {
            Kind::Ended(v1::ReservationEnded { end: end_to_wire(*end).into(), reason: reason.clone() })
        }
        Event::Dropped { machine, reason, .. } => {
            Kind::MachineDropped(v1::ReservationMachineDropped { machine: machine.to_string(), reason: reason.clone() })
        }
        Event::Dismissed { machine, .. } => {
            Kind::MachineDismissed(v1::ReservationMachineDismissed { machine: machine.to_string() })
        }
        Event::Countdown { ends, .. } => {
            Kind::Countdown(v1::ReservationCountdown { ends_ns: ends.unwrap_or_default().0 })
        }
        Event::Noticed { notice, recipient, delivery, .. } => {
            Kind::Noticed(noticed_to_wire(*notice, *recipient, delivery))
        }
        Event::TakenUp { by, .. } => Kind::TakenUp(v1::ReservationTakenUp { by: by.clone() }),
        Event::Aged { .. } => Kind::Aged(v1::ReservationAged {}),
        Event::QuotaSet { name, quota } => Kind::QuotaSet(quota::to_wire(name, quota)),
        Event::MachineReturned { machine, .. } => {
            Kind::MachineReturned(v1::ReservationMachineReturned { machine: machine.to_string() })
        }
        Event::MachineSeen { machine: id, seen } => Kind::MachineSeen(machine::to_wire(id, seen.as_ref())),
    };
    let reservation = event.reservation().unwrap_or_default().0;
    v1::ReservationEvent { reservation, kind: Some(kind) }
}

fn from_wire(event: v1::ReservationEvent) -> Result<Event, WireError> {
    let id = ReservationId(event.reservation);
    Ok(match event.kind.ok_or_else(|| WireError::missing("ReservationEvent", "kind"))? {
        Kind::Queued(queued) => Event::Queued { id, request: request(queued)? },
        Kind::Granted(granted) => Event::Granted {
            id,
            user: granted.user,
            machines: machine_ids(&granted.machines)?,
            kernel: match granted.kernel.as_str() {
                "" => None,
                name => Some((kernel_name("ReservationGranted", name)?, granted.nonce)),
            },
            deadline: time(granted.deadline_ns),
            drain: duration(granted.drain_ns),
            ssh_key: ssh_key("ReservationGranted", &granted.ssh_key)?,
            image: image("ReservationGranted", &granted.image)?,
        },
        Kind::Ready(ready) => {
            Event::Ready { id, machines: machine_ids(&ready.machines)?, deadline: time(ready.deadline_ns) }
        }
        Kind::Extended(extended) => Event::Extended { id, deadline: time(extended.deadline_ns) },
        Kind::Ended(ended) => Event::Ended { id, end: end_from_wire(ended.end())?, reason: ended.reason },
        Kind::MachineDropped(dropped) => {
            Event::Dropped { id, machine: machine_id(&dropped.machine)?, reason: dropped.reason }
        }
        Kind::MachineDismissed(dismissed) => Event::Dismissed { id, machine: machine_id(&dismissed.machine)? },
        Kind::Countdown(countdown) => Event::Countdown { id, ends: set_time(countdown.ends_ns) },
        Kind::Aged(_) => Event::Aged { id },
        Kind::Noticed(noticed) => {
            let (notice, recipient, delivery) = noticed_from_wire(noticed)?;
            Event::Noticed { id, notice, recipient, delivery }
        }
        Kind::TakenUp(taken) => Event::TakenUp { id, by: taken.by },
        Kind::QuotaSet(set) => {
            let (name, quota) = quota::from_wire(set)?;
            Event::QuotaSet { name, quota }
        }
        Kind::MachineReturned(returned) => Event::MachineReturned { id, machine: machine_id(&returned.machine)? },
        Kind::MachineSeen(seen) => {
            let (machine, seen) = machine::from_wire(seen)?;
            Event::MachineSeen { machine, seen }
        }
    })
}

fn request(queued: v1::ReservationQueued) -> Result<Request, WireError> {
    let selector = Selector::parse(&queued.selector)
        .map_err(|error| WireError::invalid("ReservationQueued", "selector", error))?;
    Ok(Request {
        user: queued.user,
        selector,
        count: queued.count,
        duration: duration(queued.duration_ns),
        drain: duration(queued.drain_ns),
        comment: queued.comment,
        rollout: queued.rollout.map(rollout_from_wire).transpose()?,
        priority: queued.priority,
        minimum: queued.minimum,
        until: set_time(queued.until_ns),
        notify: notify_from_wire(&queued.notify, &queued.notify_administrator)?,
        no_show: set_duration(queued.no_show_ns),
        ssh_key: ssh_key("ReservationQueued", &queued.ssh_key)?,
        master: master(queued.master)?,
        image: image("ReservationQueued", &queued.image)?,
    })
}
