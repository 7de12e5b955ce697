//! The scheduler on a real NATS: what a person and an agent see of it.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a test ends it")]

mod agent;
mod pool;

use std::time::Duration;

use muster_proto::v1::{self, ProcessState, job_command, job_query, job_reply};

use crate::agent::Agent;
use crate::pool::{Pool, module, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_stops_and_outlives_its_scheduler() -> anyhow::Result<()> {
    let pool = Pool::start().await?;
    let scheduler = pool.scheduler("a");
    pool.command(job_command::Kind::AddModule(v1::AddModule { module: Some(module()) })).await?;
    pool.machines(1).await?;
    let agent = Agent::start(&pool, "node-1").await?;

    let start = v1::Start { module: "high-io".into(), processes: 3, ..Default::default() };
    let started = match pool.command(job_command::Kind::Start(start.clone())).await? {
        job_reply::Kind::Started(started) => started,
        other => anyhow::bail!("{other:?}"),
    };
    assert_eq!((started.run, started.job, started.placements.len()), (1, 1, 1));
    pool.until("all run", |job| job.all_running_ns > 0 && job.by_state[ProcessState::Running as usize] == 3).await?;
    pool.until_iterations(3).await?;

    // A restart of the scheduler ends no process and starts none twice (I6).
    scheduler.end().await?;
    let scheduler = pool.scheduler("b");
    agent.hello().await?;
    pool.until("they run on", |job| job.by_state[ProcessState::Running as usize] == 3).await?;
    assert_eq!(agent.started(), 3);

    let stop = v1::Stop { jobs: vec![1], ..Default::default() };
    match pool.command(job_command::Kind::Stop(stop)).await? {
        job_reply::Kind::Stopped(stopped) => assert_eq!((stopped.processes, stopped.jobs), (3, vec![1])),
        other => anyhow::bail!("{other:?}"),
    }
    pool.until("all ended", |job| job.ended_ns > 0 && job.by_verdict[v1::Verdict::Pass as usize] == 3).await?;
    agent.until_forgotten().await?;

    match pool.query(job_query::Kind::Why(v1::Why { dpid: Some(v1::Dpid { job: 1, process: 1 }) })).await? {
        job_reply::Kind::Why(why) => {
            assert!(why.lines[0].starts_with("00010001 (high-io) on node-1 is finished"), "{why:?}")
        }
        other => anyhow::bail!("{other:?}"),
    }
    match pool.query(job_query::Kind::Status(v1::JobServiceStatus {})).await? {
        job_reply::Kind::Status(status) => assert_eq!((status.instance.as_str(), status.state_hash.len()), ("b", 64)),
        other => anyhow::bail!("{other:?}"),
    }
    scheduler.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_scheduler_continues_the_clock_of_the_agents() -> anyhow::Result<()> {
    const DAY_NS: i64 = 86_400_000_000_000;
    let pool = Pool::start().await?;
    let scheduler = pool.scheduler("a");
    pool.command(job_command::Kind::AddModule(v1::AddModule { module: Some(module()) })).await?;
    pool.machines(1).await?;
    let agent = Agent::start(&pool, "node-1").await?;
    let near = |time: i64, other: i64| (time - other).abs() < 60_000_000_000;
    assert!(near(pool.clock().await?, pool.system.bus.now().0), "nobody has a clock yet: it takes its own");

    agent.set_clock(3 * DAY_NS);
    scheduler.end().await?;
    let scheduler = pool.scheduler("b");
    let continued = pool.clock().await?;
    assert!(near(continued, pool.system.bus.now().0 + 3 * DAY_NS), "it continues the agents'");

    // Time does not go back below the log, and goes on.
    agent.set_clock(-3 * DAY_NS);
    scheduler.end().await?;
    let scheduler = pool.scheduler("c");
    let kept = pool.clock().await?;
    assert!(kept >= continued && near(kept, continued), "never below the last event");
    assert!(pool.clock().await? > kept);
    scheduler.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_the_clock_and_a_lost_machine() -> anyhow::Result<()> {
    let pool = Pool::start().await?;
    let scheduler = pool.scheduler("a");
    let start = v1::Start { module: "high-oi".into(), processes: 3, ..Default::default() };
    let refused = pool.ask_command(job_command::Kind::Start(start)).await?;
    assert_eq!(refusal(refused).code(), v1::RefusalCode::NotFound);
    pool.command(job_command::Kind::AddModule(v1::AddModule { module: Some(module()) })).await?;
    pool.machines(1).await?;
    let agent = Agent::start(&pool, "node-1").await?;
    agent.until_clocked().await?;

    let start = v1::Start { module: "high-io".into(), processes: 2, ..Default::default() };
    pool.command(job_command::Kind::Start(start)).await?;
    pool.until("all run", |job| job.all_running_ns > 0).await?;
    let refused = pool.ask_command(job_command::Kind::NewRun(v1::NewRun {})).await?;
    assert_eq!(refusal(refused).code(), v1::RefusalCode::Refused);

    let boot = v1::machine_event::Kind::BootObserved(v1::BootObserved { boot_id: "another".into() });
    pool.say_of_machine("node-1", vec![boot]).await?;
    pool.until("they are lost", |job| job.ended_ns > 0 && job.by_state[ProcessState::Lost as usize] == 2).await?;
    match pool.command(job_command::Kind::NewRun(v1::NewRun {})).await? {
        job_reply::Kind::RunStarted(run) => assert_eq!(run.run, 2),
        other => anyhow::bail!("{other:?}"),
    }
    scheduler.end().await
}

/// How long anything may take to come true.
const LIMIT: Duration = Duration::from_secs(60);
