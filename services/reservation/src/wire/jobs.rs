//! JOBS, as reservation follows it: which reservations are in use. Of its events nothing else is read.

use muster_bus::StoredMessage;
use muster_model::ReservationId;
use prost::Message;

use crate::core::Input;

/// Event type of the followed log.
const JOB_EVENT: &str = "muster.v1.JobEvent";

/// As much of a `JobEvent` as says whose machines a job runs on: whatever else it has is passed over unread.
#[derive(Clone, PartialEq, Message)]
struct JobEvent {
    /// `JobEvent.job_started`.
    #[prost(message, optional, tag = "4")]
    started: Option<Started>,
}

/// As much of a `JobStarted`.
#[derive(Clone, PartialEq, Message)]
struct Started {
    /// `JobStarted.spec`.
    #[prost(message, optional, tag = "1")]
    spec: Option<Spec>,
}

/// As much of a `StartSpec`.
#[derive(Clone, PartialEq, Message)]
struct Spec {
    /// `StartSpec.reservation`.
    #[prost(uint64, tag = "4")]
    reservation: u64,
}

/// Inputs from one message of JOBS, in order.
///
/// # Errors
/// When it can not be decoded.
pub fn take_jobs(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let turn = muster_ledger::open_turn(&message.payload)?;
    if turn.event_type != JOB_EVENT {
        return Err(format!("it holds {} and not {JOB_EVENT}", turn.event_type));
    }
    let mut inputs = Vec::new();
    for bytes in turn.entries.into_iter().flat_map(|entry| entry.events) {
        let event = JobEvent::decode(bytes).map_err(|error| error.to_string())?;
        let reservation = event.started.and_then(|started| started.spec).map_or(0, |spec| spec.reservation);
        inputs.extend((reservation > 0).then_some(Input::Used(ReservationId(reservation))));
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::{self, job_event::Kind};

    use super::*;

    fn read(kind: Kind) -> Option<u64> {
        let bytes = v1::JobEvent { kind: Some(kind) }.encode_to_vec();
        let event = JobEvent::decode(bytes.as_slice()).expect("it is read");
        event.started.and_then(|started| started.spec).map(|spec| spec.reservation)
    }

    #[test]
    fn of_what_starts_only_its_reservation_is_read() {
        let module = Some(v1::Module { name: "idle".into(), ..Default::default() });
        let spec = v1::StartSpec { module, reservation: 7, seed: 3, ..Default::default() };
        let started = v1::JobStarted { spec: Some(spec), selector: "m1".into(), ..Default::default() };
        assert_eq!(read(Kind::JobStarted(started)), Some(7));
        assert_eq!(read(Kind::RunStarted(v1::RunStarted { run: 4 })), None);
    }
}
