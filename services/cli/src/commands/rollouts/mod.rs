//! `muster rollout`: a reservation with a kernel and a quorum.

mod view;

use std::io::IsTerminal;
use std::time::Duration;

use muster_model::{Refusal, RefusalCode, nanoseconds};
use muster_proto::v1::{self, ReservationState, reservation_command::Kind};
use tokio::time::MissedTickBehavior;

use super::reservations::{one, wait_ready};
use super::top::Screen;
use super::{Session, not_found, start};
use crate::arguments::{RolloutCommand, RolloutShowArguments, RolloutStartArguments};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{self, Format, Layout};

/// A rollout that is watched is looked at this often.
const REFRESH: Duration = Duration::from_secs(1);

pub(super) async fn run(session: &Session, command: RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::Start(arguments) => begin(session, *arguments).await,
        RolloutCommand::List { all } => {
            let mut found = session.client.reservations("list rollouts", 0, all).await?;
            found.retain(|record| record.rollout.is_some());
            session.print(&view::list(&found)).await
        }
        RolloutCommand::Show(arguments) => show(session, &arguments).await,
        RolloutCommand::Cancel { number, yes } => cancel(session, number.reservation, yes).await,
    }
}

async fn begin(session: &Session, arguments: RolloutStartArguments) -> Result<(), Failure> {
    let what = format!("roll out {}", arguments.kernel);
    // What is to follow is read first: a mistake in it is told before a machine is touched.
    let then = arguments.then.as_deref().map(|text| start::attached(&what, text)).transpose()?;
    let kernels = session.client.kernels(&what, &arguments.kernel).await?;
    let missing =
        || not_found(what.clone(), format!("kernel `{}`", arguments.kernel), "`muster kernel list` shows all");
    let kernel = kernels.into_iter().next().filter(|kernel| kernel.name == arguments.kernel).ok_or_else(missing)?;
    if let Some(then) = &then {
        start::check_attached(session, &what, then).await?;
    }
    let on = if arguments.on.is_empty() { "any machine" } else { &arguments.on };
    let touched = [format!("up to {} machines of `{on}`, which are drained and rebooted", arguments.target)];
    confirm(&format!("{what} ({} machines)", arguments.target), &touched, arguments.yes).await?;
    let command = v1::Reserve {
        selector: selector(&arguments.on, &kernel.architecture),
        count: arguments.target,
        duration_ns: nanoseconds(arguments.duration),
        drain_ns: nanoseconds(arguments.drain),
        comment: arguments.comment,
        rollout: Some(v1::Rollout {
            kernel: kernel.name,
            minimum: arguments.minimum.unwrap_or(arguments.target),
            countdown_ns: nanoseconds(arguments.countdown),
            give_up_ns: nanoseconds(arguments.give_up),
            nonce: String::new(),
        }),
        notify: arguments.notify.to_wire(),
        ..v1::Reserve::default()
    };
    let record = session.client.reservation_command(&what, Kind::Reserve(command)).await?;
    if let Some(then) = then {
        start::attach(session, &what, record.reservation, then).await?;
    }
    if !arguments.wait {
        return session.print(&view::list(&[record])).await;
    }
    let (record, result) = wait_ready(session, record, arguments.within).await?;
    session.print(&view::list(&[record])).await?;
    result
}

/// Without a selector, machines that the kernel is for.
fn selector(given: &str, architecture: &str) -> String {
    if given.is_empty() { format!("arch={architecture}") } else { given.to_owned() }
}

async fn rollout(session: &Session, what: &str, number: u64) -> Result<v1::ReservationRecord, Failure> {
    let record = one(session, what, number).await?;
    if record.rollout.is_some() {
        return Ok(record);
    }
    let next = format!("`muster reservation show {number}`");
    Err(Refusal::new(RefusalCode::NotFound, what, "it is a reservation without a kernel", next).into())
}

async fn cancel(session: &Session, number: u64, yes: bool) -> Result<(), Failure> {
    let what = format!("cancel rollout {number}");
    let record = rollout(session, &what, number).await?;
    confirm(&what, &record.machines, yes).await?;
    let kind = Kind::CheckIn(v1::CheckIn { reservation: number, ..Default::default() });
    let record = session.client.reservation_command(&what, kind).await?;
    session.print(&view::list(&[record])).await
}

async fn show(session: &Session, arguments: &RolloutShowArguments) -> Result<(), Failure> {
    let number = arguments.number.reservation;
    let what = format!("show rollout {number}");
    let live = !arguments.once && session.format == Format::Table && std::io::stdout().is_terminal();
    if live {
        watch(session, &what, number).await?;
    }
    let (record, machines) = look(session, &what, number).await?;
    if session.format == Format::Table {
        return output::write(&text(session, &record, &machines).await?);
    }
    session.print(&view::machines(&record, &machines)).await
}

/// Draws until it is ready or over, or `q` or ctrl-C.
async fn watch(session: &Session, what: &str, number: u64) -> Result<(), Failure> {
    let mut screen = Screen::enter();
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        let (record, machines) = look(session, what, number).await?;
        if screen.quit_typed() || !is_under_way(record.state()) {
            return Ok(());
        }
        let (columns, rows) = Screen::size();
        screen.draw(&text(session, &record, &machines).await?, columns, rows)?;
    }
}

fn is_under_way(state: ReservationState) -> bool {
    matches!(state, ReservationState::Queued | ReservationState::Preparing)
}

async fn look(
    session: &Session,
    what: &str,
    number: u64,
) -> Result<(v1::ReservationRecord, Vec<v1::MachineStatus>), Failure> {
    let record = rollout(session, what, number).await?;
    let machines = session.client.machines(what, "", true).await?;
    Ok((record, machines))
}

/// The summary, then the machines, those in trouble first.
async fn text(
    session: &Session,
    record: &v1::ReservationRecord,
    machines: &[v1::MachineStatus],
) -> Result<String, Failure> {
    let layout = Layout { format: Format::Table, viewer: session.viewer().await };
    let then = start::attached_to(session, record.reservation).await?;
    let summary = layout.render(&view::summary(record, machines, &then))?;
    Ok(format!("{summary}\n{}", layout.render(&view::machines(record, machines))?))
}
