//! The profile `demo`: one server, one of each service, four machines. A job runs on while everything around it dies.

use std::path::Path;

use anyhow::{Context, ensure};
use muster_testkit::wait_until;

use super::engine::Engine;
use super::inspect;
use super::pool::{LIMIT, Pool, Setting};

const SETTING: Setting =
    Setting { project: "muster-demo", options: &["--profile", "demo"], nats: "nats://127.0.0.1:4222" };
/// Two on each machine: one on each of its disks.
const PROCESSES: u32 = 8;

/// Brings it up, tries it, and ends it.
///
/// # Errors
/// Says what was not as it is to be, with the ends of all logs.
pub(super) fn try_it(engine: &Engine, programs: &Path, step: &dyn Fn(&str)) -> anyhow::Result<()> {
    Pool::tried(engine, programs, SETTING, |pool| trial(pool, step))
}

fn trial(pool: &Pool<'_>, step: &dyn Fn(&str)) -> anyhow::Result<()> {
    step("everybody is closed in, and apart");
    inspect::closed(pool)?;
    inspect::apart(pool)?;
    step("a job on all machines");
    let job = pool.start("high-io", PROCESSES, &["file_size=4MiB", "iops_max=50"])?;
    let mut rows = pool.processes(&job)?;
    for machine in 1..=4 {
        let there = rows.values().filter(|row| row.machine == format!("node-{machine}")).count();
        ensure!(there == 2, "{there} processes are on node-{machine}: {rows:?}");
    }
    for service in ["scheduler", "machine-lifecycle", "telemetry-logger", "nats"] {
        step(&format!("{service} dies"));
        pool.crash(service)?;
        pool.wait_processes(&job, &format!("all go on after the death of {service}"), &rows)?;
        let another = pool.start("idle", 4, &[]).with_context(|| format!("start after the death of {service}"))?;
        pool.muster(&["stop", &another, "--wait"])?;
    }
    step("a machine is cut off");
    pool.set_cut("node-2", true)?;
    pool.wait_health("node-2", &["silent", "down"])?;
    pool.set_cut("node-2", false)?;
    pool.wait_health("node-2", &["up"])?;
    pool.wait_processes(&job, "all go on after a cut", &rows)?;
    step("a machine dies");
    pool.crash("node-3")?;
    for row in rows.values_mut().filter(|row| row.machine == "node-3") {
        row.state = "dead".into();
    }
    pool.wait_processes(&job, "two of the processes are dead, the others go on", &rows)?;
    pool.wait_health("node-3", &["up"])?;
    without_store(pool, step)?;
    step("the report");
    pool.muster(&["stop", &job, "--wait"])?;
    told(pool, &job)
}

/// Jobs start and stop without PostgreSQL.
fn without_store(pool: &Pool<'_>, step: &dyn Fn(&str)) -> anyhow::Result<()> {
    step("PostgreSQL is away");
    let postgres = pool.container("postgres")?;
    pool.engine.docker_ok(&["kill", &postgres])?;
    let job = pool.start("idle", 4, &[])?;
    pool.muster(&["stop", &job, "--wait"])?;
    pool.engine.docker_ok(&["start", &postgres]).map(drop)
}

/// Waits until the report says what became of a job.
fn told(pool: &Pool<'_>, job: &str) -> anyhow::Result<()> {
    let mut seen = serde_json::Value::Null;
    let came = wait_until("the report says what became of the job", LIMIT, || {
        let listed = pool.json(&["report", "summary", "--job", job]).unwrap_or_default();
        seen = listed.get(0).cloned().unwrap_or_default();
        let count = |field: &str| seen[field].as_u64().unwrap_or_default();
        count("finished") == 6 && count("dead") == 2 && count("pass") == 6 && count("verified_bytes") > 0
    });
    came.with_context(|| format!("it says {seen}"))
}
