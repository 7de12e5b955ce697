//! Starts that wait until a reservation is ready: taken when they are asked for, started when all of its machines are here.

use muster_ledger::{Decision, Now};
use muster_model::{PoolTime, Refusal, RefusalCode, ReservationId};

use super::super::JobCore;
use super::super::attached::{Attached, Followed, Outcome, ReservationNews};
use super::super::event::Event;
use super::super::input::{Reply, Start};
use super::super::limits::{ATTACHED_MAX, ATTACHED_PATIENCE};
use super::super::observed::Observed;
use super::super::state::State;
use super::{answered, start};

/// Takes a start that waits. What can be read now is checked now; where it fits is known once the machines are here.
pub(super) fn attach(state: &State, start: &Start) -> Result<Decision<JobCore>, Refusal> {
    let (what, id) = (format!("start {} once it is ready", start.module), start.reservation);
    start::read(state, start)?;
    let refuse = |code, why: String, next: &str| Err(Refusal::new(code, &what, why, next));
    let attached = Attached { start: start.clone(), outcome: None };
    let reply = Reply::Attached(vec![(id, attached)]);
    if start.dry_run {
        return Ok(answered(Vec::new(), reply));
    }
    if id == ReservationId(0) {
        return refuse(RefusalCode::Invalid, "it names no reservation".into(), "say for which, with --reservation");
    }
    if state.reservations.get(&id).is_some_and(|followed| followed.attached.is_some()) {
        let why = format!("a start waits, or waited, for reservation {id} already");
        return refuse(RefusalCode::Refused, why, "start it yourself when the reservation is ready");
    }
    if state.reservations.len() >= ATTACHED_MAX {
        let why = format!("{ATTACHED_MAX} reservations are followed already");
        return refuse(RefusalCode::Limit, why, "start it yourself when the reservation is ready");
    }
    Ok(answered(vec![Event::StartAttached(Box::new(start.clone()))], reply))
}

/// A reservation is ready, or over. Who is over without having been ready or waited for was never known.
pub(super) fn seen(state: &State, id: ReservationId, news: &ReservationNews) -> Vec<Event> {
    let known = state.reservations.get(&id);
    let matters = match news {
        ReservationNews::Ready(_) => {
            known.is_none_or(|followed| followed.ready == PoolTime::NEVER)
                && (known.is_some() || state.reservations.len() < ATTACHED_MAX)
        }
        ReservationNews::ClientOf(..) => !state.is_client(id),
        ReservationNews::Ended => known.is_some() || state.is_client(id),
    };
    if matters { vec![Event::ReservationSeen(id, news.clone())] } else { Vec::new() }
}

/// The next start that need not wait any longer: one at a time, since each becomes the next job.
pub(super) fn due(state: &State, observed: &Observed, now: Now) -> Vec<Event> {
    let waiting = state.reservations.iter().find_map(|(id, followed)| {
        let attached = followed.attached.as_ref().filter(|attached| attached.outcome.is_none())?;
        need_not_wait(state, observed, *id, followed, now.time).then_some((*id, &attached.start))
    });
    let Some((id, start)) = waiting else { return Vec::new() };
    match start::start(state, observed, start, now) {
        Ok(decision) => {
            let mut events = decision.events;
            events.push(Event::AttachedEnded(id, Outcome::Started(state.last_job.next())));
            events
        }
        Err(refusal) => vec![Event::AttachedEnded(id, Outcome::Refused(refusal.to_string()))],
    }
}

/// MACHINES says of every machine that it is the reservation's and can be used, and its agent is heard, or has had the time to say so: an
/// agent says hello to machine-lifecycle first, and nothing is placed where the scheduler does not hear one.
fn need_not_wait(state: &State, observed: &Observed, id: ReservationId, followed: &Followed, now: PoolTime) -> bool {
    if followed.ready == PoolTime::NEVER {
        return false;
    }
    let is_here = |machine: &muster_model::MachineId| {
        let known = state.machines.get(machine);
        let is_usable = known.is_some_and(|known| known.seen.reservation == id && known.trouble().is_none());
        is_usable && known.is_some_and(|known| observed.hears(known, now))
    };
    followed.machines.iter().all(is_here) || (followed.ready + ATTACHED_PATIENCE).is_due(now)
}
