//! Who holds machines is told so, in one line on stderr at the end of what they did on a terminal: they may have forgotten.
//!
//! Says nothing where nothing is held, or where nobody answers at once, and never makes a command fail.

use std::io::IsTerminal;
use std::time::Duration;

use muster_bus::subjects::Service;
use muster_model::PoolTime;
use muster_proto::v1::{self, ReservationState, envelope::Body, reservation_query, reservation_reply};

use super::Session;
use crate::arguments::Command;
use crate::exit::one_line;
use crate::output::Format;
use crate::times::Viewer;

/// A command is not delayed by more than this.
const LIMIT: Duration = Duration::from_millis(200);
/// Machines that are named; more are counted.
const NAMED_MAX: usize = 4;

/// After a command that is not itself about what one holds, nor writes a stream that has no end.
pub(super) fn is_told_after(command: &Command) -> bool {
    !matches!(
        command,
        Command::Reserve(_)
            | Command::Reservation(_)
            | Command::Rollout(_)
            | Command::Extend(_)
            | Command::Checkin(_)
            | Command::Events(_)
            | Command::Decode
            | Command::Generate(_)
    )
}

/// Says what a user holds, where a person looks.
pub(super) async fn tell(session: &Session, user: &str) {
    let is_looked_at = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
    if session.format != Format::Table || !is_looked_at {
        return;
    }
    if let Ok(Some(line)) = tokio::time::timeout(LIMIT, held(session, user)).await {
        eprintln!("muster: {line}");
    }
}

async fn held(session: &Session, user: &str) -> Option<String> {
    let list = v1::ListReservations { user: user.to_owned(), ..Default::default() };
    let body = Body::ReservationQuery(v1::ReservationQuery { kind: Some(reservation_query::Kind::List(list)) });
    let answer = session.client.query_quietly("look what you hold", Service::Reservation, body, LIMIT).await.ok()?;
    let Body::ReservationReply(v1::ReservationReply { kind: Some(reservation_reply::Kind::Reservations(list)) }) =
        answer
    else {
        return None;
    };
    line(&list.reservations, &Viewer::here(session.client.bus().now()))
}

/// `you hold reservation 4 (m1, m2) until 18:00:00`; none where nothing is held.
fn line(reservations: &[v1::ReservationRecord], viewer: &Viewer) -> Option<String> {
    let is_held = |record: &&v1::ReservationRecord| {
        matches!(record.state(), ReservationState::Prepared | ReservationState::Ready | ReservationState::Active)
    };
    let one = |record: &v1::ReservationRecord| {
        let until = match PoolTime(record.deadline_ns) {
            PoolTime::NEVER => "without a deadline".to_owned(),
            deadline => format!("until {}", viewer.time(deadline)),
        };
        format!("{} ({}) {until}", record.reservation, machines(&record.machines))
    };
    let held: Vec<_> = reservations.iter().filter(is_held).map(one).collect();
    match held.as_slice() {
        [] => None,
        [one] => Some(format!("you hold reservation {one}")),
        [first, others @ ..] => Some(format!("you hold reservation {first}, and {} more", others.len())),
    }
}

fn machines(names: &[String]) -> String {
    let mut text = one_line(&names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", "));
    if names.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMED_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reservation: u64, state: ReservationState, machines: usize) -> v1::ReservationRecord {
        let machines = (1..=machines).map(|number| format!("m{number}")).collect();
        v1::ReservationRecord { reservation, state: state.into(), machines, ..Default::default() }
    }

    #[test]
    fn what_is_held_is_one_line_and_nothing_is_none() {
        let viewer = Viewer { now: PoolTime(1), zone: jiff::tz::TimeZone::UTC };
        assert_eq!(line(&[record(3, ReservationState::Queued, 0)], &viewer), None);
        let mut held = record(4, ReservationState::Ready, 2);
        assert_eq!(
            line(&[held.clone()], &viewer).as_deref(),
            Some("you hold reservation 4 (m1, m2) without a deadline")
        );
        held.deadline_ns = 18 * 3_600 * 1_000_000_000;
        let many = [held, record(5, ReservationState::Active, 6)];
        assert_eq!(line(&many, &viewer).as_deref(), Some("you hold reservation 4 (m1, m2) until 18:00:00, and 1 more"));
        assert_eq!(machines(&many[1].machines), "m1, m2, m3, m4 and 2 more");
    }
}
