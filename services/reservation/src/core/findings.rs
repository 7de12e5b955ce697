//! What RESERVATIONS and MACHINES disagree about: for who asks for a full pass (`muster doctor`).
//!
//! Says what differs, and what the full pass does about it. It repairs nothing by itself: `settle` does.

use std::time::Duration;

use muster_ledger::{Difference, Findings};
use muster_model::PoolTime;

use super::check::check;
use super::reservation::{Reservation, Stage};
use super::state::State;

/// A reservation outlives its deadline by no more (I5).
const LATE_MAX: Duration = Duration::from_secs(10);

/// Everything that is found now.
pub(super) fn findings(state: &State, now: PoolTime) -> Findings {
    let mut differences = Vec::new();
    for reservation in state.open() {
        let found = elsewhere(state, reservation).into_iter().chain(overdue(reservation, now));
        let subject = format!("reservation {}", reservation.id);
        differences.extend(found.map(|(what, next)| Difference { subject: subject.clone(), what, next }));
    }
    Findings { differences, alarms: Vec::new(), broken: check(state).err() }
}

/// Machines that a reservation has, and MACHINES says are somebody else's.
fn elsewhere(state: &State, reservation: &Reservation) -> Option<(String, String)> {
    let Stage::Ready(grant) = &reservation.stage else { return None };
    let is_elsewhere = |machine: &&muster_model::MachineId| {
        state.machine(machine).is_none_or(|seen| seen.goes_to() != Some(reservation.id))
    };
    let names: Vec<&str> = grant.machines.iter().filter(is_elsewhere).map(|machine| machine.as_str()).collect();
    let what = format!("it has {}, which MACHINES does not call its own", names.join(", "));
    (!names.is_empty()).then(|| (what, "machine-lifecycle takes the change of hands from RESERVATIONS".into()))
}

fn overdue(reservation: &Reservation, now: PoolTime) -> Option<(String, String)> {
    let Stage::Ready(grant) = &reservation.stage else { return None };
    let is_late = grant.deadline != PoolTime::NEVER && (grant.deadline + LATE_MAX).is_due(now);
    is_late.then(|| ("its deadline has passed, and it is not over".into(), "the full pass ends it".into()))
}
