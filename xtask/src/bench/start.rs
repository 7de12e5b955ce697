//! The benchmark `start`: how soon 3,000 trivial processes run on 60 machines, what that costs, and how soon they end, beside a bare
//! spawner that starts the same program from two threads and has the same conversation with it.
//!
//! All 60 machines are agents with keepers on this one host, in a lab in memory with everything that belongs to Muster. Times are taken
//! as a client sees them: from its request until the scheduler's answer says so.

mod bare;
pub(super) mod cost;
mod pool;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_testkit::lab::{Lab, LabOptions};

use self::cost::Cost;
use self::pool::{Pool, Started};
use super::{Row, Target, memory_folder};
use crate::build;

/// Machines of the pool.
const MACHINES: u32 = 60;
/// Processes that are started.
const PROCESSES: u32 = 3_000;
/// How long the pool is watched while nothing runs.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// Descriptors that this process needs: one for each process, and some.
const DESCRIPTORS: u64 = 16_384;

/// One round: both ways of starting, the bare one before and after.
pub(crate) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    raise_descriptor_limit()?;
    let programs = programs()?;
    let directory = memory_folder()?;
    let options = LabOptions { disks: 1, ..LabOptions::new(directory.path().join("lab"), programs.clone(), MACHINES) };
    let lab = Lab::up(options, &|line| eprintln!("  {line}"))?;
    let rows = runtime.block_on(measure(&lab, &programs.join("muster-trivial")));
    lab.down()?;
    rows
}

/// Everything optimised, as it is shipped.
pub(crate) fn programs() -> anyhow::Result<std::path::PathBuf> {
    build::shipped("Muster", &["--workspace", "--bins"])
}

fn raise_descriptor_limit() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    ensure!(
        maximum.is_none_or(|maximum| maximum >= DESCRIPTORS),
        "{DESCRIPTORS} open files are not permitted: ulimit -n"
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum }).context("raise the limit of open files")
}

async fn measure(lab: &Lab, program: &Path) -> anyhow::Result<Vec<Row>> {
    let pool = Pool::connect(lab).await?;
    // Every agent fetches and checks the program once: that is not what a start costs.
    let first = pool.start(MACHINES).await?;
    pool.stop(&first).await?;
    let idle = pool.idle(IDLE_TIME).await?;
    let before = bare::run(program, PROCESSES)?;
    let started = pool.start(PROCESSES).await?;
    let steady = pool.idle(Duration::from_secs(1)).await?;
    // Their logs go with them.
    let (early, last_pong) = (pool.running_before_pong(&started)?, pool.last_pong(&started)?);
    let stopped = pool.stop(&started).await?;
    let after = bare::run(program, PROCESSES)?;
    let mean = |a: Duration, b: Duration| (a + b).as_secs_f64() / 2.0;
    let bare_start = mean(before.started, after.started);
    let bare_cpu = mean(before.cpu, after.cpu) * 1e3 / f64::from(PROCESSES);
    let start = started.taken.as_secs_f64();
    let mut rows = vec![
        Row {
            reference: Some(bare_start),
            reference_name: "bare spawner",
            ..Row::bare("start, request to last running", start, "s")
        },
        Row {
            target: Some(Target::AtMost(1.5)),
            ..Row::bare("start, of the bare spawner's time", start / bare_start, "x")
        },
        Row::bare("first start of 60, each fetches the program", first.taken.as_secs_f64(), "s"),
        Row::bare("start, to the answer", started.answered.as_secs_f64(), "s"),
        Row::bare("start, to the last first pong", last_pong.as_secs_f64(), "s"),
        Row {
            target: Some(Target::AtMost(0.0)),
            ..Row::bare("processes seen running before their pong", f64::from(early), "")
        },
        Row {
            reference: Some(bare_cpu),
            reference_name: "bare spawner",
            target: Some(Target::AtMost(1.3)),
            ..Row::bare("CPU of the start, for each process", each(&started.cost), "ms")
        },
    ];
    rows.extend(parts(&started));
    rows.push(Row::bare("CPU of the pool while nothing runs", per_second(&idle, IDLE_TIME), "ms/s"));
    rows.push(Row::bare("CPU of the second after", per_second(&steady, Duration::from_secs(1)), "ms/s"));
    let bare_stop = Some(mean(before.stopped, after.stopped));
    for (name, taken, most) in
        [("stop, to the last exit", stopped.exited, 0.25), ("stop, to the last final state", stopped.ended, 0.6)]
    {
        rows.push(Row {
            reference: bare_stop,
            reference_name: "bare spawner, last exit",
            target: Some(Target::AtMost(most)),
            ..Row::bare(name, taken.as_secs_f64(), "s")
        });
    }
    rows.push(Row::bare("CPU of the stop, for each process", each(&stopped.cost), "ms"));
    Ok(rows)
}

/// What each part of the pool spent on the start.
fn parts(started: &Started) -> Vec<Row> {
    let part = |(name, spent): (&String, &Duration)| {
        Row::bare(&format!("  of it {name}"), spent.as_secs_f64() * 1e3 / f64::from(PROCESSES), "ms")
    };
    let spent: &BTreeMap<String, Duration> = &started.cost.0;
    spent.iter().map(part).collect()
}

fn each(cost: &Cost) -> f64 {
    cost.total().as_secs_f64() * 1e3 / f64::from(PROCESSES)
}

fn per_second(cost: &Cost, time: Duration) -> f64 {
    cost.total().as_secs_f64() * 1e3 / time.as_secs_f64()
}
