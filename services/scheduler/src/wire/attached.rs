//! Starts that wait for a reservation, and what RESERVATIONS says of it.

use std::collections::BTreeSet;

use muster_bus::StoredMessage;
use muster_ledger::open_turn;
use muster_model::{CommandId, GroupMaster, JobNumber, MachineId, PoolTime, ReservationId, ResourceKind};
use muster_proto::v1::reservation_event::Kind;
use muster_proto::{WireError, v1};
use prost::Message;

use super::requests;
use super::{key_values, machine_id};
use crate::core::attached::{Attached, Followed, Outcome, ReservationNews};
use crate::core::input::{CountBy, Input, Start};
use crate::core::state::State;

/// Type name of the events of RESERVATIONS.
const EVENT_TYPE: &str = "muster.v1.ReservationEvent";

/// Turns a message of RESERVATIONS into inputs: what is ready, and what is over.
pub fn take(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let turn = open_turn(&message.payload)?;
    if turn.event_type != EVENT_TYPE {
        return Err(format!("its events are {}, not {EVENT_TYPE}", turn.event_type));
    }
    let mut inputs = Vec::new();
    for bytes in turn.entries.into_iter().flat_map(|entry| entry.events) {
        let event = v1::ReservationEvent::decode(bytes).map_err(|error| error.to_string())?;
        let news = match event.kind {
            Some(Kind::Ready(ready)) => {
                let machines = ready.machines.iter().map(|machine| machine_id("ReservationReady", machine));
                ReservationNews::Ready(machines.collect::<Result<_, _>>().map_err(|error| error.to_string())?)
            }
            Some(Kind::Queued(v1::ReservationQueued { master: Some(master), .. })) => {
                match GroupMaster::try_from(master).map_err(|error| error.to_string())? {
                    GroupMaster::Process(run, dpid) => ReservationNews::ClientOf(run, dpid),
                    GroupMaster::Reservation(_) => continue,
                }
            }
            Some(Kind::Ended(_)) => ReservationNews::Ended,
            _ => continue,
        };
        inputs.push(Input::Reservation { id: ReservationId(event.reservation), news });
    }
    Ok(inputs)
}

pub(super) fn seen_to_wire(id: ReservationId, news: &ReservationNews) -> v1::ReservationSeen {
    let none = BTreeSet::new();
    let (machines, ended, client_of) = match news {
        ReservationNews::Ready(machines) => (machines, false, None),
        ReservationNews::ClientOf(run, dpid) => (&none, false, Some(GroupMaster::Process(*run, *dpid).into())),
        ReservationNews::Ended => (&none, true, None),
    };
    v1::ReservationSeen { reservation: id.0, ended, machines: names(machines), client_of }
}

pub(super) fn seen_from_wire(seen: v1::ReservationSeen) -> Result<(ReservationId, ReservationNews), WireError> {
    let news = match seen.client_of.map(GroupMaster::try_from).transpose()? {
        Some(GroupMaster::Process(run, dpid)) => ReservationNews::ClientOf(run, dpid),
        Some(GroupMaster::Reservation(_)) => {
            return Err(WireError::invalid("ReservationSeen", "client_of", "it is no process"));
        }
        None if seen.ended => ReservationNews::Ended,
        None => ReservationNews::Ready(machines(&seen.machines)?),
    };
    Ok((ReservationId(seen.reservation), news))
}

fn names(machines: &BTreeSet<MachineId>) -> Vec<String> {
    machines.iter().map(ToString::to_string).collect()
}

fn machines(names: &[String]) -> Result<BTreeSet<MachineId>, WireError> {
    names.iter().map(|name| machine_id("ReservationSeen", name)).collect()
}

/// A start with what became of it.
pub fn attached_to_wire(id: ReservationId, attached: &Attached) -> v1::AttachedStart {
    let ended = attached.outcome.as_ref().map(|outcome| ended_to_wire(id, outcome));
    let v1::AttachedEnded { job, reason, .. } = ended.clone().unwrap_or_default();
    v1::AttachedStart {
        reservation: id.0,
        command: attached.start.command.0.to_vec().into(),
        actor: attached.start.actor.clone(),
        start: Some(start_to_wire(&attached.start)),
        ended: ended.is_some(),
        job,
        reason,
    }
}

pub(super) fn attached_from_wire(wire: v1::AttachedStart) -> Result<Attached, WireError> {
    let invalid = |field, why: &str| WireError::invalid("AttachedStart", field, why.to_owned());
    let command = <[u8; 16]>::try_from(&wire.command[..]).map_err(|_| invalid("command", "it has not 16 bytes"))?;
    let start = wire.start.ok_or_else(|| WireError::missing("AttachedStart", "start"))?;
    let start = requests::start(CommandId(command), &wire.actor, start);
    let start = start.map_err(|refusal| invalid("start", &refusal.to_string()))?;
    let ended = v1::AttachedEnded { reservation: wire.reservation, job: wire.job, reason: wire.reason };
    Ok(Attached { start, outcome: wire.ended.then(|| ended_from_wire(ended).1) })
}

pub(super) fn ended_to_wire(id: ReservationId, outcome: &Outcome) -> v1::AttachedEnded {
    let (job, reason) = match outcome {
        Outcome::Started(job) => (job.0, String::new()),
        Outcome::Refused(reason) => (0, reason.clone()),
    };
    v1::AttachedEnded { reservation: id.0, job, reason }
}

pub(super) fn ended_from_wire(wire: v1::AttachedEnded) -> (ReservationId, Outcome) {
    let outcome = match wire.job {
        0 => Outcome::Refused(wire.reason),
        job => Outcome::Started(JobNumber(job)),
    };
    (ReservationId(wire.reservation), outcome)
}

/// What a number counts.
pub(super) fn count_by_to_wire(by: CountBy) -> v1::CountBy {
    match by {
        CountBy::Machine => v1::CountBy::Machine,
        CountBy::Resource(ResourceKind::Disk) => v1::CountBy::Disk,
        CountBy::Resource(ResourceKind::Cpu) => v1::CountBy::Cpu,
        CountBy::Job | CountBy::Resource(_) => v1::CountBy::Unspecified,
    }
}

fn start_to_wire(start: &Start) -> v1::Start {
    v1::Start {
        module: start.module.clone(),
        processes: start.count.number,
        selector: start.selector.clone(),
        parameters: key_values(start.parameters.iter().map(|(name, value)| (name, value))),
        dry_run: false,
        reservation: start.reservation.0,
        seed: start.seed,
        count_by: count_by_to_wire(start.count.by).into(),
        resource_selector: start.resource_selector.clone(),
        pulses: start.pulses.clone(),
        on_error: start.on_error.clone(),
        again: None,
        when_ready: true,
        check_out: start.check_out,
    }
}

/// Reservations of a snapshot.
pub(super) fn followed_to_wire(state: &State) -> Vec<v1::SnapshotFollowed> {
    let one = |(id, followed): (&ReservationId, &Followed)| v1::SnapshotFollowed {
        reservation: id.0,
        ready_ns: followed.ready.0,
        machines: names(&followed.machines),
        attached: followed.attached.as_ref().map(|attached| attached_to_wire(*id, attached)),
    };
    state.reservations.iter().map(one).collect()
}

pub(super) fn followed_from_wire(wire: v1::SnapshotFollowed) -> Result<(ReservationId, Followed), WireError> {
    let followed = Followed {
        ready: PoolTime(wire.ready_ns),
        machines: machines(&wire.machines)?,
        attached: wire.attached.map(attached_from_wire).transpose()?,
    };
    Ok((ReservationId(wire.reservation), followed))
}
