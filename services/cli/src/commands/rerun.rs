//! `muster rerun`: starts a job, or every job of a run, again: the same placement, seed, parameters and all else.

use muster_bus::streams;
use muster_model::{Refusal, RefusalCode, RunId};
use muster_proto::v1::{self, job_command};
use prost::Message;

use super::{Session, not_found, start, wait};
use crate::archived::Archived;
use crate::arguments::{RerunArguments, Until};
use crate::exit::Failure;
use crate::progress::Progress;
use crate::target::Rerun;

/// Messages of the archive that one answer holds at most.
const PAGE: u32 = 256;

pub(super) async fn run(session: &Session, arguments: &RerunArguments) -> Result<(), Failure> {
    let jobs = jobs(session, arguments.what).await?;
    let mut started = Vec::new();
    for again in jobs {
        let what = format!("start job {} again", again.job);
        let (dry_run, reservation) = (arguments.dry_run, arguments.reservation);
        let command = v1::Start { again: Some(again), dry_run, reservation, ..v1::Start::default() };
        match start::given(session, &what, job_command::Kind::Start(command)).await {
            Ok(one) => started.push(one),
            Err(failure) => {
                // What was started already is told, and goes on.
                tell(session, &started, arguments.dry_run).await?;
                return Err(failure);
            }
        }
    }
    tell(session, &started, arguments.dry_run).await?;
    if arguments.wait && !arguments.dry_run {
        for one in &started {
            wait::wait_for(session, one.job, Until::Running, None).await?;
        }
    }
    Ok(())
}

async fn tell(session: &Session, started: &[v1::Started], dry_run: bool) -> Result<(), Failure> {
    match started {
        [] => Ok(()),
        [one] if dry_run => start::preview(session, one).await,
        all => session.print(&start::summary(&all.iter().collect::<Vec<_>>())).await,
    }
}

/// The jobs that are meant, in the order in which they were started.
pub(super) async fn jobs(session: &Session, what: Rerun) -> Result<Vec<v1::Again>, Failure> {
    let known = |run: RunId, job| v1::Again { run: run.0, job, ..v1::Again::default() };
    let run = match what {
        Rerun::Job { run: None, job } => return Ok(vec![v1::Again { job: job.0, ..v1::Again::default() }]),
        Rerun::Job { run: Some(run), .. } | Rerun::Run(run) => run,
    };
    let name = format!("start run {run} again");
    let (jobs, current) = session.client.jobs(&name, 0, true).await?;
    if run.0 > current {
        let why = format!("this is run {current}: there is no run {run} yet");
        return Err(Refusal::new(RefusalCode::NotFound, name, why, "`muster run-id show` tells the run").into());
    }
    let all: Vec<v1::Again> = match run.0 == current {
        true => jobs.iter().filter_map(|job| Some(known(run, job.spec.as_ref()?.job))).collect(),
        false => archived(session, &name, run).await?,
    };
    let wanted = |again: &v1::Again| match what {
        Rerun::Job { job, .. } => again.job == job.0,
        Rerun::Run(_) => true,
    };
    let found: Vec<v1::Again> = all.into_iter().filter(wanted).collect();
    if found.is_empty() {
        let what = match what {
            Rerun::Job { job, .. } => format!("job {job} in run {run}"),
            Rerun::Run(_) => format!("job in run {run}"),
        };
        return Err(not_found(name, what, "`muster report summary` tells what ran"));
    }
    Ok(found)
}

/// The jobs of a run that is over, from the archive.
async fn archived(session: &Session, name: &str, run: RunId) -> Result<Vec<v1::Again>, Failure> {
    let log = streams::JOBS;
    session.client.wait_archive(name, log).await?;
    let head =
        session.client.archived(name, v1::ArchiveQuery { log: log.into(), head_only: true, ..Default::default() });
    let last = head.await?.first().and_then(|message| message.position).unwrap_or_default();
    let mut found = Archived::of(run.0);
    let mut progress = Progress::begin(&format!("read the archive for run {run}"), last.sequence, false);
    let mut from = v1::Position { lineage: 1, sequence: 1 };
    loop {
        let query = v1::ArchiveQuery { log: log.into(), from: Some(from), limit: PAGE, ..Default::default() };
        let page = session.client.archived(name, query).await?;
        let Some(end) = page.last().and_then(|message| message.position) else { break };
        for message in &page {
            found
                .take(&message.payload)
                .map_err(|why| Failure::Other(anyhow::anyhow!("{name}: read the archive: {why}")))?;
        }
        progress.set(end.sequence, "messages");
        from = v1::Position { sequence: end.sequence + 1, ..end };
    }
    progress.clear();
    let again =
        |(job, started): (u32, v1::JobStarted)| v1::Again { run: run.0, job, archived: started.encode_to_vec().into() };
    Ok(found.into_jobs().map(again).collect())
}
