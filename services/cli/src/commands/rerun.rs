//! `muster rerun`: starts a job, or every job of a run, again: the same placement, seed, parameters and all else.

use muster_model::{Refusal, RefusalCode, RunId};
use muster_proto::v1::{self, job_command};

use super::{Session, not_found, start, wait};
use crate::arguments::{RerunArguments, Until};
use crate::exit::Failure;
use crate::target::Rerun;

pub(super) async fn run(session: &Session, arguments: &RerunArguments) -> Result<(), Failure> {
    let jobs = jobs(session, arguments.what).await?;
    let mut started = Vec::new();
    for job in jobs {
        let again = Some(v1::Again { run: arguments.what.run().map_or(0, |run| run.0), job });
        let (dry_run, reservation) = (arguments.dry_run, arguments.reservation);
        let command = v1::Start { again, dry_run, reservation, ..v1::Start::default() };
        let what = format!("start job {job} again");
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
async fn jobs(session: &Session, what: Rerun) -> Result<Vec<u32>, Failure> {
    let run = match what {
        Rerun::Job { job, .. } => return Ok(vec![job.0]),
        Rerun::Run(run) => run,
    };
    let name = format!("start run {run} again");
    let (jobs, current) = session.client.jobs(&name, 0, true).await?;
    if run != RunId(current) {
        let why = format!("this is run {current}: where the jobs of run {run} ran is in the archive alone");
        let next = format!("`muster rerun {current}/*` starts all jobs of this run again");
        return Err(Refusal::new(RefusalCode::NotFound, name, why, next).into());
    }
    if jobs.is_empty() {
        return Err(not_found(name, format!("job in run {run}"), "start one first"));
    }
    Ok(jobs.iter().filter_map(|job| Some(job.spec.as_ref()?.job)).collect())
}
