//! `muster start`: starts processes of a module, or says where they would run.

use std::collections::BTreeSet;

use clap::Parser;
use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::resources::kind_name;
use super::{Session, wait};
use crate::arguments::{Cli, Command, StartArguments};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Format, Table};

pub(super) async fn run(session: &Session, arguments: StartArguments) -> Result<(), Failure> {
    let what = format!("start {}", arguments.module);
    let (dry_run, wait, within) = (arguments.dry_run, arguments.wait, arguments.within);
    let kind = job_command::Kind::Start(command(arguments)?);
    let started = given(session, &what, kind).await?;
    if dry_run {
        return preview(session, &started).await;
    }
    session.print(&summary(&[&started])).await?;
    match wait {
        Some(until) => wait::wait_for(session, started.job, until, within).await,
        None => Ok(()),
    }
}

/// Gives a start.
pub(super) async fn given(session: &Session, what: &str, kind: job_command::Kind) -> Result<v1::Started, Failure> {
    match session.client.job_command(what, kind).await? {
        job_reply::Kind::Started(started) => Ok(started),
        _ => Err(unexpected("scheduler")),
    }
}

fn command(arguments: StartArguments) -> Result<v1::Start, Failure> {
    let (processes, count_by) = count(&arguments);
    let parameters = sorted(&format!("start {}", arguments.module), arguments.parameters)?;
    Ok(v1::Start {
        module: arguments.module,
        processes,
        count_by: count_by.into(),
        resource_selector: arguments.resources,
        selector: arguments.on,
        parameters,
        dry_run: arguments.dry_run,
        reservation: arguments.reservation,
        seed: arguments.seed,
        pulses: arguments.pulses,
        on_error: arguments.on_error.join(" "),
        again: None,
        when_ready: false,
        check_out: false,
    })
}

/// Reads a start that is to follow a rollout: `start high-io --per-disk 2`.
pub(super) fn attached(what: &str, text: &str) -> Result<v1::Start, Failure> {
    let wrong = |why: String| Failure::Usage(format!("{what}: --then `{text}`: {why}"));
    let words = shlex::split(text).ok_or_else(|| wrong("a quote is not closed".into()))?;
    let read = Cli::try_parse_from(std::iter::once("muster".to_owned()).chain(words));
    match read.map_err(|error| wrong(error.render().to_string()))?.command {
        Some(Command::Start(arguments)) if arguments.reservation > 0 => {
            Err(wrong("it runs on the machines of the rollout; leave --reservation out".into()))
        }
        Some(Command::Start(arguments)) if arguments.dry_run || arguments.wait.is_some() => {
            Err(wrong("nobody waits for it; leave --dry-run and --wait out".into()))
        }
        Some(Command::Start(arguments)) => Ok(v1::Start { when_ready: true, ..command(arguments)? }),
        _ => Err(wrong("it begins with `start`".into())),
    }
}

/// Asks whether a start that is to follow could be taken.
pub(super) async fn check_attached(session: &Session, what: &str, start: &v1::Start) -> Result<(), Failure> {
    let start = v1::Start { dry_run: true, ..start.clone() };
    session
        .client
        .job_command(&format!("{what}, then start {}", start.module), job_command::Kind::Start(start))
        .await?;
    Ok(())
}

/// Gives a start that waits for a reservation.
pub(super) async fn attach(session: &Session, what: &str, number: u64, start: v1::Start) -> Result<(), Failure> {
    let start = v1::Start { reservation: number, ..start };
    let what = format!("{what}, then start {} on reservation {number}", start.module);
    session.client.job_command(&what, job_command::Kind::Start(start)).await?;
    Ok(())
}

/// What became of the start that waits, or waited, for a reservation, for people; empty for none.
pub(super) async fn attached_to(session: &Session, reservation: u64) -> Result<String, Failure> {
    let kind = job_query::Kind::Attached(v1::ListAttached { reservation });
    let job_reply::Kind::Attached(list) = session.client.job_query("ask what is to follow", kind).await? else {
        return Err(unexpected("scheduler"));
    };
    Ok(list.starts.first().map_or_else(String::new, |waits| {
        let module = waits.start.as_ref().map_or("", |start| start.module.as_str());
        match (waits.ended, waits.job) {
            (false, _) => format!("start {module}, once it is ready"),
            (true, 0) => format!("start {module}: {}", waits.reason),
            (true, job) => format!("start {module}: job {job}"),
        }
    }))
}

/// Parameters as they travel, each once.
pub(super) fn sorted(what: &str, mut given: Vec<(String, String)>) -> Result<Vec<v1::KeyValue>, Failure> {
    given.sort();
    if let Some(twice) = given.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Failure::Usage(format!("{what}: parameter `{}` is given twice", twice[0].0)));
    }
    Ok(given.into_iter().map(|(key, value)| v1::KeyValue { key, value }).collect())
}

/// The number that was given, and what it counts: exactly one is.
fn count(arguments: &StartArguments) -> (u32, v1::CountBy) {
    let given = [
        (arguments.processes, v1::CountBy::Unspecified),
        (arguments.per_machine, v1::CountBy::Machine),
        (arguments.per_disk, v1::CountBy::Disk),
        (arguments.per_cpu, v1::CountBy::Cpu),
    ];
    given.into_iter().find_map(|(number, by)| Some((number?, by))).unwrap_or_default()
}

fn dpid(job: u32, process: u32) -> Cell {
    Cell::text(Dpid { job: JobNumber(job), process: ProcessNumber(process) }.to_string())
}

/// One row for each job.
pub(super) fn summary(jobs: &[&v1::Started]) -> Table {
    let names = ["job", "processes", "machines", "first", "last", "balance", "run", "seed"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for started in jobs {
        let processes: u32 = started.placements.iter().map(|placement| placement.count).sum();
        let first = started.placements.iter().map(|placement| placement.first).min().unwrap_or(1);
        let machines: BTreeSet<&str> = started.placements.iter().map(|placement| placement.machine.as_str()).collect();
        table.push(vec![
            Cell::Integer(started.job.into()),
            Cell::Integer(processes.into()),
            Cell::Integer(machines.len() as u64),
            dpid(started.job, first),
            dpid(started.job, first + processes.saturating_sub(1)),
            Cell::Number(started.balance),
            Cell::Integer(started.run.into()),
            Cell::Integer(started.seed),
        ]);
    }
    table
}

/// What would be done. People see machines first and then resources; programs see one row for each resource, or for each machine
/// where no resources are used.
pub(super) async fn preview(session: &Session, started: &v1::Started) -> Result<(), Failure> {
    if session.format == Format::Table {
        session.print(&machines(started)).await?;
        if started.loads.is_empty() {
            return Ok(());
        }
        crate::output::write("\n")?;
        return session.print(&resources(started)).await;
    }
    session.print(&if started.loads.is_empty() { machines(started) } else { resources(started) }).await
}

/// One row for each machine: where the processes would run.
fn machines(started: &v1::Started) -> Table {
    let names = ["machine", "processes", "first_process", "resources", "balance"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for placement in &started.placements {
        let mut resources = placement.resources.clone();
        resources.sort();
        resources.dedup();
        table.push(vec![
            Cell::text(&placement.machine),
            Cell::Integer(placement.count.into()),
            Cell::Integer(placement.first.into()),
            Cell::List(resources),
            Cell::Number(started.balance),
        ]);
    }
    table
}

/// One row for each resource: how loaded it is, and would be. 1 means that every place of its load number is taken once.
fn resources(started: &v1::Started) -> Table {
    let names = ["machine", "resource", "kind", "processes", "load_before", "load_after"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.push(Column::programs("balance"));
    let mut table = Table::new(columns);
    for change in &started.loads {
        let load = |milli: u64| Cell::Number(milli as f64 / 1000.0);
        table.push(vec![
            Cell::text(&change.machine),
            if change.resource.is_empty() { Cell::text("*") } else { Cell::text(&change.resource) },
            Cell::text(kind_name(change.kind())),
            Cell::Integer(change.processes.into()),
            load(change.before_milli),
            load(change.after_milli),
            Cell::Number(started.balance),
        ]);
    }
    table
}
