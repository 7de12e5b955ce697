//! `muster machine power` and `revert`, and `muster hold`.

use std::time::{Duration, Instant};

use muster_model::Position;
use muster_proto::v1::{self, PowerOutcome, PowerTask, machine_command::Kind};

use super::{Session, machines};
use crate::arguments::{HoldCommand, MachinePowerArguments, MachineRevertArguments, PowerWait, PowerWord};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::progress::Progress;
use crate::times::short;

/// How often machines are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn power(session: &Session, arguments: &MachinePowerArguments) -> Result<(), Failure> {
    let task = match arguments.task {
        PowerWord::On => PowerTask::On,
        PowerWord::Off => PowerTask::Off,
        PowerWord::Cycle => PowerTask::Cycle,
        PowerWord::Reset => PowerTask::Reset,
        PowerWord::Dump => PowerTask::Dump,
    };
    let order = v1::PowerMachines { selector: arguments.selector.clone(), task: task.into(), done: arguments.done };
    switch(session, order, &arguments.wait).await
}

pub(super) async fn revert(session: &Session, arguments: &MachineRevertArguments) -> Result<(), Failure> {
    let task = PowerTask::Revert.into();
    let order = v1::PowerMachines { selector: arguments.selector.clone(), task, done: arguments.done };
    switch(session, order, &arguments.wait).await
}

async fn switch(session: &Session, order: v1::PowerMachines, wait: &PowerWait) -> Result<(), Failure> {
    let what = format!("{} machines", word(order.task()));
    let touched = machines::names(session, &what, &order.selector).await?;
    if !order.done {
        confirm(&format!("{what} ({} machines)", touched.len()), &touched, wait.yes).await?;
    }
    let changed = session.client.machine_command(&what, Kind::Power(order)).await?;
    if !wait.wait {
        return session.print(&machines::changes(&changed)).await;
    }
    let since = changed.position.unwrap_or_default().into();
    let (found, result) = wait_for(session, &what, &changed.machines, since, wait.within).await?;
    session.print(&table(&found)).await?;
    result
}

/// Waits until it is known what became of each machine's operation; gives the records, and how the wait ended.
async fn wait_for(
    session: &Session,
    what: &str,
    named: &[String],
    since: Position,
    within: Duration,
) -> Result<(Vec<v1::MachineRecord>, Result<(), Failure>), Failure> {
    let begun = Instant::now();
    let mut progress = Progress::begin(what, named.len() as u64, false);
    loop {
        let all = session.client.machines(what, "", true).await?;
        let waits_for = all.iter().map(|status| status.switch_waits_for.as_str()).find(|why| !why.is_empty());
        let waits_for = waits_for.unwrap_or_default().to_owned();
        let found = all.into_iter().filter_map(|status| status.record);
        let found: Vec<_> = found.filter(|record| named.contains(&record.machine)).collect();
        let ended = found.iter().filter(|record| is_over(record, since)).count();
        progress.set(ended as u64, &stands(&found, &waits_for));
        if ended >= named.len() {
            progress.end(&format!("all after {}", short(begun.elapsed())));
            let failed = found.iter().filter(|record| !is_done(record)).count();
            let why = format!("{what}: {failed} of {} were not done; the table says why", named.len());
            let result = if failed == 0 { Ok(()) } else { Err(Failure::Other(anyhow::anyhow!(why))) };
            return Ok((found, result));
        }
        if begun.elapsed() >= within {
            progress.clear();
            let why = format!("{what}: {ended} of {} ended within {within:?}; it goes on", named.len());
            return Ok((found, Err(Failure::TimedOut(why))));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn power_of(record: &v1::MachineRecord) -> v1::PowerRecord {
    record.power.clone().unwrap_or_default()
}

/// No order waits, and what began at or after the order has ended; an order that was dropped began nothing.
fn is_over(record: &v1::MachineRecord, since: Position) -> bool {
    let power = power_of(record);
    let begun = Position::from(power.begun.unwrap_or_default());
    power.ordered.is_none() && (begun < since || power.outcome() != PowerOutcome::Unspecified)
}

fn is_done(record: &v1::MachineRecord) -> bool {
    power_of(record).outcome() == PowerOutcome::Done
}

fn stands(found: &[v1::MachineRecord], waits_for: &str) -> String {
    let count =
        |holds: &dyn Fn(&v1::PowerRecord) -> bool| found.iter().filter(|record| holds(&power_of(record))).count();
    let waiting = count(&|power| power.ordered.is_some());
    let asked = count(&|power| power.asked && power.outcome() == PowerOutcome::Unspecified);
    match (waiting, asked) {
        (0, 0) => String::new(),
        (waiting, 0) => format!("{waiting} wait: {waits_for}"),
        (0, asked) => format!("{asked} wait for a person (--done)"),
        (waiting, asked) => format!("{waiting} wait: {waits_for}; {asked} wait for a person (--done)"),
    }
}

/// The word of a task for people and machines alike.
pub(super) fn word(task: PowerTask) -> &'static str {
    match task {
        PowerTask::Unspecified => "",
        PowerTask::On => "on",
        PowerTask::Off => "off",
        PowerTask::Cycle => "cycle",
        PowerTask::Reset => "reset",
        PowerTask::Dump => "dump",
        PowerTask::Revert => "revert",
    }
}

/// What became of an operation: the outcome, or what it waits for.
pub(super) fn stand(power: &v1::PowerRecord) -> &'static str {
    match (power.outcome(), power.begun.is_some(), power.asked, power.ordered.is_some()) {
        (_, _, _, true) => "waits",
        (PowerOutcome::Done, ..) => "done",
        (PowerOutcome::Failed, ..) => "failed",
        (PowerOutcome::Unclear, ..) => "unclear",
        (PowerOutcome::Dropped, ..) => "dropped",
        (PowerOutcome::Unspecified, _, true, _) => "a person is asked",
        (PowerOutcome::Unspecified, true, false, _) => "under way",
        (PowerOutcome::Unspecified, false, false, _) => "",
    }
}

fn table(found: &[v1::MachineRecord]) -> Table {
    let names = ["machine", "task", "stands", "begun_time", "ended_time", "reason", "detail"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for record in found {
        let power = power_of(record);
        let task = power.ordered.as_ref().map_or(power.task(), v1::PowerOrdered::task);
        table.push(vec![
            Cell::text(&record.machine),
            Cell::text(word(task)),
            Cell::text(stand(&power)),
            Cell::time_ns(power.begun_ns),
            Cell::time_ns(power.ended_ns),
            Cell::text(&power.reason),
            Cell::text(&power.detail),
        ]);
    }
    table
}

pub(super) async fn hold(session: &Session, command: &HoldCommand) -> Result<(), Failure> {
    let set = match command {
        HoldCommand::On { reason } => Some(v1::SetHold { held: true, reason: reason.clone() }),
        HoldCommand::Off => Some(v1::SetHold::default()),
        HoldCommand::Show => None,
    };
    if let Some(set) = set {
        let what = if set.held { "hold power and reboots" } else { "let power and reboots go on" };
        session.client.machine_command(what, Kind::SetHold(set)).await?;
    }
    let hold = session.client.hold().await?;
    let held = if hold.is_some() { "yes" } else { "no" };
    let hold = hold.unwrap_or_default();
    let record = Table::record(vec![
        ("held", Cell::text(held)),
        ("by", Cell::text(&hold.actor)),
        ("reason", Cell::text(&hold.reason)),
        ("since_time", Cell::time_ns(hold.since_ns)),
    ]);
    session.print(&record).await
}
