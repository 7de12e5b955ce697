//! Invariants of the state. The simulation and the properties call this after every event.

use std::collections::BTreeMap;

use super::MachineSet;
use super::reservation::{End, Ended, Grant, Reservation, Stage};
use super::state::State;

/// Says which invariant does not hold.
///
/// # Errors
/// The invariant, with the reservation and machine concerned.
pub fn check(state: &State) -> Result<(), String> {
    check_holders(state)?;
    for reservation in state.reservations() {
        check_one(reservation).map_err(|reason| format!("reservation {}: {reason}", reservation.id))?;
    }
    check_derived(state)
}

/// I1: no machine is held twice.
fn check_holders(state: &State) -> Result<(), String> {
    let mut holders = BTreeMap::new();
    for reservation in state.reservations() {
        for machine in reservation.outstanding().into_iter().flatten() {
            if let Some(other) = holders.insert(machine, reservation.id) {
                return Err(format!("I1: machine {machine} is held by reservations {other} and {}", reservation.id));
            }
        }
    }
    let taken: BTreeMap<_, _> = state.taken.iter().map(|(machine, id)| (machine, *id)).collect();
    if taken == holders { Ok(()) } else { Err("I1: the index of taken machines is wrong".into()) }
}

fn check_one(reservation: &Reservation) -> Result<(), String> {
    match &reservation.stage {
        Stage::Queued => Ok(()),
        Stage::Preparing(grant) | Stage::Ready(grant) => check_grant(reservation, grant),
        Stage::Ended(ended) => check_ended(reservation, ended),
    }
}

fn check_grant(reservation: &Reservation, grant: &Grant) -> Result<(), String> {
    if grant.machines.len() != reservation.request.count as usize {
        return Err(format!(
            "{} machines were granted, and {} asked for",
            grant.machines.len(),
            reservation.request.count
        ));
    }
    if grant.deadline <= grant.granted {
        return Err("its deadline is not after its grant".into());
    }
    if grant.arrived.is_subset(&grant.machines) {
        Ok(())
    } else {
        Err("a machine arrived that it was not granted".into())
    }
}

fn check_ended(reservation: &Reservation, ended: &Ended) -> Result<(), String> {
    let machines = ended.grant.as_ref().map_or_else(MachineSet::new, |grant| grant.machines.clone());
    if !ended.returning.is_subset(&machines) {
        return Err("a machine is to come back that it never had".into());
    }
    let deadline = ended.grant.as_ref().map(|grant| grant.deadline);
    match ended.end {
        End::Expired if deadline.is_none_or(|deadline| ended.time < deadline) => {
            Err("I5: it expired before its deadline".into())
        }
        End::Failed if deadline.is_none() => Err("it failed without machines".into()),
        End::Released | End::Expired | End::Canceled | End::Failed => match &ended.grant {
            Some(grant) => check_grant(reservation, grant),
            None => Ok(()),
        },
    }
}

fn check_derived(state: &State) -> Result<(), String> {
    let fresh = State::restored(state.last, state.reservations.values().cloned(), state.machines.clone());
    if fresh == *state { Ok(()) } else { Err("what is derived differs from what it is derived from".into()) }
}
