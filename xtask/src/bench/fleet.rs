//! The benchmark `fleet`: labs of 100, 1,000 and 10,000 simulated machines that say a heartbeat a second each, and one of 10,000 with a
//! connection each. What every part of the pool costs meanwhile, how soon a heartbeat is answered, how soon a start reaches all of them,
//! and how soon all are heard again after nats-server was killed. The smaller pools are the reference of the largest: they show how it
//! grows.
//!
//! Everything is on this host, the machines themselves too: their own cost is shown beside the rest.

mod part;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;

use self::part::Part;
use self::watch::Watch;
use super::start::cost;
use super::statistics::{milliseconds, percentile};
use super::{Row, Target, memory_folder};

/// A pool.
struct Pool {
    machines: u32,
    /// Machines that share a connection.
    per_connection: u32,
    /// What its rows begin with.
    name: &'static str,
}

const POOLS: [Pool; 4] = [
    Pool { machines: 100, per_connection: 256, name: "100" },
    Pool { machines: 1_000, per_connection: 256, name: "1000" },
    Pool { machines: 10_000, per_connection: 256, name: "10000" },
    Pool { machines: 10_000, per_connection: 1, name: "10000 connections" },
];
/// After a hello every machine is as busy as it stays.
const SETTLING: Duration = Duration::from_secs(5);
/// How long a pool is watched while nothing is asked of it.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Everything that is waited for is over within this.
const PATIENCE: Duration = Duration::from_secs(300);
/// All machines are to be heard again within so many seconds after nats-server was killed.
const BACK_WITHIN: f64 = 30.0;

/// One round: each pool after the other.
pub(super) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pool in &POOLS {
        let scratch = memory_folder()?;
        rows.extend(of_pool(runtime, scratch.path(), pool).with_context(|| format!("{} machines", pool.name))?);
    }
    Ok(rows)
}

fn of_pool(runtime: &tokio::runtime::Runtime, folder: &Path, pool: &Pool) -> anyhow::Result<Vec<Row>> {
    let Pool { machines, per_connection, name } = *pool;
    let options = LabOptions::new(folder.join("lab"), super::start::programs()?, 0);
    let options = LabOptions { simulated: machines, simulated_per_connection: per_connection, ..options };
    let begun = Instant::now();
    let mut lab = Lab::up(options, &|line| eprintln!("  {line}"))?;
    let up = begun.elapsed();
    let watch = Watch::begin(runtime, &lab.nats_url())?;
    let mut rows = vec![Row::bare(&format!("{name}: a new lab, until all are up"), up.as_secs_f64(), "s")];
    std::thread::sleep(SETTLING);
    rows.extend(idle(runtime, &lab, &watch, name)?);
    rows.push(start(&lab, name)?);
    rows.push(restart(runtime, &mut lab, &watch, pool)?);
    rows.push(Row {
        target: Some(Target::AtMost(0.0)),
        ..Row::bare(&format!("{name}: machines that were called down"), watch.downs() as f64, "")
    });
    lab.down()?;
    Ok(rows)
}

/// What it costs that the machines are there, and how soon a heartbeat is answered.
fn idle(runtime: &tokio::runtime::Runtime, lab: &Lab, watch: &Watch, pool: &str) -> anyhow::Result<Vec<Row>> {
    let before = cost::below(&lab.members());
    let begun = Instant::now();
    let mut answers = runtime.block_on(watch.probe(IDLE_TIME))?;
    let spent = cost::below(&lab.members()).since(&before);
    let seconds = begun.elapsed().as_secs_f64();
    answers.sort_unstable();
    let at = |percent: usize| percentile(&answers, percent).context("no heartbeat was answered").map(milliseconds);
    let mut rows = vec![
        Row::bare(&format!("{pool}: heartbeat to answer, p50"), at(50)?, "ms"),
        Row::bare(&format!("{pool}: heartbeat to answer, p99"), at(99)?, "ms"),
    ];
    for Part { name, memory_bytes } in part::all(&lab.members()) {
        let cpu = spent.0.get(&name).copied().unwrap_or_default();
        rows.push(Row::bare(&format!("{pool}: CPU of {name}"), milliseconds(cpu) / seconds, "ms/s"));
        rows.push(Row::bare(&format!("{pool}: memory of {name}"), memory_bytes as f64 / 1e6, "MB"));
    }
    Ok(rows)
}

/// One process on each machine, until all run.
fn start(lab: &Lab, pool: &str) -> anyhow::Result<Row> {
    let begun = Instant::now();
    lab.muster_ok(&["start", "idle", "--per-machine", "1"])?;
    wait_until("all processes run", PATIENCE, || {
        lab.muster_json(&["jobs"]).is_ok_and(|jobs| !jobs[0]["seconds_to_all_running"].is_null())
    })?;
    Ok(Row::bare(&format!("{pool}: one process on each, until all run"), begun.elapsed().as_secs_f64(), "s"))
}

/// nats-server is killed and started again: until every machine has said a heartbeat.
fn restart(runtime: &tokio::runtime::Runtime, lab: &mut Lab, watch: &Watch, pool: &Pool) -> anyhow::Result<Row> {
    lab.nats.kill9();
    let begun = Instant::now();
    lab.nats.restart()?;
    let heard = runtime.block_on(watch.all_heard(pool.machines as usize, PATIENCE))?;
    ensure!(heard == pool.machines as usize, "{heard} of {} machines were heard again", pool.machines);
    Ok(Row {
        target: Some(Target::AtMost(BACK_WITHIN)),
        ..Row::bare(
            &format!("{}: nats-server killed, until all are heard", pool.name),
            begun.elapsed().as_secs_f64(),
            "s",
        )
    })
}
