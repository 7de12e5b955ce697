//! `muster stop`: tells processes to end, and may wait until they have.

use std::time::{Duration, Instant};

use muster_model::{Dpid, Refusal, RefusalCode, milliseconds};
use muster_proto::v1::{self, job_command, job_reply};

use super::{Session, jobs, processes};
use crate::arguments::StopArguments;
use crate::client::unexpected;
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::progress::Progress;
use crate::rates::Rates;
use crate::target::Target;
use crate::times::short;

/// How often the processes are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(150);

pub(super) async fn run(session: &Session, arguments: StopArguments) -> Result<(), Failure> {
    let command = command(session, &arguments).await?;
    let what = described(&arguments);
    if arguments.all {
        let (live, _) = session.client.jobs("stop everything", 0, false).await?;
        let touched = live.iter().map(|job| {
            let spec = job.spec.clone().unwrap_or_default();
            format!("job {} ({} of {})", spec.job, job.processes, spec.module.unwrap_or_default().name)
        });
        confirm(&what, &touched.collect::<Vec<_>>(), arguments.yes).await?;
    }
    let single: Vec<Dpid> = command.dpids.iter().map(|dpid| Dpid::from(*dpid)).collect();
    let whole = command.jobs.clone();
    let job_reply::Kind::Stopped(stopped) = session.client.job_command(&what, job_command::Kind::Stop(command)).await?
    else {
        return Err(unexpected("scheduler"));
    };
    let mut table = Table::new(vec![Column::new("processes"), Column::new("jobs")]);
    let jobs = stopped.jobs.iter().map(u32::to_string).collect();
    table.push(vec![Cell::Integer(stopped.processes.into()), Cell::List(jobs)]);
    session.print(&table).await?;
    if !arguments.wait {
        return Ok(());
    }
    let jobs = if arguments.all { stopped.jobs } else { whole };
    wait_ended(session, &what, &jobs, &single, arguments.within).await
}

fn described(arguments: &StopArguments) -> String {
    let names = arguments.targets.iter().map(|target| match target {
        Target::Job(job) => format!("job {job}"),
        Target::Process(name) => name.dpid.to_string(),
    });
    if arguments.all { "stop everything".into() } else { format!("stop {}", names.collect::<Vec<_>>().join(", ")) }
}

async fn command(session: &Session, arguments: &StopArguments) -> Result<v1::Stop, Failure> {
    let grace_ms = arguments.grace.map_or(0, |grace| milliseconds(grace).max(1));
    let mut stop = v1::Stop { all: arguments.all, grace_ms, ..Default::default() };
    for target in &arguments.targets {
        match target {
            Target::Job(job) => stop.jobs.push(job.0),
            Target::Process(name) => {
                if let Some(run) = name.run {
                    let (_, current) = session.client.jobs("stop", 0, false).await?;
                    refuse_other_run(run.0, current)?;
                }
                stop.dpids.push(name.dpid.into());
            }
        }
    }
    Ok(stop)
}

fn refuse_other_run(run: u32, current: u32) -> Result<(), Failure> {
    if run == current {
        return Ok(());
    }
    let why = format!("run {run} is over: this is run {current}");
    Err(Refusal::new(RefusalCode::NotFound, "stop", why, "`muster ps` shows what runs").into())
}

/// Waits until none of the processes is live.
pub(super) async fn wait_ended(
    session: &Session,
    what: &str,
    jobs: &[u32],
    single: &[Dpid],
    within: Duration,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut total = 0;
    let mut progress: Option<Progress> = None;
    let rates = Rates::listen(session.client.bus()).await?;
    loop {
        let (live, states) = look(session, what, jobs, single).await?;
        total = total.max(live);
        let shown = progress.get_or_insert_with(|| Progress::begin("ended", total, false));
        shown.set(total - live, &format!("{states}{}", rates.words(jobs)));
        if live == 0 {
            if let Some(progress) = progress {
                progress.end(&format!("all after {}", short(begun.elapsed())));
            }
            return Ok(());
        }
        if begun.elapsed() >= within {
            if let Some(progress) = progress {
                progress.clear();
            }
            return Err(Failure::TimedOut(format!(
                "{what}: {live} still live after {within:?}; `muster ps` shows which, `muster why DPID` says why"
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// How many are live, and the states of the whole jobs in words.
async fn look(session: &Session, what: &str, whole: &[u32], single: &[Dpid]) -> Result<(u64, String), Failure> {
    let mut found = Vec::new();
    for job in whole {
        found.extend(session.client.jobs(what, *job, true).await?.0);
    }
    // A plan ends after its processes, even where it has none.
    let least = |job: &v1::JobRecord| u64::from(job.plan.is_some() && job.ended_ns == 0);
    let unended = |job: &v1::JobRecord| u64::from(job.processes.saturating_sub(jobs::ended(job))).max(least(job));
    let mut live = found.iter().map(unended).sum::<u64>();
    let states = jobs::states_of(&found);
    for dpid in single {
        let asked = v1::ListProcesses { job: dpid.job.0, process: dpid.process.0, ..Default::default() };
        let (found, _) = session.client.processes(what, asked).await?;
        live += found.iter().filter(|process| !processes::is_final(process)).count() as u64;
    }
    Ok((live, states))
}
