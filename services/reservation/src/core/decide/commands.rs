//! Commands: reserve, extend, check in.

use std::time::Duration;

use muster_ledger::{At, Decision, Now};
use muster_model::{MachineId, PoolTime, Refusal, RefusalCode, ReservationId, Selector, quantity};

use super::groups;
use crate::core::event::Event;
use crate::core::input::{Command, Extension};
use crate::core::limits::{
    COMMENT_SIZE_MAX, DRAIN_MAX, DURATION_MAX, MACHINES_MAX, MEMBERS_MAX, PRIORITY_MAX, QUEUE_MAX, QUOTAS_MAX,
    SELECTOR_SIZE_MAX,
};
use crate::core::machine::Named;
use crate::core::notice::{Notices, Notify};
use crate::core::outlook::Outlook;
use crate::core::quorum::Rollout;
use crate::core::quota::{self, Quota, Wish};
use crate::core::record::Record;
use crate::core::reservation::{End, Ended, Request, Reservation, Stage};
use crate::core::state::State;
use crate::core::{Reply, ReservationCore, apply, grants, image};

use super::holder;

pub(super) type Decided = Result<Decision<ReservationCore>, Refusal>;

pub(super) const RESERVE: &str = "reserve machines";
const ROLL_OUT: &str = "roll out a kernel";
const LIST_HINT: &str = "`muster machine list` shows what there is";
pub(super) const RESERVATIONS_HINT: &str = "`muster reservation list` lists them";

/// Decides on a command.
pub(in crate::core) fn command(state: &State, user: &str, command: &Command, now: Now) -> Decided {
    match command {
        Command::OnBehalf { master, command } => groups::on_behalf(state, user, *master, command, now),
        Command::Dismiss { id, machine } => groups::dismiss(state, user, *id, machine, now),
        Command::Reserve(reserve) => {
            let request = Request {
                user: user.to_owned(),
                selector: parse_selector(&reserve.selector)?,
                count: reserve.count,
                duration: reserve.duration,
                drain: reserve.drain,
                comment: reserve.comment.clone(),
                rollout: reserve.rollout.clone(),
                priority: reserve.priority,
                minimum: reserve.minimum,
                until: reserve.until,
                master: reserve.master,
                notify: Notify {
                    user: reserve.notify.clone().unwrap_or_default(),
                    administrator: reserve.notify_administrator.clone(),
                },
                no_show: reserve.no_show.filter(|after| !after.is_zero()),
                ssh_key: reserve.ssh_key.clone(),
                image: reserve.image.clone(),
            };
            if reserve.each { groups::reserve_each(state, request, now) } else { self::reserve(state, request, now) }
        }
        Command::Extend { id, to } => extend(state, user, *id, *to, now),
        Command::SetQuota { name, quota } => set_quota(state, name, quota),
        Command::CheckIn { id } => check_in(state, user, *id, now),
        Command::Revoke { id, reason } => holder::revoke(state, user, *id, reason, now),
        Command::Accept { id } => holder::accept(state, user, *id, now),
    }
}

fn parse_selector(text: &str) -> Result<Selector, Refusal> {
    if text.len() > SELECTOR_SIZE_MAX {
        let why = format!("the selector has {} bytes, and at most {SELECTOR_SIZE_MAX} are read", text.len());
        return Err(Refusal::new(RefusalCode::Limit, RESERVE, why, "use globs or tags instead of long lists"));
    }
    Selector::parse(text).map_err(|error| error.into_refusal(RESERVE))
}

fn reserve(state: &State, request: Request, now: Now) -> Decided {
    let reservation = queued(state.last().next(), checked(state, request, now)?, now);
    check_possible(state, &reservation)?;
    let mut events = vec![Event::Queued { id: reservation.id, request: reservation.request.clone() }];
    events.extend(grants::grants(state, Some(&reservation), &[], now.time));
    Ok(decided(state, reservation, events, now))
}

/// A reservation that begins to wait.
pub(super) fn queued(id: ReservationId, request: Request, now: Now) -> Reservation {
    Reservation { id, request, queued: now.time, aged: false, stage: Stage::Queued, notices: Notices::new() }
}

/// A request that may be taken, whether or not it is possible.
pub(super) fn checked(state: &State, mut request: Request, now: Now) -> Result<Request, Refusal> {
    if let Some(until) = request.until {
        if until <= now.time {
            let why = "the time until which it is wanted has passed";
            return Err(Refusal::new(RefusalCode::Invalid, RESERVE, why, "name a time to come"));
        }
        request.duration = until.since(now.time);
    }
    check_request(&request)?;
    image::check_known(state, &request)?;
    check_quota(state, &request)?;
    if state.queued() >= QUEUE_MAX {
        let why = format!("{QUEUE_MAX} reservations wait already");
        return Err(Refusal::new(RefusalCode::Limit, RESERVE, why, "try again when some are served"));
    }
    Ok(request)
}

fn check_request(request: &Request) -> Result<(), Refusal> {
    let invalid = |why: String, next: &str| Err(Refusal::new(RefusalCode::Invalid, RESERVE, why, next));
    let limit = |why: String, next: &str| Err(Refusal::new(RefusalCode::Limit, RESERVE, why, next));
    if request.count == 0 {
        return invalid("the count is 0".into(), "ask for at least one machine");
    }
    if request.count > MACHINES_MAX {
        return limit(
            format!("{} machines are wanted, and one reservation has at most {MACHINES_MAX}", request.count),
            "ask for fewer",
        );
    }
    if request.duration.is_zero() {
        return invalid("the duration is 0".into(), "say for how long, as `2h`");
    }
    if request.duration > DURATION_MAX {
        return limit(
            too_long("the duration", request.duration, DURATION_MAX),
            "ask for less, and extend it when needed",
        );
    }
    if request.drain > DRAIN_MAX {
        return limit(too_long("the drain", request.drain, DRAIN_MAX), "give what runs there less time to end");
    }
    if request.no_show > Some(DURATION_MAX) {
        let is = request.no_show.unwrap_or_default();
        return limit(too_long("the time to show up", is, DURATION_MAX), "give less");
    }
    if request.comment.len() > COMMENT_SIZE_MAX {
        return limit(
            format!("the comment has {} bytes, and at most {COMMENT_SIZE_MAX} are kept", request.comment.len()),
            "shorten it",
        );
    }
    if request.minimum > request.count {
        let why = format!("the minimum is {}, and the count {}", request.minimum, request.count);
        return invalid(why, "give a minimum from 1 to the count");
    }
    if request.priority > PRIORITY_MAX {
        return limit(format!("the priority is {}", request.priority), "give one from 0 to 100");
    }
    request.rollout.as_ref().map_or(Ok(()), |rollout| check_rollout(request.count, rollout))
}

/// Refuses what its user may never have.
fn check_quota(state: &State, request: &Request) -> Result<(), Refusal> {
    let wish = Wish {
        machines: request.count_min(),
        length: request.duration,
        ahead: request.duration,
        priority: request.priority,
    };
    let limit =
        |why| Refusal::new(RefusalCode::Limit, RESERVE, why, "ask for less; `muster quota list` shows the quotas");
    state.quotas().check(&request.user, wish).map_err(limit)
}

fn set_quota(state: &State, name: &str, quota: &Quota) -> Decided {
    let what = format!("set the quota of {name}");
    let invalid =
        |why| Refusal::new(RefusalCode::Invalid, what.clone(), why, "`muster quota set --help` shows what can be set");
    quota::check(name, quota).map_err(invalid)?;
    if state.quotas().iter().count() >= QUOTAS_MAX || quota.members.len() > MEMBERS_MAX {
        let why = format!("{QUOTAS_MAX} quotas of {MEMBERS_MAX} members are kept");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "take some away, or use `*`"));
    }
    let events = vec![Event::QuotaSet { name: name.to_owned(), quota: quota.clone() }];
    Ok(Decision { events, reply: Some(Reply::Quota { name: name.to_owned(), quota: quota.clone() }) })
}

fn check_rollout(target: u32, rollout: &Rollout) -> Result<(), Refusal> {
    let invalid = |why: String, next: &str| Err(Refusal::new(RefusalCode::Invalid, ROLL_OUT, why, next));
    if rollout.minimum == 0 || rollout.minimum > target {
        let why = format!("the minimum is {}, and the target {target}", rollout.minimum);
        return invalid(why, "give a minimum from 1 to the target");
    }
    if rollout.countdown.is_zero() {
        let next =
            "say how long it waits for more than the minimum, as `10m`; with the target as minimum it does not wait";
        return invalid("the countdown is 0".into(), next);
    }
    if rollout.give_up.is_zero() {
        return invalid("the time to give up is 0".into(), "say how long the minimum may take, as `1h`");
    }
    let longest = rollout.countdown.max(rollout.give_up);
    if longest > DURATION_MAX {
        let why = too_long("the countdown or the time to give up", longest, DURATION_MAX);
        return Err(Refusal::new(RefusalCode::Limit, ROLL_OUT, why, "give less"));
    }
    Ok(())
}

fn too_long(what: &str, is: Duration, most: Duration) -> String {
    format!("{what} is {}, and at most {} are given", quantity::print_duration(is), quantity::print_duration(most))
}

/// Refuses what no waiting can fulfil, with what comes nearest.
pub(super) fn check_possible(state: &State, reservation: &Reservation) -> Result<(), Refusal> {
    let (wanted, selector) = (reservation.count_min() as usize, &reservation.request.selector);
    let matching = Outlook::of(state, reservation).matching();
    if matching >= wanted {
        return Ok(());
    }
    let taking_part = state.machines().filter(|(_, machine)| machine.takes_part()).count();
    let mut why = format!("{wanted} wanted, {matching} of {taking_part} active machines match `{selector}`");
    let unknown: Vec<_> = selector.plain_names().into_iter().filter(|name| !is_known(state, name)).take(5).collect();
    if !unknown.is_empty() {
        why.push_str(&format!("; not known: {}", unknown.join(", ")));
    }
    let apart: Vec<_> = state
        .machines()
        .filter(|(id, machine)| !machine.takes_part() && selector.matches(&Named(id, machine)))
        .map(|(id, _)| id.as_str())
        .take(5)
        .collect();
    if !apart.is_empty() {
        why.push_str(&format!("; matching but not active: {}", apart.join(", ")));
    }
    if reservation.request.rollout.is_some() {
        why.push_str("; only machines with a boot driver count (`muster machine set NAME boot=...`)");
    }
    if let Some(image) = &reservation.request.image {
        let named = format!("; only machines whose snapshot is {image} count (`muster machine set NAME snapshot=...`)");
        why.push_str(&named);
    }
    let next = match matching {
        0 => LIST_HINT.to_owned(),
        most => format!("reserve at most {most}, or widen the selector; {LIST_HINT}"),
    };
    Err(Refusal::new(RefusalCode::Refused, RESERVE, why, next))
}

fn is_known(state: &State, name: &str) -> bool {
    MachineId::new(name).is_ok_and(|id| state.machine(&id).is_some())
}

fn extend(state: &State, user: &str, id: ReservationId, to: Extension, now: Now) -> Decided {
    let what = format!("extend reservation {id}");
    let reservation = owned(state, user, id, &what)?;
    let refused = |why: String, next: &str| Err(Refusal::new(RefusalCode::Refused, what.clone(), why, next));
    let grant = match &reservation.stage {
        Stage::Queued => return refused("it has no machines yet".into(), "check it in and ask for a longer one"),
        Stage::Ended(ended) => return refused(already(ended), "reserve machines anew"),
        Stage::Ready(grant) if grant.deadline.is_due(now.time) => {
            return refused("its deadline has passed".into(), "reserve machines anew");
        }
        Stage::Preparing(grant) | Stage::Ready(grant) => grant,
    };
    // One without a deadline gets one again, counted from now.
    let has_none = grant.deadline == PoolTime::NEVER;
    let from = if has_none { now.time } else { grant.deadline };
    let by = match to {
        Extension::Never => return holder::without_deadline(state, reservation, &what, now),
        Extension::By(_) if has_none => return refused("it has no deadline".into(), "say until when, to give it one"),
        Extension::By(by) => by,
        Extension::Until(until) => until.since(from),
    };
    if by.is_zero() {
        let why = "its deadline would not move to a later time";
        return Err(Refusal::new(RefusalCode::Invalid, what, why, "say by how much, as `1h`, or a later time"));
    }
    let deadline = from + by;
    let rest = rest_after(reservation, deadline, by, now.time);
    if rest > DURATION_MAX {
        let why = format!("its deadline would be more than {} away", quantity::print_duration(DURATION_MAX));
        return Err(Refusal::new(RefusalCode::Limit, what, why, "extend it by less"));
    }
    let (length, priority) = (reservation.request.duration.saturating_add(by), reservation.request.priority);
    let wish = Wish { machines: 0, length, ahead: rest, priority };
    let limit = |why| {
        Refusal::new(RefusalCode::Limit, what.clone(), why, "extend it by less; `muster quota list` shows the quotas")
    };
    state.quotas().check(&reservation.request.user, wish).map_err(limit)?;
    let mut events = vec![Event::Extended { id, deadline }];
    events.extend(holder::shows_up(reservation, "it was extended"));
    Ok(decided(state, reservation.clone(), events, now))
}

/// How long it would last from now, or from when it is ready.
fn rest_after(reservation: &Reservation, deadline: PoolTime, by: Duration, now: PoolTime) -> Duration {
    match reservation.stage {
        Stage::Ready(_) => deadline.since(now),
        Stage::Queued | Stage::Preparing(_) | Stage::Ended(_) => reservation.request.duration.saturating_add(by),
    }
}

fn check_in(state: &State, user: &str, id: ReservationId, now: Now) -> Decided {
    let what = format!("check in reservation {id}");
    let reservation = owned(state, user, id, &what)?;
    let (end, reason) = match &reservation.stage {
        Stage::Queued | Stage::Preparing(_) => (End::Canceled, "taken back before it was ready"),
        Stage::Ready(_) => (End::Released, "checked in"),
        Stage::Ended(ended) => {
            return Err(Refusal::new(RefusalCode::Refused, what, already(ended), RESERVATIONS_HINT));
        }
    };
    Ok(decided(state, reservation.clone(), vec![Event::Ended { id, end, reason: reason.into() }], now))
}

pub(super) fn already(ended: &Ended) -> String {
    format!("it has already ended: {}, {}", ended.end.as_str(), ended.reason)
}

/// The reservation, which only its user may change.
pub(super) fn owned<'a>(
    state: &'a State,
    user: &str,
    id: ReservationId,
    what: &str,
) -> Result<&'a Reservation, Refusal> {
    let Some(reservation) = state.reservation(id) else {
        let why = format!("there is no reservation {id}");
        return Err(Refusal::new(RefusalCode::NotFound, what, why, RESERVATIONS_HINT));
    };
    if reservation.request.user != user && !is_held_machine(reservation, user) {
        let why = format!("it belongs to {}, and you are {user}", reservation.request.user);
        return Err(Refusal::new(RefusalCode::Refused, what, why, "ask its user"));
    }
    Ok(reservation)
}

/// A machine speaks for the reservation that has it: its agent vouches for who sits there.
fn is_held_machine(reservation: &Reservation, user: &str) -> bool {
    let machine = user.strip_prefix("machine:").and_then(|name| MachineId::new(name).ok());
    machine.is_some_and(|machine| reservation.machines().is_some_and(|held| held.contains(&machine)))
}

/// A decision that answers with the reservation as it is after these events.
pub(super) fn decided(
    state: &State,
    mut reservation: Reservation,
    events: Vec<Event>,
    now: Now,
) -> Decision<ReservationCore> {
    let at = At { position: now.position, time: now.time, actor: "" };
    let id = reservation.id;
    for event in &events {
        if event.reservation() == Some(id) {
            apply::fold(&mut reservation, event, &at);
        }
    }
    Decision { events, reply: Some(Reply::Reservation(Box::new(Record::of(state, &reservation)))) }
}
