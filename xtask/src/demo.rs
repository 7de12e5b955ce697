//! `cargo xtask demo`: obtains what is missing, brings up a private lab, runs one real job in it, prints the report, and leaves
//! nothing running.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;
use serde::Serialize;
use serde_json::Value;

use crate::{build, lab};

/// Processes of the demo's job.
const PROCESSES: u32 = 4;

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// Leave everything running at the end
    #[arg(long)]
    keep: bool,
    /// How long the job runs, seconds
    #[arg(long, default_value_t = 5)]
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
}

pub(crate) fn run(arguments: &DemoArguments) -> anyhow::Result<()> {
    let programs = build::programs()?;
    let directory = directory(arguments.keep);
    lab::clean(&directory)?;
    let up = Instant::now();
    let options = LabOptions {
        directory: directory.clone(),
        programs,
        machines: 1,
        disks: lab::DISKS,
        replicas: 1,
        simulated: 0,
        script: None,
        nats: 1,
    };
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
    ensure!(outcome.finished == u64::from(PROCESSES) && outcome.verified_bytes > 0, "the demo did not come out right");
    Ok(())
}

/// A kept demo is the lab that `cargo xtask lab` knows.
fn directory(keep: bool) -> PathBuf {
    build::target().join(if keep { "lab" } else { "demo" })
}

/// Runs the job: start, progress, stop, reports.
fn drive(lab: &Lab, arguments: &DemoArguments) -> anyhow::Result<Outcome> {
    let count = PROCESSES.to_string();
    shown(lab, &["machine", "list"])?;
    shown(lab, &["module", "list"])?;
    shown(lab, &["start", "high-io", "--processes", &count, "--param", "file_size=8MiB", "--wait"])?;
    shown(lab, &["ps"])?;
    progress(lab, Duration::from_secs(arguments.seconds))?;
    let running = states(lab)?;
    shown(lab, &["stop", "1", "--wait"])?;
    wait_reported(lab)?;
    shown(lab, &["report", "summary"])?;
    shown(lab, &["report", "perf", "--by", "device"])?;
    outcome(lab, &running)
}

/// Runs `muster` on our own terminal, showing the command first.
fn shown(lab: &Lab, arguments: &[&str]) -> anyhow::Result<()> {
    eprintln!("\n$ muster {}", arguments.join(" "));
    let status = Command::new(lab.muster_program()).args(arguments).envs(lab.environment()).status();
    ensure!(status.context("run muster")?.success(), "`muster {}` failed\n{}", arguments.join(" "), lab.tails());
    Ok(())
}

/// Shows the job at work, on one line of a terminal, else a line a second.
fn progress(lab: &Lab, length: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < length {
        let states = states(lab)?;
        let line = format!(
            "{:>2} of {} s: {} running, {} finished, {} dead",
            start.elapsed().as_secs(),
            length.as_secs(),
            count(&states, "running"),
            count(&states, "finished"),
            count(&states, "dead")
        );
        if std::io::stderr().is_terminal() {
            eprint!("\r{line}   ");
        } else {
            eprintln!("{line}");
        }
        std::thread::sleep(Duration::from_secs(1).min(length.saturating_sub(start.elapsed())));
    }
    eprintln!();
    Ok(())
}

fn states(lab: &Lab) -> anyhow::Result<Vec<Value>> {
    let rows = lab.muster_json(&["ps", "--all", "--job", "1"])?;
    rows.as_array().cloned().context("read the processes")
}

fn count(rows: &[Value], state: &str) -> u64 {
    rows.iter().filter(|row| row["state"] == state).count() as u64
}

/// Waits until the final reports are in the store: the telemetry-logger commits twice a second or so.
fn wait_reported(lab: &Lab) -> anyhow::Result<()> {
    let complete = || {
        let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
        number(&summary, "final_reports") == f64::from(PROCESSES)
    };
    wait_until("every final report is in the store", Duration::from_secs(20), complete)
}

/// The number of that name in a report's rows; 0 where it is not.
fn number(report: &Value, name: &str) -> f64 {
    let rows = report.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().find_map(|row| row[name].as_f64()).unwrap_or(0.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and positive")]
fn outcome(lab: &Lab, running: &[Value]) -> anyhow::Result<Outcome> {
    let (ended, summary) = (states(lab)?, lab.muster_json(&["report", "summary"])?);
    Ok(Outcome {
        started: ended.len() as u64,
        running: count(running, "running"),
        finished: count(&ended, "finished"),
        dead: count(&ended, "dead"),
        samples_stored: number(&summary, "samples") as u64,
        verified_bytes: number(&summary, "verified_bytes") as u64,
        seconds_to_all_running: number(&summary, "all_running_seconds"),
    })
}
