//! Starts that wait until a reservation is ready, and the reservations that they wait for.
//!
//! Responsible for what is remembered of them. When they start is decided in `decide/attached.rs`.

use std::collections::BTreeSet;

use muster_ledger::At;
use muster_model::{Dpid, JobNumber, MachineId, PoolTime, ReservationId, RunId};

use super::input::Start;
use super::state::State;

/// A reservation that is ready, or for which a start waits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Followed {
    /// When it was seen to be ready; never, before.
    pub ready: PoolTime,
    /// Its machines then.
    pub machines: BTreeSet<MachineId>,
    /// The start that waits, or waited, for it.
    pub attached: Option<Attached>,
}

/// A start that waits, or waited.
#[derive(Debug, Clone, PartialEq)]
pub struct Attached {
    /// What is to be started.
    pub start: Start,
    /// What became of it.
    pub outcome: Option<Outcome>,
}

/// What became of a start that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It became this job.
    Started(JobNumber),
    /// It could not be started: why.
    Refused(String),
}

/// What RESERVATIONS says of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationNews {
    /// It is ready, with these machines.
    Ready(BTreeSet<MachineId>),
    /// It was asked for as a client of a process.
    ClientOf(RunId, Dpid),
    /// It is over.
    Ended,
}

impl State {
    pub(super) fn see_reservation(&mut self, id: ReservationId, news: &ReservationNews, at: &At<'_>) {
        match news {
            ReservationNews::Ready(machines) => {
                let followed = self.reservations.entry(id).or_default();
                (followed.ready, followed.machines) = (at.time, machines.clone());
            }
            ReservationNews::ClientOf(run, dpid) => self.see_client(id, (*run, *dpid)),
            ReservationNews::Ended => {
                self.reservations.remove(&id);
                self.forget_client(id);
            }
        }
    }

    pub(super) fn attach_start(&mut self, start: &Start) {
        let followed = self.reservations.entry(start.reservation).or_default();
        followed.attached = Some(Attached { start: start.clone(), outcome: None });
    }

    pub(super) fn end_attached(&mut self, id: ReservationId, outcome: &Outcome) {
        if let Some(attached) = self.reservations.get_mut(&id).and_then(|followed| followed.attached.as_mut()) {
            attached.outcome = Some(outcome.clone());
        }
    }
}
