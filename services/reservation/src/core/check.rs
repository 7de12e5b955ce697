//! Invariants of the state. The simulation and the properties call this after every event.

use std::collections::BTreeMap;

use muster_model::PoolTime;

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
        for machine in reservation.outstanding() {
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
    let (granted, wanted) = (grant.machines.len(), reservation.request.count as usize);
    let fewest = if reservation.request.is_particular() || reservation.is_kept_full() {
        0
    } else {
        reservation.count_min() as usize
    };
    if !(fewest..=wanted).contains(&granted) {
        return Err(format!("{granted} machines were granted, and {wanted} asked for"));
    }
    check_dropped(reservation, grant)?;
    if grant.deadline != PoolTime::NEVER && grant.deadline <= grant.granted {
        return Err("its deadline is not after its grant".into());
    }
    if grant.arrived.iter().all(|machine| grant.machines.contains(machine) || grant.dropped.contains(machine)) {
        Ok(())
    } else {
        Err("a machine arrived that it was not granted".into())
    }
}

/// What a rollout went on without is not among its machines, and a quorum is kept.
fn check_dropped(reservation: &Reservation, grant: &Grant) -> Result<(), String> {
    if !grant.dropped.is_disjoint(&grant.machines) {
        return Err("a machine was dropped, and granted again".into());
    }
    if !grant.returning.keys().all(|machine| grant.dropped.contains(machine)) {
        return Err("a machine is on its way back that was not dropped".into());
    }
    let Some(rollout) = &reservation.request.rollout else {
        return if grant.countdown.is_none() { Ok(()) } else { Err("it is no rollout, and has a countdown".into()) };
    };
    let started = matches!(reservation.stage, Stage::Ready(_));
    if started && grant.machines.len() < rollout.minimum as usize {
        return Err(format!("it started with {} machines, below its minimum", grant.machines.len()));
    }
    Ok(())
}

fn check_ended(reservation: &Reservation, ended: &Ended) -> Result<(), String> {
    let machines: MachineSet =
        ended.grant.iter().flat_map(|grant| grant.machines.union(&grant.dropped)).cloned().collect();
    if !ended.returning.is_subset(&machines) {
        return Err("a machine is to come back that it never had".into());
    }
    let deadline = ended.grant.as_ref().map(|grant| grant.deadline);
    match ended.end {
        End::Expired if deadline.or(reservation.request.until).is_none_or(|deadline| ended.time < deadline) => {
            Err("I5: it expired before its deadline".into())
        }
        End::Failed if deadline.is_none() && reservation.request.rollout.is_none() => {
            Err("it failed without machines".into())
        }
        End::NoShow if ended.grant.as_ref().is_none_or(|grant| !was_missed(reservation, ended, grant)) => {
            Err("it ended for want of a holder who was there, was not told, or had time".into())
        }
        End::Released | End::Expired | End::Canceled | End::Failed | End::NoShow | End::Revoked | End::MasterEnded => {
            match &ended.grant {
                Some(grant) => check_grant(reservation, grant),
                None => Ok(()),
            }
        }
    }
}

fn was_missed(reservation: &Reservation, ended: &Ended, grant: &Grant) -> bool {
    reservation.no_show_at(grant).is_some_and(|at| at.is_due(ended.time))
}

fn check_derived(state: &State) -> Result<(), String> {
    let kept = (state.quotas.clone(), state.usage.clone());
    let fresh = State::restored(state.last, state.reservations.values().cloned(), state.machines.clone(), kept);
    if fresh == *state { Ok(()) } else { Err("what is derived differs from what it is derived from".into()) }
}
