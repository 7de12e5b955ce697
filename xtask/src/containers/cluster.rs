//! The profile `ha`: three servers, two replicas of every service. One of each may go and stay away.

use std::path::Path;

use anyhow::{Context, ensure};
use muster_testkit::wait_until;

use super::engine::Engine;
use super::pool::{LIMIT, Pool, Setting};

const SETTING: Setting = Setting {
    project: "muster-ha",
    options: &["--env-file", "compose/ha.env", "--profile", "ha", "--profile", "demo"],
    nats: "nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://127.0.0.1:4224",
};
const PROCESSES: u32 = 4;

/// Brings it up, tries it, and ends it.
///
/// # Errors
/// Says what was not as it is to be, with the ends of all logs.
pub(super) fn try_it(engine: &Engine, programs: &Path, step: &dyn Fn(&str)) -> anyhow::Result<()> {
    Pool::tried(engine, programs, SETTING, |pool| trial(pool, step))
}

fn trial(pool: &Pool<'_>, step: &dyn Fn(&str)) -> anyhow::Result<()> {
    let copies = copies(pool)?;
    ensure!(copies.starts_with("3 of each stream"), "the streams have other copies: {copies}");
    let job = pool.start("high-io", PROCESSES, &["file_size=4MiB", "iops_max=50"])?;
    let rows = pool.processes(&job)?;
    let leader = leader(pool)?;
    step(&format!("{leader} goes, which leads"));
    let leading = pool.container(&leader)?;
    pool.engine.docker_ok(&["kill", &leading])?;
    let another = pool.start("idle", 4, &[]).context("start with the other replica")?;
    pool.muster(&["stop", &another, "--wait"])?;
    step("one of three servers goes");
    let server = pool.container("nats-2")?;
    pool.engine.docker_ok(&["kill", &server])?;
    let another = pool.start("idle", 4, &[]).context("start with two of three servers")?;
    pool.muster(&["stop", &another, "--wait"])?;
    pool.wait_processes(&job, "all go on", &rows)?;
    step("both are back");
    pool.engine.docker_ok(&["start", &leading, &server])?;
    wait_until("`muster doctor` finds nothing", LIMIT, || pool.muster(&["doctor", "--strict"]).is_ok())
        .or_else(|_| pool.muster(&["doctor", "--strict"]).map(drop))?;
    pool.wait_processes(&job, "all go on", &rows)?;
    pool.muster(&["stop", &job, "--wait"]).map(drop)
}

/// What `muster doctor` says of the copies of streams.
fn copies(pool: &Pool<'_>) -> anyhow::Result<String> {
    let checks = pool.json(&["doctor"])?;
    let mut checks = checks.as_array().into_iter().flatten();
    let copies = checks.find(|check| check["check"] == "copies").context("doctor looks at the copies")?;
    Ok(copies["found"].as_str().unwrap_or_default().to_owned())
}

/// The replica of the scheduler that leads, as compose.yaml calls it.
fn leader(pool: &Pool<'_>) -> anyhow::Result<String> {
    let status = pool.json(&["admin", "status"])?;
    let mut services = status.as_array().into_iter().flatten();
    let scheduler = services.find(|one| one["service"] == "scheduler").context("the scheduler answers")?;
    Ok(match scheduler["instance"].as_str() {
        Some("a") => "scheduler".to_owned(),
        other => format!("scheduler-{}", other.unwrap_or_default()),
    })
}
