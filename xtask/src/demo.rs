//! `cargo xtask demo`: obtains what is missing, brings up a private lab of four machines, runs real jobs in it, prints the reports,
//! and leaves nothing running.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;
use serde::Serialize;
use serde_json::Value;

use crate::{build, lab};

/// Machines that the demo stands for.
const MACHINES: u32 = 4;

/// A job of the demo.
struct Job {
    module: &'static str,
    processes: u32,
    parameters: &'static [&'static str],
}

/// What runs: two processes of high-io on each of the eight disks, which write and verify 4 MiB each, and four pairs of tcp between
/// the machines; all at a bounded rate.
const JOBS: [Job; 2] = [
    Job { module: "high-io", processes: 16, parameters: &["file_size=4MiB", "block_size=64KiB", "iops_max=100"] },
    Job { module: "tcp", processes: 8, parameters: &["rate_max=8MiB"] },
];

/// Rows of a report by device or machine that are shown: throughput and latency.
const METRICS: [&str; 4] = ["written_bytes", "read_bytes", "verified_bytes", "write_latency_p99_seconds"];

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// Leave everything running at the end
    #[arg(long)]
    keep: bool,
    /// How long the jobs run, seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// What is printed at the end
    #[arg(long, value_enum, default_value = "text")]
    output: DemoOutput,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DemoOutput {
    /// The reports, for people.
    Text,
    /// The reports, and one JSON object on the last line.
    Json,
}

/// What the demo did.
#[derive(Debug, Serialize)]
struct Outcome {
    started: u64,
    running: u64,
    finished: u64,
    dead: u64,
    samples_stored: u64,
    verified_bytes: u64,
    seconds_to_all_running: f64,
    modules: BTreeMap<String, ModuleOutcome>,
}

/// What one module did.
#[derive(Debug, Serialize)]
struct ModuleOutcome {
    started: u64,
    finished: u64,
    dead: u64,
    samples_stored: u64,
    verified_bytes: u64,
    seconds_to_all_running: f64,
    /// Counters of bytes a second over the module's whole span, by metric.
    bytes_per_second: BTreeMap<String, f64>,
}

pub(crate) fn run(arguments: &DemoArguments) -> anyhow::Result<()> {
    let programs = build::programs()?;
    let directory = directory(arguments.keep);
    lab::clean(&directory)?;
    let up = Instant::now();
    let options =
        LabOptions { disks: lab::DISKS, secured: true, ..LabOptions::new(directory.clone(), programs, MACHINES) };
    let lab = Lab::up(options, &|line| eprintln!("{line}"))?;
    eprintln!("everything is up after {:.1} s", up.elapsed().as_secs_f64());
    let outcome = drive(&lab, arguments)?;
    if arguments.keep {
        lab.release()?;
        eprintln!(
            "left up; in this shell:\n  eval \"$(cargo xtask lab env)\"\n  muster machine list\nand `cargo xtask lab down` ends it"
        );
    } else {
        lab.down()?;
        lab::clean(&directory)?;
        eprintln!("nothing is left running");
    }
    if arguments.output == DemoOutput::Json {
        println!("{}", serde_json::to_string(&outcome).context("encode the outcome")?);
    }
    let all = JOBS.iter().map(|job| u64::from(job.processes)).sum::<u64>();
    let verified = outcome.modules.values().all(|module| module.verified_bytes > 0);
    ensure!(outcome.running == all && outcome.finished == all && verified, "the demo did not come out right");
    Ok(())
}

/// A kept demo is the lab that `cargo xtask lab` knows.
fn directory(keep: bool) -> PathBuf {
    build::target().join(if keep { "lab" } else { "demo" })
}

/// Runs the jobs: start, progress, stop, reports.
fn drive(lab: &Lab, arguments: &DemoArguments) -> anyhow::Result<Outcome> {
    shown(lab, &["machine", "list"])?;
    shown(lab, &["module", "list"])?;
    for job in &JOBS {
        let count = job.processes.to_string();
        let mut command = vec!["start", job.module, "--processes", &count];
        command.extend(job.parameters.iter().flat_map(|parameter| ["--param", parameter]));
        command.push("--wait");
        shown(lab, &command)?;
    }
    shown(lab, &["ps"])?;
    progress(lab, Duration::from_secs(arguments.seconds))?;
    let running = rows(lab, &["ps", "--all"])?.iter().filter(|row| row["state"] == "running").count() as u64;
    shown(lab, &["stop", "--all", "--yes", "--wait"])?;
    wait_reported(lab)?;
    shown(lab, &["report", "summary"])?;
    shown(lab, &["report", "perf", "--by", "module"])?;
    for dimension in ["device", "machine"] {
        let mut command = vec!["report", "perf", "--by", dimension];
        command.extend(METRICS.iter().flat_map(|metric| ["--metric", metric]));
        shown(lab, &command)?;
    }
    outcome(lab, running)
}

/// Runs `muster` on our own terminal, showing the command first.
fn shown(lab: &Lab, arguments: &[&str]) -> anyhow::Result<()> {
    eprintln!("\n$ muster {}", arguments.join(" "));
    let status = Command::new(lab.muster_program()).args(arguments).envs(lab.environment()).status();
    ensure!(status.context("run muster")?.success(), "`muster {}` failed\n{}", arguments.join(" "), lab.tails());
    Ok(())
}

/// Shows the jobs at work: a bar on a terminal, else a line for each look. A look takes two seconds, which two pings need.
fn progress(lab: &Lab, length: Duration) -> anyhow::Result<()> {
    eprintln!();
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("[{bar:32}] {pos} of {len} s  {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        ProgressBar::new(length.as_secs()).with_style(style)
    });
    let start = Instant::now();
    while start.elapsed() < length {
        let line = standing(&lab.muster_json(&["top", "--once"])?);
        let seconds = start.elapsed().as_secs().min(length.as_secs());
        match &bar {
            Some(bar) => {
                bar.set_position(seconds);
                bar.set_message(line);
            }
            None => eprintln!("{seconds:>2} of {} s: {line}", length.as_secs()),
        }
    }
    if let Some(bar) = bar {
        bar.finish();
    }
    Ok(())
}

/// One moment in words.
fn standing(top: &Value) -> String {
    let pool = &top["pool"];
    let count = |state: &str| pool["processes"][state].as_u64().unwrap_or(0);
    let states = ["starting", "running", "mia", "finished", "dead"].map(|state| format!("{} {state}", count(state)));
    let rate = |name: &str| pool[name].as_f64().unwrap_or(0.0);
    let mebibytes = rate("bytes_per_second") / f64::from(1 << 20);
    format!("{}; {:.0} iterations/s, {mebibytes:.0} MiB/s", states.join(", "), rate("iterations_per_second"))
}

fn rows(lab: &Lab, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let listed = lab.muster_json(arguments)?;
    listed.as_array().cloned().with_context(|| format!("read what `muster {}` lists", arguments.join(" ")))
}

/// Waits until the final reports are in the store: the telemetry-logger commits twice a second or so.
fn wait_reported(lab: &Lab) -> anyhow::Result<()> {
    let all = JOBS.iter().map(|job| u64::from(job.processes)).sum::<u64>();
    let reported =
        || rows(lab, &["report", "summary"]).map(|rows| rows.iter().map(|row| whole(row, "final_reports")).sum());
    let complete = || reported().is_ok_and(|count: u64| count == all);
    wait_until("every final report is in the store", Duration::from_secs(20), complete)
}

/// A whole number of a row; 0 where there is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and positive")]
fn whole(row: &Value, name: &str) -> u64 {
    row[name].as_f64().unwrap_or(0.0) as u64
}

fn outcome(lab: &Lab, running: u64) -> anyhow::Result<Outcome> {
    let (summary, perf) = (rows(lab, &["report", "summary"])?, rows(lab, &["report", "perf", "--by", "module"])?);
    let modules: BTreeMap<String, ModuleOutcome> =
        summary.iter().map(|row| (word(row, "module"), module_outcome(row, &perf))).collect();
    let sum = |field: fn(&ModuleOutcome) -> u64| modules.values().map(field).sum();
    Ok(Outcome {
        started: sum(|module| module.started),
        running,
        finished: sum(|module| module.finished),
        dead: sum(|module| module.dead),
        samples_stored: sum(|module| module.samples_stored),
        verified_bytes: sum(|module| module.verified_bytes),
        seconds_to_all_running: modules.values().map(|module| module.seconds_to_all_running).sum(),
        modules,
    })
}

fn word(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

fn module_outcome(row: &Value, perf: &[Value]) -> ModuleOutcome {
    let module = word(row, "module");
    let counters = perf.iter().filter(|line| line["module"] == module.as_str() && line["unit"] == "bytes");
    let rate = |line: &Value| Some((word(line, "metric"), line["rate_per_second"].as_f64()?));
    ModuleOutcome {
        started: whole(row, "processes"),
        finished: whole(row, "finished"),
        dead: whole(row, "dead"),
        samples_stored: whole(row, "samples"),
        verified_bytes: whole(row, "verified_bytes"),
        seconds_to_all_running: row["all_running_seconds"].as_f64().unwrap_or(0.0),
        bytes_per_second: counters.filter_map(rate).collect(),
    }
}
