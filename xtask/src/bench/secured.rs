//! The benchmark `secured`: what everything that locks a pool down costs. The lab of `cargo xtask demo` is brought up with keys,
//! signatures and users of their own for tests, and then with `--insecure-local`; both do the same.

use std::time::{Duration, Instant};

use anyhow::Context;
use muster_testkit::lab::{Lab, LabOptions};

use super::start::cost;
use super::statistics::{milliseconds, percentile};
use super::{Row, Target};

/// As the demo has.
const MACHINES: u32 = 4;
/// Processes that are started and stopped.
const PROCESSES: &str = "400";
/// How often the command line asks.
const QUESTIONS: usize = 40;
/// How long everything runs while CPU times are counted.
const WATCHED: Duration = Duration::from_secs(10);
/// It may cost so much more.
const MORE: f64 = 1.5;

/// What one lab took.
struct Taken {
    up: Duration,
    question: Duration,
    start: Duration,
    stop: Duration,
    /// CPU time of all parts while the processes run.
    running: Duration,
}

/// One round.
pub(super) fn run(round: usize) -> anyhow::Result<Vec<Row>> {
    // Neither always comes first.
    let (secured, open) = if round % 2 == 1 {
        let secured = measure(true)?;
        (secured, measure(false)?)
    } else {
        let open = measure(false)?;
        (measure(true)?, open)
    };
    let row = |name: String, value: f64, reference: f64, unit| Row {
        name,
        value,
        unit,
        reference: Some(reference),
        reference_name: "with --insecure-local",
        target: Some(Target::RatioAtMost(MORE)),
    };
    let seconds = Duration::as_secs_f64;
    Ok(vec![
        row(format!("a lab of {MACHINES} machines comes up"), seconds(&secured.up), seconds(&open.up), "s"),
        row("`muster ps`, p50".into(), milliseconds(secured.question), milliseconds(open.question), "ms"),
        row(format!("start of {PROCESSES} to all running"), seconds(&secured.start), seconds(&open.start), "s"),
        row(format!("stop of {PROCESSES} to all ended"), seconds(&secured.stop), seconds(&open.stop), "s"),
        row(
            format!("CPU of all parts in {} s of {PROCESSES} running", WATCHED.as_secs()),
            seconds(&secured.running),
            seconds(&open.running),
            "s",
        ),
    ])
}

fn measure(secured: bool) -> anyhow::Result<Taken> {
    let scratch = tempfile::Builder::new().prefix("muster-bench-").tempdir().context("make a folder")?;
    let programs = super::start::programs()?;
    let options = LabOptions { secured, ..LabOptions::new(scratch.path().join("lab"), programs, MACHINES) };
    let (lab, up) = timed(|| Lab::up(options, &|_| ()))?;
    let mut questions = Vec::new();
    for _ in 0..QUESTIONS {
        questions.push(timed(|| lab.muster_ok(&["ps"]))?.1);
    }
    questions.sort_unstable();
    let (_, start) = timed(|| lab.muster_ok(&["start", "trivial", "--processes", PROCESSES, "--wait"]))?;
    let before = cost::below(&[std::process::id()]);
    std::thread::sleep(WATCHED);
    let running = cost::below(&[std::process::id()]).since(&before).total();
    let (_, stop) = timed(|| lab.muster_ok(&["stop", "--all", "--yes", "--wait"]))?;
    lab.down()?;
    let question = percentile(&questions, 50).context("ask")?;
    Ok(Taken { up, question, start, stop, running })
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}
