//! The pool under measurement: its start, its stop, and what a client sees of both.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus, BusOptions};
use muster_model::CommandId;
use muster_proto::v1::{self, ProcessState, envelope::Body, job_command, job_query, job_reply};
use muster_testkit::lab::Lab;
use rustix::event::epoll;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::cost::{self, Cost};

/// The scheduler is asked this often how far it is.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Nothing that is measured takes as long.
const LIMIT: Duration = Duration::from_secs(120);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The pool, and a connection to it.
pub(super) struct Pool {
    bus: Bus,
    directory: PathBuf,
    /// Servers, services and agents; everything else of the pool descends from them.
    roots: Vec<u32>,
}

/// What was seen of a start.
pub(super) struct Started {
    job: u32,
    at: SystemTime,
    /// From the request to its answer.
    pub(super) answered: Duration,
    /// From the request to the first answer that says that all run.
    pub(super) taken: Duration,
    /// CPU time of everything, up to there.
    pub(super) cost: Cost,
    /// How many ran, by answers that came at these times.
    seen: Vec<(SystemTime, u32)>,
}

/// What was seen of a stop.
pub(super) struct Stopped {
    /// From the request to the last exit.
    pub(super) exited: Duration,
    /// From the request to the first answer that says that all are final.
    pub(super) ended: Duration,
    /// CPU time of everything, up to there.
    pub(super) cost: Cost,
}

impl Pool {
    pub(super) async fn connect(lab: &Lab) -> anyhow::Result<Self> {
        let options =
            BusOptions { actor: "user:bench".into(), ..BusOptions::insecure_local(&lab.nats_url(), "cli/bench") };
        let bus = Bus::connect(&options).await?;
        Ok(Self { bus, directory: lab.directory().to_owned(), roots: lab.members() })
    }

    /// CPU time of the pool while nothing is asked of it.
    pub(super) async fn idle(&self, time: Duration) -> anyhow::Result<Cost> {
        let before = cost::below(&self.roots);
        tokio::time::sleep(time).await;
        Ok(cost::below(&self.roots).since(&before))
    }

    /// Starts processes, and waits until all run.
    pub(super) async fn start(&self, processes: u32) -> anyhow::Result<Started> {
        let before = cost::below(&self.roots);
        let (at, begun) = (SystemTime::now(), Instant::now());
        let start = v1::Start { module: "trivial".into(), processes, ..v1::Start::default() };
        let reply = self.command(job_command::Kind::Start(start)).await?;
        let job_reply::Kind::Started(reply) = reply else { bail!("the start was answered by {reply:?}") };
        let answered = begun.elapsed();
        let mut seen = Vec::new();
        let taken = loop {
            let record = self.job(reply.job).await?;
            let running = count(&record, ProcessState::Running);
            seen.push((SystemTime::now(), running));
            if running == processes {
                break begun.elapsed();
            }
            ensure!(begun.elapsed() < LIMIT, "not all run: {record:?}");
            tokio::time::sleep(ASK_EVERY).await;
        };
        let cost = cost::below(&self.roots).since(&before);
        Ok(Started { job: reply.job, at, answered, taken, cost, seen })
    }

    /// Stops what was started, and waits until everything is final and gone.
    pub(super) async fn stop(&self, started: &Started) -> anyhow::Result<Stopped> {
        let pids = cost::named(&self.roots, "trivial:");
        let exits = Exits::watch(&pids)?;
        let before = cost::below(&self.roots);
        let begun = Instant::now();
        let watching = tokio::task::spawn_blocking(move || exits.wait(begun));
        let stop = v1::Stop { jobs: vec![started.job], ..v1::Stop::default() };
        self.command(job_command::Kind::Stop(stop)).await?;
        let ended = loop {
            let record = self.job(started.job).await?;
            if record.ended_ns != 0 {
                ensure!(count(&record, ProcessState::Finished) as usize == pids.len(), "not all finished: {record:?}");
                break begun.elapsed();
            }
            ensure!(begun.elapsed() < LIMIT, "not all are final: {record:?}");
            tokio::time::sleep(ASK_EVERY).await;
        };
        let cost = cost::below(&self.roots).since(&before);
        Ok(Stopped { exited: watching.await??, ended, cost })
    }

    /// Processes that were seen running before they had answered: for each answer, how many more ran by it than had said a pong.
    pub(super) fn running_before_pong(&self, started: &Started) -> anyhow::Result<u32> {
        let pongs = self.pongs(started.job)?;
        let said = |time: SystemTime| pongs.iter().filter(|pong| **pong <= time).count();
        let early = started.seen.iter().map(|(time, running)| (*running as usize).saturating_sub(said(*time))).max();
        Ok(u32::try_from(early.unwrap_or(0))?)
    }

    /// From the request to the moment at which the last process said its first pong, by its own word.
    pub(super) fn last_pong(&self, started: &Started) -> anyhow::Result<Duration> {
        let last = self.pongs(started.job)?.into_iter().max().context("no process said a pong")?;
        last.duration_since(started.at).context("a pong before the request")
    }

    /// When each process said its first pong, by its log.
    fn pongs(&self, job: u32) -> anyhow::Result<Vec<SystemTime>> {
        let mut pongs = Vec::new();
        for machine in std::fs::read_dir(&self.directory).context("look at the lab")? {
            let Ok(places) = std::fs::read_dir(machine?.path().join("state/work")) else { continue };
            for place in places {
                let path = place?.path();
                let job = format!("-{job:04x}");
                if path.file_name().is_some_and(|name| name.to_string_lossy().contains(&job)) {
                    pongs.push(pong(&path.join("log"))?);
                }
            }
        }
        Ok(pongs)
    }

    async fn job(&self, job: u32) -> anyhow::Result<v1::JobRecord> {
        let query = job_query::Kind::Jobs(v1::ListJobs { job, ended: true, after: 0 });
        let body = Body::JobQuery(v1::JobQuery { kind: Some(query) });
        match self.ask("query", body, Authority::default()).await? {
            job_reply::Kind::Jobs(list) => list.jobs.into_iter().next().context("the job is not known"),
            other => bail!("a query was answered by {other:?}"),
        }
    }

    async fn command(&self, kind: job_command::Kind) -> anyhow::Result<job_reply::Kind> {
        let command = Some(CommandId(muster_bus::fresh_id()));
        let body = Body::JobCommand(v1::JobCommand { kind: Some(kind), ..Default::default() });
        self.ask("command", body, Authority { command, ..Authority::default() }).await
    }

    async fn ask(&self, verb: &str, body: Body, authority: Authority) -> anyhow::Result<job_reply::Kind> {
        let subject = subjects::service(Service::Scheduler, verb);
        let answer = self.bus.request(&subject, &self.bus.envelope(body, authority), ANSWER_TIMEOUT).await?;
        match answer.body {
            Some(Body::JobReply(v1::JobReply { kind: Some(kind) })) => Ok(kind),
            other => bail!("the scheduler refused: {other:?}"),
        }
    }
}

fn count(record: &v1::JobRecord, state: ProcessState) -> u32 {
    record.by_state.get(state as usize).copied().unwrap_or(0)
}

/// The time that a process wrote to its log before its first pong.
fn pong(log: &Path) -> anyhow::Result<SystemTime> {
    let text = std::fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    let time = text.lines().find_map(|line| line.strip_prefix("first pong at "));
    let time: u64 = time.with_context(|| format!("{} names no pong", log.display()))?.parse()?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(time))
}

/// Waits for the ends of processes that are not ours.
struct Exits {
    ends: rustix::fd::OwnedFd,
    pidfds: Vec<rustix::fd::OwnedFd>,
}

impl Exits {
    fn watch(pids: &[u32]) -> anyhow::Result<Self> {
        let ends = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
        let mut pidfds = Vec::with_capacity(pids.len());
        for (place, pid) in pids.iter().enumerate() {
            let pid = Pid::from_raw(i32::try_from(*pid)?).context("a process id")?;
            let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("watch a process")?;
            epoll::add(&ends, &pidfd, epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN)?;
            pidfds.push(pidfd);
        }
        Ok(Self { ends, pidfds })
    }

    /// From `begun` to the last end.
    fn wait(self, begun: Instant) -> anyhow::Result<Duration> {
        let mut left = self.pidfds.len();
        let mut events = Vec::with_capacity(left.max(1));
        let limit = rustix::event::Timespec::try_from(LIMIT)?;
        while left > 0 {
            events.clear();
            epoll::wait(&self.ends, rustix::buffer::spare_capacity(&mut events), Some(&limit))?;
            ensure!(!events.is_empty(), "{left} processes do not end");
            left -= events.len();
            for event in &events {
                let place = usize::try_from(event.data.u64())?;
                epoll::delete(&self.ends, self.pidfds.get(place).context("a process that is watched")?)?;
            }
        }
        Ok(begun.elapsed())
    }
}
