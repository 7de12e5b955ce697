//! `muster trigger`: what machines do when something fires, and what became of it.

use std::time::{Duration, Instant};

use muster_bus::subjects;
use muster_model::{Firing, FiringId, JobNumber, TriggerAction, TriggerNumber};
use muster_proto::v1::{self, envelope::Body, job_command, job_query, job_reply};

use super::Session;
use crate::arguments::{ArmArguments, DisarmArguments, FireArguments, TriggerCommand};
use crate::client::{Client, unexpected};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::target::Target;

/// A listing has at most so many pages.
const PAGES_MAX: usize = 1_000;
/// Machines that are armed take it within milliseconds; one that is down when it comes back.
const TAKEN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Said of a machine that has not.
const NOT_TAKEN: &str = "its agent has not taken it yet, and acts once it has; `muster trigger list` shows when";
/// What became of a firing, and who took an arm, is asked for this often.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(session: &Session, command: TriggerCommand) -> Result<(), Failure> {
    match command {
        TriggerCommand::Arm(arguments) => arm(session, arguments).await,
        TriggerCommand::Disarm(arguments) => disarm(session, arguments).await,
        TriggerCommand::List { fired: false } => {
            let list = list(session, "list triggers", false).await?;
            session.print(&arms_table(&list.arms)).await
        }
        TriggerCommand::List { fired: true } => {
            let list = list(session, "list firings of triggers", true).await?;
            session.print(&firings_table(&list.firings)).await
        }
        TriggerCommand::Fire(arguments) => fire(session, arguments).await,
    }
}

async fn arm(session: &Session, arguments: ArmArguments) -> Result<(), Failure> {
    let what = format!("arm trigger {}", arguments.number);
    let armed = changed(session, &what, job_command::Kind::ArmTrigger(arm_command(arguments, &what)?)).await?;
    let machines: Vec<&str> = armed.machines.iter().map(|armed| armed.machine.as_str()).collect();
    let missing = missing(session, &what, armed.number, &machines).await?;
    let mut table = Table::new(["trigger", "machine", "armed", "why_not"].map(Column::new).to_vec());
    let mut row = |machine: &str, is_armed: bool, why: Cell| {
        table.push(vec![Cell::Integer(armed.number.into()), Cell::text(machine), Cell::Flag(is_armed), why]);
    };
    for machine in machines {
        let is_missing = missing.iter().any(|missing| missing == machine);
        let why = if is_missing { Cell::text(NOT_TAKEN) } else { Cell::None };
        row(machine, !is_missing, why);
    }
    armed.skipped.iter().for_each(|skipped| row(&skipped.machine, false, Cell::text(&skipped.why)));
    session.print(&table).await
}

/// Waits until the agents have what they were armed with; returns the machines that do not have it by then, nor something newer.
async fn missing(session: &Session, what: &str, number: u32, machines: &[&str]) -> Result<Vec<String>, Failure> {
    let deadline = Instant::now() + TAKEN_WAIT_MAX.min(session.client.timeout());
    loop {
        let arms = list(session, what, false).await?.arms;
        let own = arms.into_iter().filter_map(|record| record.armed).filter(|armed| armed.number == number);
        let mut missing: Vec<String> = own.flat_map(|armed| waiting_for(&armed)).collect();
        missing.retain(|machine| machines.contains(&machine.as_str()));
        if missing.is_empty() || Instant::now() >= deadline {
            return Ok(missing);
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// Machines of an arm whose agents do not have it yet.
fn waiting_for(armed: &v1::TriggerArmed) -> Vec<String> {
    armed.machines.iter().filter(|armed| !armed.taken).map(|armed| armed.machine.clone()).collect()
}

/// Of what may fire, numbers are jobs, and everything else selects machines.
fn arm_command(arguments: ArmArguments, what: &str) -> Result<v1::ArmTrigger, Failure> {
    let word = arguments.action.first().map_or("", String::as_str);
    let argument = arguments.action.get(1).map_or("", String::as_str);
    let action = TriggerAction::parse(word, argument)
        .map_err(|error| Failure::Usage(format!("{what}: {error}; an action is {}", muster_model::TRIGGER_ACTIONS)))?;
    let (mut from_jobs, mut from_machines) = (Vec::new(), Vec::new());
    for from in arguments.from {
        match from.parse() {
            Ok(Target::Job(JobNumber(job))) => from_jobs.push(job),
            Ok(Target::Process(_)) | Err(_) => from_machines.push(from),
        }
    }
    Ok(v1::ArmTrigger {
        number: arguments.number,
        selector: arguments.on,
        from_jobs,
        from_selector: from_machines.join(" or "),
        action: v1::TriggerAction::from(&action).into(),
        argument: action.argument(),
        reservation: arguments.reservation,
    })
}

async fn disarm(session: &Session, arguments: DisarmArguments) -> Result<(), Failure> {
    let DisarmArguments { numbers, all, on } = arguments;
    let kind = job_command::Kind::DisarmTriggers(v1::DisarmTriggers { numbers, all, selector: on });
    let armed = changed(session, "disarm triggers", kind).await?;
    session.print(&Table::record(vec![("disarmed", Cell::Integer(armed.disarmed.into()))])).await
}

async fn changed(session: &Session, what: &str, kind: job_command::Kind) -> Result<v1::Armed, Failure> {
    match session.client.job_command(what, kind).await? {
        job_reply::Kind::Armed(armed) => Ok(armed),
        _ => Err(unexpected("scheduler")),
    }
}

/// All pages of a listing.
async fn list(session: &Session, what: &str, fired: bool) -> Result<v1::TriggerList, Failure> {
    let mut all = v1::TriggerList::default();
    for _ in 0..PAGES_MAX {
        let after = u32::try_from(all.arms.len() + all.firings.len()).unwrap_or(u32::MAX);
        let page = page(&session.client, what, v1::ListTriggers { fired, after }).await?;
        let more = page.more && !(page.arms.is_empty() && page.firings.is_empty());
        all.arms.extend(page.arms);
        all.firings.extend(page.firings);
        if !more {
            return Ok(all);
        }
    }
    Err(unexpected("scheduler"))
}

async fn page(client: &Client, what: &str, asked: v1::ListTriggers) -> Result<v1::TriggerList, Failure> {
    match client.job_query(what, job_query::Kind::Triggers(asked)).await? {
        job_reply::Kind::Triggers(list) => Ok(list),
        _ => Err(unexpected("scheduler")),
    }
}

/// The scheduler checks and logs; what agents hear is said from here, so that the log never fires.
async fn fire(session: &Session, arguments: FireArguments) -> Result<(), Failure> {
    let what = format!("fire trigger {}", arguments.number);
    let number = TriggerNumber::new(arguments.number);
    let number = number.ok_or_else(|| Failure::Usage(format!("{what}: give a number from 0 to 255")))?;
    confirm_ends(session, &what, &arguments).await?;
    let FireArguments { note, reservation, wait, .. } = arguments;
    let command = job_command::Kind::FireTrigger(v1::FireTrigger { number: number.0.into(), note, reservation });
    let job_reply::Kind::Fired(v1::Fired { fired: Some(fired), machines }) =
        session.client.job_command(&what, command).await?
    else {
        return Err(unexpected("scheduler"));
    };
    let firing = Firing::try_from(fired.clone()).map_err(anyhow::Error::new)?;
    let bus = session.client.bus();
    bus.publish(&subjects::trigger_edge(number, None), &bus.envelope(Body::EdgeFired(fired), Default::default()))
        .await?;
    bus.settled().await?;
    if wait {
        let record = outcome(session, &what, firing.id, machines.len()).await?;
        return session.print(&firings_table(&[record])).await;
    }
    let cells = vec![
        ("trigger", Cell::Integer(number.0.into())),
        ("firing", Cell::text(firing.id.to_string())),
        ("armed", Cell::List(machines)),
    ];
    session.print(&Table::record(cells)).await
}

/// Machines that would not come back by themselves are named first.
async fn confirm_ends(session: &Session, what: &str, arguments: &FireArguments) -> Result<(), Failure> {
    let arms = list(session, what, false).await?.arms;
    let armed = arms.into_iter().filter_map(|record| record.armed);
    let own = armed.filter(|armed| armed.number == arguments.number && armed.reservation == arguments.reservation);
    let touched = own.filter_map(|armed| {
        let action = armed.action().with(&armed.argument).ok()?;
        let machines: Vec<String> = armed.machines.into_iter().map(|armed| armed.machine).collect();
        action.disarms_itself().then(|| format!("{}: {action}", machines.join(", ")))
    });
    let touched: Vec<String> = touched.collect();
    if touched.is_empty() { Ok(()) } else { confirm(what, &touched, arguments.yes).await }
}

/// Waits until so many machines have said what became of a firing.
async fn outcome(session: &Session, what: &str, id: FiringId, machines: usize) -> Result<v1::FiringRecord, Failure> {
    let deadline = Instant::now() + session.client.timeout();
    loop {
        let newest = page(&session.client, what, v1::ListTriggers { fired: true, after: 0 }).await?.firings;
        let is_this = |record: &v1::FiringRecord| record.fired.as_ref().is_some_and(|fired| *fired.firing == id.0);
        let found = newest.into_iter().find(is_this);
        let acted = found.as_ref().map_or(0, |record| record.acted.len());
        match found {
            Some(record) if acted >= machines => return Ok(record),
            _ if Instant::now() >= deadline => {
                let why = format!("{what}: {acted} of {machines} armed machines said what became of it");
                return Err(Failure::TimedOut(format!("{why}; `muster trigger list --fired` shows which")));
            }
            _ => tokio::time::sleep(ASK_INTERVAL).await,
        }
    }
}

fn arms_table(arms: &[v1::ArmRecord]) -> Table {
    let mut columns = ["trigger", "action", "on", "from", "machines", "waiting_for"].map(Column::new).to_vec();
    columns.extend(["armed_time", "actor"].map(Column::new));
    columns.extend(["argument", "from_jobs", "from_machines", "reservation", "position"].map(Column::programs));
    let mut table = Table::new(columns);
    for record in arms {
        let Some(armed) = &record.armed else { continue };
        let action = armed.action().with(&armed.argument).map_or_else(|_| "?".to_owned(), |action| action.to_string());
        let jobs: Vec<String> = armed.from_jobs.iter().map(|job| format!("job {job}")).collect();
        let position = record.position.unwrap_or_default();
        table.push(vec![
            Cell::Integer(armed.number.into()),
            Cell::text(action),
            Cell::text(&armed.selector),
            Cell::text(from_words(&jobs, &armed.from_selector)),
            Cell::List(armed.machines.iter().map(|armed| armed.machine.clone()).collect()),
            Cell::List(waiting_for(armed)),
            Cell::time_ns(record.armed_ns),
            Cell::text(&armed.actor),
            Cell::text(&armed.argument),
            Cell::List(jobs),
            Cell::List(armed.from_machines.clone()),
            if armed.reservation == 0 { Cell::None } else { Cell::Integer(armed.reservation) },
            Cell::text(format!("{}/{}", position.lineage, position.sequence)),
        ]);
    }
    table
}

fn from_words(jobs: &[String], selector: &str) -> String {
    let selected = (!selector.is_empty()).then(|| selector.to_owned());
    let words: Vec<String> = jobs.iter().cloned().chain(selected).collect();
    if words.is_empty() { "any".into() } else { words.join(", ") }
}

fn firings_table(firings: &[v1::FiringRecord]) -> Table {
    let mut columns = ["fired_time", "trigger", "by", "machine", "action", "outcome"].map(Column::new).to_vec();
    columns.extend([Column::new("latency"), Column::if_told("detail"), Column::if_told("note")]);
    columns.extend(["firing", "epoch", "argument", "reservation", "detail", "note"].map(Column::programs));
    let mut table = Table::new(columns);
    for record in firings {
        let fired = record.fired.clone().unwrap_or_default();
        if record.acted.is_empty() {
            table.push(firing_row(&fired, None));
        }
        record.acted.iter().for_each(|acted| table.push(firing_row(&fired, Some(acted))));
    }
    table
}

fn firing_row(fired: &v1::TriggerFired, acted: Option<&v1::TriggerActed>) -> Vec<Cell> {
    let text = |text: &str| if text.is_empty() { Cell::None } else { Cell::text(text) };
    let of = |cell: fn(&v1::TriggerActed) -> Cell| acted.map_or(Cell::None, cell);
    let detail = acted.map_or(Cell::None, |acted| text(&acted.detail));
    let id = fired.firing.as_ref().try_into().map_or_else(|_| String::new(), |id| FiringId(id).to_string());
    vec![
        Cell::time_ns(fired.fired_ns),
        Cell::Integer(fired.number.into()),
        Cell::text(source(fired)),
        of(|acted| Cell::text(&acted.machine)),
        of(|acted| Cell::text(acted.action().with(&acted.argument).map_or_else(|_| "?".into(), |a| a.to_string()))),
        of(|acted| Cell::text(acted.outcome().known().map_or("?", |outcome| outcome.as_str()))),
        of(|acted| Cell::Span(Duration::from_nanos(acted.latency_ns.max(0).unsigned_abs()))),
        detail.clone(),
        text(&fired.note),
        Cell::text(id),
        of(|acted| Cell::Integer(acted.epoch)),
        of(|acted| Cell::text(&acted.argument)),
        if fired.reservation == 0 { Cell::None } else { Cell::Integer(fired.reservation) },
        detail,
        text(&fired.note),
    ]
}

/// Who fired: the process and its machine, or the person.
fn source(fired: &v1::TriggerFired) -> String {
    match (fired.machine.as_str(), fired.process) {
        ("", _) => fired.actor.clone(),
        (machine, Some(process)) => format!("{} on {machine}", muster_model::ProcessId::from(process)),
        (machine, None) => machine.to_owned(),
    }
}
