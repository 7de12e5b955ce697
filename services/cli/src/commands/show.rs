//! `muster show` and `muster why`: all that is known of a job or process, and why it is so.

use muster_model::{Dpid, ProcessNumber};
use muster_proto::v1::{self, job_query, job_reply};

use super::{Session, jobs, not_found, processes};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::write;
use crate::output::{Cell, Column, Format, Table};
use crate::target::{ProcessName, Target, WhyTarget};

const NEXT: &str = "`muster jobs --all` and `muster ps --all` show what there is in this run";

pub(super) async fn show(session: &Session, target: Target) -> Result<(), Failure> {
    match target {
        Target::Job(number) => {
            let (found, run) = session.client.jobs(&format!("show job {number}"), number.0, true).await?;
            if found.is_empty() {
                return Err(not_found(format!("show job {number}"), format!("job {number} in run {run}"), NEXT));
            }
            session.print(&jobs::table(&found, run).upright()).await
        }
        Target::Process(name) => {
            let process = process(session, "show", name).await?;
            let now = session.viewer().await.now;
            session.print(&processes::table(&[process], now).upright()).await
        }
    }
}

/// The record of a process of the current run.
pub(super) async fn process(session: &Session, verb: &str, name: ProcessName) -> Result<v1::ProcessRecord, Failure> {
    let Dpid { job, process } = name.dpid;
    let what = format!("{verb} {}", name.dpid);
    let asked = v1::ListProcesses { job: job.0, process: process.0, ended: true, ..Default::default() };
    let (found, run) = session.client.processes(&what, asked).await?;
    let current = name.run.is_none_or(|wanted| wanted.0 == run);
    match found.into_iter().next() {
        Some(process) if current => Ok(process),
        _ => Err(not_found(what, format!("process {} in run {run}", name.dpid), NEXT)),
    }
}

pub(super) async fn why(session: &Session, target: WhyTarget) -> Result<(), Failure> {
    let dpid = match target {
        WhyTarget::Job(Target::Job(job)) => Dpid { job, process: ProcessNumber(0) },
        WhyTarget::Job(Target::Process(name)) => name.dpid,
        WhyTarget::Reservation(number) => return super::reservations::why(session, number).await,
    };
    let query = job_query::Kind::Why(v1::Why { dpid: Some(dpid.into()) });
    let job_reply::Kind::Why(explanation) = session.client.job_query("explain", query).await? else {
        return Err(unexpected("scheduler"));
    };
    print_lines(session, explanation.lines).await
}

/// Prints an explanation: its lines for people, a table of them for programs.
pub(super) async fn print_lines(session: &Session, lines: Vec<String>) -> Result<(), Failure> {
    if session.format == Format::Table {
        let lines: String = lines.iter().map(|line| crate::exit::one_line(line) + "\n").collect();
        return write(&lines);
    }
    let mut table = Table::new(vec![Column::new("line")]);
    for line in lines {
        table.push(vec![Cell::Text(line)]);
    }
    session.print(&table).await
}
