//! `muster wait`, and the waiting of `start --wait`: looks at a job until it runs or has ended.

use std::time::{Duration, Instant};

use muster_model::{ProcessState, TaskState};
use muster_proto::v1;

use super::{Session, jobs, not_found, plans};
use crate::arguments::{Until, WaitArguments};
use crate::exit::Failure;
use crate::progress::Progress;
use crate::rates::Rates;
use crate::times::short;

/// How often a job is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(150);
/// How long is waited where the user does not say.
const WITHIN_RUNNING: Duration = Duration::from_secs(5 * 60);
const WITHIN_END: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn run(session: &Session, arguments: &WaitArguments) -> Result<(), Failure> {
    wait_for(session, arguments.job, arguments.until, arguments.within).await
}

/// Where a wait stands.
enum Standing {
    Waits,
    Done,
    /// What is waited for can not come any more.
    Hopeless(String),
}

/// Waits for a job, with progress on stderr.
///
/// # Errors
/// [`Failure::TimedOut`], or [`Failure::TestsFailed`] when processes failed, died or were lost.
pub(super) async fn wait_for(
    session: &Session,
    number: u32,
    until: Until,
    within: Option<Duration>,
) -> Result<(), Failure> {
    let (limit, word) = match until {
        Until::Running => (within.unwrap_or(WITHIN_RUNNING), "running"),
        Until::End => (within.unwrap_or(WITHIN_END), "ended"),
    };
    let (what, begun) = (format!("wait for job {number}"), Instant::now());
    let mut job = look(session, &what, number).await?;
    let rates = Rates::listen(session.client.bus()).await?;
    let mut progress = Progress::begin(&format!("job {number} {word}"), total(&job).into(), false);
    loop {
        let text = format!("{}{}", states(&job), rates.words(&[number]));
        progress.set(arrived(&job, until).into(), &text);
        match standing(&job, until) {
            Standing::Done => {
                let count = total(&job);
                progress.end(&format!("{count} of {count} after {}", short(begun.elapsed())));
                return verdict(number, until, &job);
            }
            Standing::Hopeless(why) => {
                progress.clear();
                return Err(Failure::TestsFailed(format!("{what}: {why}; `muster why {number}` says why")));
            }
            Standing::Waits if begun.elapsed() >= limit => {
                progress.clear();
                let states = states(&job);
                return Err(Failure::TimedOut(format!(
                    "{what}: not all {word} within {limit:?} ({states}); it goes on, `muster why {number}` says more"
                )));
            }
            Standing::Waits => tokio::time::sleep(POLL_INTERVAL).await,
        }
        job = look(session, &what, number).await?;
    }
}

async fn look(session: &Session, what: &str, number: u32) -> Result<v1::JobRecord, Failure> {
    let (found, run) = session.client.jobs(what, number, true).await?;
    let missing = || not_found(what.to_owned(), format!("job {number} in run {run}"), "`muster jobs --all` shows all");
    found.into_iter().next().ok_or_else(missing)
}

/// Processes; of a plan, tasks.
fn total(job: &v1::JobRecord) -> u32 {
    job.plan.as_ref().map_or(job.processes, |plan| plan.tasks.iter().sum())
}

/// Where they stand, in words.
fn states(job: &v1::JobRecord) -> String {
    job.plan.as_ref().map_or_else(|| jobs::states(job), plans::tasks)
}

/// Processes, or tasks of a plan, that are where they are waited for.
fn arrived(job: &v1::JobRecord, until: Until) -> u32 {
    if let Some(plan) = &job.plan {
        let states = TaskState::ALL.into_iter();
        return states.filter(|state| state.is_final()).map(|state| plans::with_state(plan, state)).sum();
    }
    match until {
        Until::Running if job.all_running_ns != 0 => job.processes,
        Until::Running => jobs::in_state(job, ProcessState::Running),
        Until::End => jobs::ended(job),
    }
}

fn standing(job: &v1::JobRecord, until: Until) -> Standing {
    if let Some(plan) = &job.plan {
        let is_there = job.ended_ns != 0 || (until == Until::Running && plan.state() != v1::TaskState::Queued);
        return if is_there { Standing::Done } else { Standing::Waits };
    }
    match until {
        Until::Running if job.all_running_ns != 0 => Standing::Done,
        Until::Running => match jobs::failed(job) {
            Some(failed) if nothing_comes(job) => Standing::Hopeless(format!("not all processes ran: {failed}")),
            _ if nothing_comes(job) && jobs::ended(job) == job.processes => Standing::Done,
            _ if job.stopping && nothing_comes(job) => Standing::Hopeless("it was stopped before all ran".into()),
            _ => Standing::Waits,
        },
        Until::End if job.ended_ns != 0 || jobs::ended(job) == job.processes => Standing::Done,
        Until::End => Standing::Waits,
    }
}

/// No process is on its way to running.
fn nothing_comes(job: &v1::JobRecord) -> bool {
    [ProcessState::Starting, ProcessState::Away].into_iter().all(|state| jobs::in_state(job, state) == 0)
}

fn verdict(number: u32, until: Until, job: &v1::JobRecord) -> Result<(), Failure> {
    if let Some(plan) = &job.plan {
        let failed = until == Until::End && plan.state() == v1::TaskState::Failed;
        let told = || {
            format!(
                "job {number}: plan {}: {} tasks; `muster plan show {number}` shows why",
                plan.name,
                plans::tasks(plan)
            )
        };
        return if failed { Err(Failure::TestsFailed(told())) } else { Ok(()) };
    }
    match (until, jobs::failed(job)) {
        (Until::End, Some(failed)) => Err(Failure::TestsFailed(format!(
            "job {number}: {failed} of {} processes; `muster ps --all --job {number}` shows which",
            job.processes
        ))),
        (Until::End, None) | (Until::Running, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(by_state: &[u32], all_running: bool) -> v1::JobRecord {
        let processes = by_state.iter().sum();
        v1::JobRecord {
            by_state: by_state.to_vec(),
            processes,
            all_running_ns: all_running.into(),
            ..Default::default()
        }
    }

    fn check(job: &v1::JobRecord, until: Until) -> &'static str {
        match standing(job, until) {
            Standing::Waits => "waits",
            Standing::Done => "done",
            Standing::Hopeless(_) => "hopeless",
        }
    }

    #[test]
    fn a_wait_ends_when_all_ran_or_none_can_any_more() {
        assert_eq!(check(&job(&[0, 1, 3], false), Until::Running), "waits");
        assert_eq!(check(&job(&[0, 0, 4], true), Until::Running), "done");
        assert_eq!(check(&job(&[0, 0, 3, 0, 0, 0, 1], false), Until::Running), "hopeless");
        assert_eq!(check(&job(&[0, 1, 2, 0, 0, 0, 1], false), Until::Running), "waits");
        assert_eq!(check(&job(&[0, 0, 0, 0, 0, 4], false), Until::Running), "done");
    }

    #[test]
    fn the_end_is_when_every_process_is_final() {
        assert_eq!(check(&job(&[0, 0, 1, 0, 0, 3], true), Until::End), "waits");
        assert_eq!(check(&job(&[0, 0, 0, 0, 0, 3, 1, 1], true), Until::End), "done");
        assert!(verdict(1, Until::End, &job(&[0, 0, 0, 0, 0, 3, 1], true)).is_err());
        assert!(verdict(1, Until::End, &job(&[0, 0, 0, 0, 0, 4], true)).is_ok());
    }
}
