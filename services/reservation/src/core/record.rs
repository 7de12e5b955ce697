//! What readers are told of a reservation.

use muster_model::{GroupMaster, MachineId, ReservationId};

use super::MachineSet;
use super::grants::over_quota;
use super::outlook::Outlook;
use super::reservation::{Reservation, Stage};
use super::settle::Sight;
use super::state::State;

/// A reservation with what is derived beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The reservation.
    pub reservation: Reservation,
    /// Its machines that are held and ready.
    pub ready: Vec<MachineId>,
    /// What it waits for, or why it ended, for people; empty where there is nothing to say.
    pub reason: String,
}

impl Record {
    /// The record of a reservation of this state, or of one that is about to be.
    #[must_use]
    pub fn of(state: &State, reservation: &Reservation) -> Self {
        let (ready, reason) = match &reservation.stage {
            Stage::Queued => (Vec::new(), waits_for(state, reservation)),
            Stage::Preparing(grant) => {
                let ready = ready_of(state, reservation, &grant.machines);
                let reason = format!("{} of {} machines are ready", ready.len(), reservation.request.count);
                (ready, reason)
            }
            Stage::Ready(grant) => (ready_of(state, reservation, &grant.machines), String::new()),
            Stage::Ended(ended) => (Vec::new(), ended.reason.clone()),
        };
        Self { reservation: reservation.clone(), ready, reason }
    }
}

/// Which reservations are listed. What is told beside each is looked up for these alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listed<'a> {
    /// One, whether it ended or not.
    pub wanted: Option<ReservationId>,
    /// Those that ended too.
    pub ended: bool,
    /// Those of one user alone.
    pub whose: Option<&'a str>,
    /// Clients of one master alone.
    pub master: Option<GroupMaster>,
}

/// Records by number.
#[must_use]
pub fn records(state: &State, listed: Listed<'_>) -> Vec<Record> {
    let Listed { wanted, ended, whose, master } = listed;
    let shown = |reservation: &&Reservation| {
        let request = &reservation.request;
        wanted.map_or(ended || reservation.is_alive(), |id| reservation.id == id)
            && whose.is_none_or(|user| request.user == user)
            && master.is_none_or(|master| request.master == Some(master))
    };
    state.reservations().filter(shown).map(|reservation| Record::of(state, reservation)).collect()
}

fn ready_of(state: &State, reservation: &Reservation, machines: &MachineSet) -> Vec<MachineId> {
    let is_ready = |machine: &&MachineId| Sight::of(state).serves(machine, reservation);
    machines.iter().filter(is_ready).cloned().collect()
}

/// Places in line that are counted; further back the place is not told.
const PLACES_TOLD: usize = 100;

fn waits_for(state: &State, reservation: &Reservation) -> String {
    let outlook = Outlook::of(state, reservation);
    let (wanted, free, matching) = (reservation.count_min(), outlook.free(), outlook.matching());
    let hope = format!("{wanted} wanted, {free} free of {matching} that match");
    if let Some(limit) = over_quota(state, reservation) {
        return format!("{limit}; {hope}");
    }
    let newcomer = Some(reservation).filter(|found| state.reservation(found.id).is_none());
    let before = state.line_with(newcomer).take(PLACES_TOLD).position(|id| id == reservation.id);
    match before {
        Some(0) => hope,
        Some(before) => format!("{before} before it; {hope}"),
        None => format!("{PLACES_TOLD} or more before it; {hope}"),
    }
}
