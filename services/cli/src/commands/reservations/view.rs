//! Reservations as tables.

use std::time::Duration;

use muster_model::{GroupMaster, NotifyTarget};
use muster_proto::v1::{self, ReservationState};

use crate::output::{Cell, Column, Table};

/// One row for each reservation.
pub(in crate::commands) fn table(reservations: &[v1::ReservationRecord]) -> Table {
    let names = ["reservation", "state", "user", "count", "machines", "deadline_time", "reason", "comment"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    let programs = [
        "selector",
        "ready",
        "returning",
        "queued_time",
        "ended_time",
        "end",
        "duration_seconds",
        "drain_seconds",
        "priority",
        "minimum",
        "until_time",
        "aged",
        "master",
        "notify",
        "no_show_seconds",
        "ready_time",
        "told_time",
        "taken_up_time",
        "notices",
        "ssh_key",
        "image",
    ];
    columns.extend(programs.into_iter().map(Column::programs));
    let mut table = Table::new(columns);
    for record in reservations {
        table.push(row(record));
    }
    table
}

fn row(record: &v1::ReservationRecord) -> Vec<Cell> {
    let span = |ns: i64| Cell::Span(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
    vec![
        Cell::Integer(record.reservation),
        Cell::text(state(record.state())),
        Cell::text(&record.user),
        Cell::Integer(record.count.into()),
        Cell::List(record.machines.clone()),
        deadline(record),
        Cell::text(&record.reason),
        Cell::text(&record.comment),
        Cell::text(&record.selector),
        Cell::List(record.ready.clone()),
        Cell::List(record.returning.clone()),
        Cell::time_ns(record.queued_ns),
        Cell::time_ns(record.ended_ns),
        Cell::text(end(record.end())),
        span(record.duration_ns),
        span(record.drain_ns),
        Cell::Integer(record.priority.into()),
        Cell::Integer(record.minimum.into()),
        Cell::time_ns(record.until_ns),
        Cell::Flag(record.aged),
        Cell::text(master(record)),
        Cell::text(NotifyTarget::parse(&record.notify).map_or_else(|_| record.notify.clone(), |to| to.shown())),
        if record.no_show_ns > 0 { span(record.no_show_ns) } else { Cell::None },
        Cell::time_ns(record.ready_ns),
        Cell::time_ns(record.told_ns),
        Cell::time_ns(record.taken_up_ns),
        Cell::List(record.notices.iter().map(noticed).collect()),
        Cell::text(&record.ssh_key),
        Cell::text(&record.image),
    ]
}

/// Whose client it is: `reservation 4`, `process 1/00010064`; empty for an ordinary one.
fn master(record: &v1::ReservationRecord) -> String {
    let master = record.master.and_then(|master| GroupMaster::try_from(master).ok());
    master.map_or_else(String::new, |master| master.to_string())
}

pub(in crate::commands) fn state(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Unspecified => "unknown",
        ReservationState::Queued => "queued",
        ReservationState::Preparing => "preparing",
        ReservationState::Prepared => "prepared",
        ReservationState::Ready => "ready",
        ReservationState::Active => "active",
        ReservationState::Ended => "ended",
    }
}

pub(in crate::commands) fn end(end: v1::ReservationEnd) -> &'static str {
    match end {
        v1::ReservationEnd::Unspecified => "",
        v1::ReservationEnd::Released => "released",
        v1::ReservationEnd::Expired => "expired",
        v1::ReservationEnd::Canceled => "canceled",
        v1::ReservationEnd::Failed => "failed",
        v1::ReservationEnd::MasterEnded => "master ended",
        v1::ReservationEnd::NoShow => "no_show",
        v1::ReservationEnd::Revoked => "revoked",
    }
}

/// What came of telling somebody: `ready to user: told`, `ended to administrator: failed 2 times: no route to host`.
fn noticed(noticed: &v1::ReservationNoticed) -> String {
    let notice = match noticed.notice() {
        v1::Notice::Unspecified => "something",
        v1::Notice::Ready => "ready",
        v1::Notice::EndsSoon => "ends_soon",
        v1::Notice::EndsVerySoon => "ends_very_soon",
        v1::Notice::Ended => "ended",
    };
    let recipient = match noticed.recipient() {
        v1::NoticeRecipient::Unspecified | v1::NoticeRecipient::User => "user",
        v1::NoticeRecipient::Administrator => "administrator",
    };
    let (attempts, reason) = (noticed.attempts, &noticed.reason);
    let outcome = match noticed.outcome() {
        v1::NoticeOutcome::Unspecified => "unknown".to_owned(),
        v1::NoticeOutcome::Told => "told".to_owned(),
        v1::NoticeOutcome::Failed => format!("failed {attempts} times, and is tried again: {reason}"),
        v1::NoticeOutcome::GivenUp => format!("given up after {attempts} times: {reason}"),
    };
    format!("{notice} to {recipient}: {outcome}")
}

/// The deadline of who holds something; where there is none, that is said.
pub(in crate::commands) fn deadline_of(deadline_ns: i64) -> Cell {
    if deadline_ns == 0 { Cell::Word("none") } else { Cell::time_ns(deadline_ns) }
}

/// One that is under way, and has no deadline, says so.
pub(in crate::commands) fn deadline(record: &v1::ReservationRecord) -> Cell {
    let state = record.state();
    let is_held = matches!(state, ReservationState::Prepared | ReservationState::Ready | ReservationState::Active);
    if is_held { deadline_of(record.deadline_ns) } else { Cell::time_ns(record.deadline_ns) }
}
