//! `muster reserve`, `reservation`, `extend` and `checkin`.

mod view;

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use muster_model::{PoolTime, SSH_KEY_SIZE_MAX, SshKey, nanoseconds};
use muster_proto::v1::{self, ReservationState, reservation_command::Kind, reservation_query, reservation_reply};

pub(super) use self::view::{deadline, deadline_of, end, state, table};
use super::checkout::{self, Setup};
use super::show::print_lines;
use super::start;
use super::{Session, not_found};
use crate::arguments::{CheckinArguments, DismissArguments, ExtendArguments, ReservationCommand, ReserveArguments};
use crate::client::unexpected;
use crate::confirm::confirm;
use crate::exit::{Failure, one_line};
use crate::moment::Moment;
use crate::progress::Progress;
use crate::times::{Viewer, short};

/// How often a reservation is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A reservation that is booted into a kernel counts down so long with its minimum, and gives up below it after so long.
const COUNTDOWN: Duration = Duration::from_secs(300);
const GIVE_UP: Duration = Duration::from_secs(3600);

/// An extension that comes later is answered once the agents have it.
const ENDS_SOON: Duration = Duration::from_secs(30);

pub(super) async fn reserve(session: &Session, mut arguments: ReserveArguments) -> Result<(), Failure> {
    let setup = checkout::setup(session, &arguments).await?;
    if let Some(Setup { machine, kernel, .. }) = &setup {
        arguments.kernel = arguments.kernel.or_else(|| kernel.clone());
        if arguments.selector.is_empty() {
            arguments.selector = machine.clone().unwrap_or_default();
        }
    }
    let ssh_key = arguments.ssh_key.as_deref().map(ssh_key).transpose()?.unwrap_or_default();
    let minimum = arguments.minimum.unwrap_or(arguments.count);
    let rollout = arguments.kernel.map(|kernel| v1::Rollout {
        kernel,
        minimum,
        countdown_ns: nanoseconds(COUNTDOWN),
        give_up_ns: nanoseconds(GIVE_UP),
        nonce: String::new(),
    });
    let command = v1::Reserve {
        selector: arguments.selector,
        count: arguments.count,
        duration_ns: nanoseconds(arguments.duration),
        drain_ns: nanoseconds(arguments.drain),
        comment: arguments.comment,
        minimum: if rollout.is_some() { 0 } else { arguments.minimum.unwrap_or(0) },
        rollout,
        priority: arguments.priority,
        until_ns: pool_time(session, arguments.until).await,
        each: arguments.each,
        notify: arguments.notify.to_wire(),
        // Whoever waits is there.
        no_show_ns: arguments.no_show.or(arguments.wait.then_some(Duration::ZERO)).map(nanoseconds),
        ssh_key,
        image: arguments.image.map(|image| image.to_string()).unwrap_or_default(),
    };
    let master = arguments.master.map(master_of);
    let record = match session.client.reservation_commanded("reserve", master, Kind::Reserve(command)).await? {
        reservation_reply::Kind::Reservation(record) => record,
        reservation_reply::Kind::Reservations(list) => return session.print(&table(&list.reservations)).await,
        _ => return Err(unexpected("reservation")),
    };
    if let Some(setup) = setup {
        start::attach(session, "reserve", record.reservation, setup.start).await?;
    }
    if !arguments.wait {
        return session.print(&table(&[record])).await;
    }
    let (record, result) = wait_ready(session, record, arguments.within).await?;
    session.print(&table(&[record])).await?;
    result
}

/// One public key, of a file or of stdin.
fn ssh_key(file: &Path) -> Result<String, Failure> {
    let (mut text, limit) = (String::new(), SSH_KEY_SIZE_MAX as u64 + 1);
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(limit).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|opened| opened.take(limit).read_to_string(&mut text)),
    };
    let what = format!("read the ssh key of {}", file.display());
    read.map_err(|error| Failure::Usage(format!("{what}: {error}; name the file that ends in .pub")))?;
    SshKey::parse(&text).map(|key| key.to_string()).map_err(|error| Failure::Usage(format!("{what}: {error}")))
}

/// The pool time of a moment, nanoseconds; 0 for none.
async fn pool_time(session: &Session, moment: Option<Moment>) -> i64 {
    let Some(Moment(moment)) = moment else { return 0 };
    let ahead = moment.duration_since(jiff::Timestamp::now()).unsigned_abs();
    (session.client.viewer().await.now + ahead).0
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
            ReservationState::Prepared | ReservationState::Ready | ReservationState::Active => {
                progress.end(&format!("all after {}", short(begun.elapsed())));
                return Ok((record, Ok(())));
            }
            ReservationState::Ended => {
                progress.clear();
                let why = format!("{what}: it ended before it was ready: {} {}", end(record.end()), record.reason);
                return Ok((record, Err(Failure::QuorumNotReached(why.trim_end().to_owned()))));
            }
            ReservationState::Unspecified | ReservationState::Queued | ReservationState::Preparing => {}
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

/// A reservation as a master.
fn master_of(reservation: u64) -> v1::GroupMaster {
    v1::GroupMaster { reservation, ..v1::GroupMaster::default() }
}

pub(super) async fn one(session: &Session, what: &str, number: u64) -> Result<v1::ReservationRecord, Failure> {
    let found = session.client.reservations(what, number, true).await?;
    let missing =
        || not_found(what.to_owned(), format!("reservation {number}"), "`muster reservation list --all` shows all");
    found.into_iter().next().ok_or_else(missing)
}

pub(super) async fn run(session: &Session, command: &ReservationCommand) -> Result<(), Failure> {
    match command {
        ReservationCommand::List { all, master } => {
            let list = v1::ListReservations { ended: *all, master: master.map(master_of), ..Default::default() };
            let found = session.client.list_reservations("list reservations", list).await?;
            session.print(&table(&found)).await
        }
        ReservationCommand::Show(number) => {
            let number = number.reservation;
            let record = one(session, &format!("show reservation {number}"), number).await?;
            session.print(&table(&[record]).upright()).await
        }
        ReservationCommand::Accept(number) => {
            let reservation = number.reservation;
            let kind = Kind::Accept(v1::Accept { reservation });
            let record = session.client.reservation_command(&format!("accept reservation {reservation}"), kind).await?;
            session.print(&table(&[record])).await
        }
    }
}

pub(super) async fn extend(session: &Session, arguments: &ExtendArguments) -> Result<(), Failure> {
    let reservation = arguments.number.reservation.unwrap_or_default();
    let by_ns = arguments.by.map_or(0, nanoseconds);
    let until_ns = pool_time(session, arguments.until).await;
    let kind = Kind::Extend(v1::Extend { reservation, by_ns, until_ns, no_deadline: arguments.no_deadline });
    let what = format!("extend reservation {reservation}");
    let before = one(session, &what, reservation).await?;
    let record = session.client.reservation_command(&what, kind).await?;
    let late = PoolTime(before.deadline_ns).since(session.client.viewer().await.now) < ENDS_SOON;
    let known = if late && record.state() == ReservationState::Ready {
        wait_known(session, &what, &record).await
    } else {
        Ok(())
    };
    session.print(&table(&[record])).await?;
    known
}

/// Waits until the agents know of the new deadline: cut off, each of them would end what runs at the one that it knows.
async fn wait_known(session: &Session, what: &str, record: &v1::ReservationRecord) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let seen = session.client.machines(what, &record.machines.join(" or "), true).await?;
        let unknown: Vec<&str> = seen.iter().filter_map(|status| does_not_know(status, record)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= session.client.timeout() {
            let why = format!(
                "{what}: decided, and not yet known to {}: a machine that is cut off ends at the old deadline",
                unknown.join(", ")
            );
            return Err(Failure::TimedOut(why));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A machine whose agent has not yet said that it has this deadline.
fn does_not_know<'a>(status: &'a v1::MachineStatus, wanted: &v1::ReservationRecord) -> Option<&'a str> {
    let record = status.record.as_ref()?;
    let place = |at: Option<v1::Position>| muster_model::Position::from(at.unwrap_or_default());
    let has = place(status.agent_generation) >= place(record.generation);
    let moved = record.holder.as_ref().is_some_and(|holder| holder.deadline_ns >= wanted.deadline_ns);
    (!has || !moved).then_some(record.machine.as_str())
}

/// Says why a reservation waits: what keeps the machines that it wants, when it is served at the latest, and what would help.
pub(super) async fn why(session: &Session, reservation: u64) -> Result<(), Failure> {
    let what = format!("explain reservation {reservation}");
    let kind = reservation_query::Kind::Explain(v1::ExplainReservation { reservation });
    let reservation_reply::Kind::Explained(explained) = session.client.reservation_query(&what, kind).await? else {
        return Err(unexpected("reservation"));
    };
    let record = explained.record.clone().unwrap_or_default();
    let viewer = session.viewer().await;
    let mut lines = vec![format!("reservation {reservation} is {}: {}", state(record.state()), record.reason)];
    if record.state() == ReservationState::Queued {
        lines.extend(waits(&explained, &viewer));
    }
    print_lines(session, lines).await
}

fn waits(explained: &v1::ReservationExplained, viewer: &Viewer) -> Vec<String> {
    let mut lines = Vec::new();
    if explained.before > 0 {
        lines.push(format!("{} before it in line", explained.before));
    }
    if !explained.quota.is_empty() {
        lines.push(explained.quota.clone());
    }
    for kept in &explained.kept {
        let until = PoolTime(kept.until_ns);
        let until = if until == PoolTime::NEVER { String::new() } else { format!(", until {}", viewer.time(until)) };
        let more = if kept.count as usize > kept.machines.len() { ", ..." } else { "" };
        lines.push(format!("{} {}{until}: {}{more}", kept.count, kept.what, kept.machines.join(", ")));
    }
    lines.push(match PoolTime(explained.expected_ns) {
        PoolTime::NEVER => "nobody can tell when it is served: too few of these machines work".into(),
        expected => format!("served by {} at the latest, if nobody extends", viewer.time(expected)),
    });
    if !explained.change.is_empty() {
        lines.push(format!("now: {}", explained.change));
    }
    lines
}

/// Gives one machine of a reservation back.
pub(super) async fn dismiss(session: &Session, arguments: DismissArguments) -> Result<(), Failure> {
    let (reservation, machine) = (arguments.number.reservation, arguments.machine);
    let what = format!("dismiss {machine} of reservation {reservation}");
    let kind = Kind::Dismiss(v1::DismissMachine { reservation, machine });
    let record = session.client.reservation_command(&what, kind).await?;
    session.print(&table(&[record])).await
}

pub(super) async fn check_in(session: &Session, arguments: CheckinArguments) -> Result<(), Failure> {
    let CheckinArguments { number, revoke, reason, yes } = arguments;
    let reservation = number.reservation.unwrap_or_default();
    let what = format!("{} reservation {reservation}", if revoke { "revoke" } else { "check in" });
    if revoke {
        let record = one(session, &what, reservation).await?;
        confirm(&format!("{what} of {}", record.user), &record.machines, yes).await?;
    }
    let kind = Kind::CheckIn(v1::CheckIn { reservation, revoke, reason });
    let record = session.client.reservation_command(&what, kind).await?;
    session.print(&table(&[record])).await
}
