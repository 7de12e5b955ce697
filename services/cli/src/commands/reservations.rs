//! `muster reserve`, `reservation`, `extend` and `checkin`.

use std::time::{Duration, Instant};

use muster_model::nanoseconds;
use muster_proto::v1::{self, ReservationState, reservation_command::Kind};

use super::{Session, not_found};
use crate::arguments::{ExtendArguments, ReservationCommand, ReserveArguments};
use crate::exit::{Failure, one_line};
use crate::output::{Cell, Column, Table};
use crate::progress::Progress;
use crate::times::short;

/// How often a reservation is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn reserve(session: &Session, arguments: ReserveArguments) -> Result<(), Failure> {
    let command = v1::Reserve {
        selector: arguments.selector,
        count: arguments.count,
        duration_ns: nanoseconds(arguments.duration),
        drain_ns: nanoseconds(arguments.drain),
        comment: arguments.comment,
        rollout: None,
    };
    let record = session.client.reservation_command("reserve", Kind::Reserve(command)).await?;
    if !arguments.wait {
        return session.print(&table(&[record])).await;
    }
    let (record, result) = wait_ready(session, record, arguments.within).await?;
    session.print(&table(&[record])).await?;
    result
}

/// Waits until a reservation is ready; gives its last record, and how the wait ended.
pub(super) async fn wait_ready(
    session: &Session,
    mut record: v1::ReservationRecord,
    within: Duration,
) -> Result<(v1::ReservationRecord, Result<(), Failure>), Failure> {
    let (number, begun) = (record.reservation, Instant::now());
    let what = format!("wait for reservation {number}");
    let mut progress = Progress::begin(&format!("reservation {number}: ready"), record.count.into(), false);
    loop {
        progress.set(record.ready.len() as u64, &one_line(&record.reason));
        match record.state() {
            ReservationState::Ready | ReservationState::Active => {
                progress.end(&format!("all after {}", short(begun.elapsed())));
                return Ok((record, Ok(())));
            }
            ReservationState::Ended => {
                progress.clear();
                let why = format!("{what}: it ended before it was ready: {} {}", end(record.end()), record.reason);
                return Ok((record, Err(Failure::QuorumNotReached(why.trim_end().to_owned()))));
            }
            ReservationState::Unspecified
            | ReservationState::Queued
            | ReservationState::Preparing
            | ReservationState::Prepared => {}
        }
        if begun.elapsed() >= within {
            progress.clear();
            let why = format!(
                "{what}: not ready within {within:?}; it stays {}, `muster checkin {number}` gives it up",
                state(record.state())
            );
            return Ok((record, Err(Failure::TimedOut(why))));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        record = one(session, &what, number).await?;
    }
}

pub(super) async fn one(session: &Session, what: &str, number: u64) -> Result<v1::ReservationRecord, Failure> {
    let found = session.client.reservations(what, number, true).await?;
    let missing =
        || not_found(what.to_owned(), format!("reservation {number}"), "`muster reservation list --all` shows all");
    found.into_iter().next().ok_or_else(missing)
}

pub(super) async fn run(session: &Session, command: &ReservationCommand) -> Result<(), Failure> {
    match command {
        ReservationCommand::List { all } => {
            let found = session.client.reservations("list reservations", 0, *all).await?;
            session.print(&table(&found)).await
        }
        ReservationCommand::Show(number) => {
            let number = number.reservation;
            let record = one(session, &format!("show reservation {number}"), number).await?;
            session.print(&table(&[record]).upright()).await
        }
    }
}

pub(super) async fn extend(session: &Session, arguments: &ExtendArguments) -> Result<(), Failure> {
    let reservation = arguments.number.reservation;
    let kind = Kind::Extend(v1::Extend { reservation, by_ns: nanoseconds(arguments.by) });
    let record = session.client.reservation_command(&format!("extend reservation {reservation}"), kind).await?;
    session.print(&table(&[record])).await
}

pub(super) async fn check_in(session: &Session, reservation: u64) -> Result<(), Failure> {
    let kind = Kind::CheckIn(v1::CheckIn { reservation });
    let record = session.client.reservation_command(&format!("check in reservation {reservation}"), kind).await?;
    session.print(&table(&[record])).await
}

fn table(reservations: &[v1::ReservationRecord]) -> Table {
    let names = ["reservation", "state", "user", "count", "machines", "deadline_time", "reason", "comment"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    let programs =
        ["selector", "ready", "returning", "queued_time", "ended_time", "end", "duration_seconds", "drain_seconds"];
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
        Cell::time_ns(record.deadline_ns),
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
    ]
}

pub(super) fn state(state: ReservationState) -> &'static str {
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

pub(super) fn end(end: v1::ReservationEnd) -> &'static str {
    match end {
        v1::ReservationEnd::Unspecified => "",
        v1::ReservationEnd::Released => "released",
        v1::ReservationEnd::Expired => "expired",
        v1::ReservationEnd::Canceled => "canceled",
        v1::ReservationEnd::Failed => "failed",
    }
}
