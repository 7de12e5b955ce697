//! `cargo xtask bench`: the one door to benchmarks. Each prints a value, the reference measured in the same run, their ratio and the
//! target; rounds are repeated, and median and spread are shown.

use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

mod fleet;
mod high_io;
mod ingest;
mod ledger;
mod memory;
mod pattern;
mod place;
mod pool;
mod pulse;
mod report;
mod reserve;
mod rollout;
mod samples;
mod secured;
mod sign;
mod start;
mod statistics;
mod subscriber;
mod table;
mod tcp;
mod trigger;

pub(crate) use start::programs as optimised_programs;
pub(crate) use statistics::percentile;

use crate::root;

/// What a benchmark must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The value is to be at least this.
    AtLeast(f64),
    /// The value is to be at most this.
    AtMost(f64),
    /// The value is to be at least this many times the reference.
    RatioAtLeast(f64),
    /// The value is to be at most this many times the reference.
    RatioAtMost(f64),
}

/// One measured row of one round.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The same of the reference, in the same run.
    pub reference: Option<f64>,
    /// What the reference is.
    pub reference_name: &'static str,
    /// What is to be reached.
    pub target: Option<Target>,
}

impl Row {
    /// Without a reference and a target.
    fn bare(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, reference: None, reference_name: "", target: None }
    }
}

/// The rate of two works one after the other.
fn both(first: f64, second: f64) -> f64 {
    1.0 / (1.0 / first + 1.0 / second)
}

#[derive(Args)]
pub(crate) struct BenchArguments {
    /// Which benchmark
    #[arg(value_parser = ["fleet", "high-io", "ingest", "ledger", "memory", "pattern", "place", "pulse", "report", "reserve", "rollout", "secured", "sign", "start", "tcp", "trigger"])]
    name: String,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// End with a failure where a target is missed
    #[arg(long)]
    check: bool,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Samples of `ingest` and `report`
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(100_000..=1_000_000_000))]
    samples: u64,
    /// Measure in this process, which is an optimised build already
    #[arg(long, hide = true)]
    inner: bool,
    /// Be an instance of this name, that a benchmark starts and kills
    #[arg(long, hide = true, requires = "nats")]
    instance: Option<String>,
    /// NATS server of the instance
    #[arg(long, hide = true)]
    nats: Option<String>,
}

pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    if let (Some(instance), Some(nats)) = (&arguments.instance, &arguments.nats) {
        return match instance.strip_prefix(subscriber::NAME) {
            Some(answer) => subscriber::live(nats, answer),
            None => runtime()?.block_on(ledger::instance(nats, instance)),
        };
    }
    if !arguments.inner {
        return run_optimised(arguments);
    }
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        eprintln!("{}: round {round} of {}", arguments.name, arguments.rounds);
        rounds.push(run_round(arguments, round)?);
    }
    let results = table::summarise(&rounds);
    println!("{}", if arguments.json { table::json(&results)? } else { table::text(&results) });
    let missed: Vec<&str> = results.iter().filter(|row| !row.is_met()).map(|row| row.name.as_str()).collect();
    ensure!(!arguments.check || missed.is_empty(), "targets missed: {}", missed.join(", "));
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start a runtime")
}

fn run_round(arguments: &BenchArguments, round: usize) -> anyhow::Result<Vec<Row>> {
    match arguments.name.as_str() {
        "fleet" => fleet::run(&runtime()?),
        "high-io" => high_io::run(round),
        "ingest" => ingest::run(&runtime()?, arguments.samples),
        "ledger" => {
            let (runtime, nats) = (runtime()?, muster_testkit::NatsServer::start()?);
            runtime.block_on(ledger::run(&nats.url(), nats.pid().context("nats-server runs")?))
        }
        "memory" => memory::run(),
        "pattern" => pattern::run(),
        "place" => place::run(),
        "pulse" => pulse::run(&runtime()?),
        "report" => report::run(&runtime()?, arguments.samples),
        "reserve" => reserve::run(&runtime()?),
        "rollout" => rollout::run(&runtime()?),
        "secured" => secured::run(round),
        "sign" => sign::run(),
        "start" => start::run(&runtime()?),
        "tcp" => tcp::run(),
        "trigger" => trigger::run(&runtime()?),
        other => anyhow::bail!("there is no benchmark `{other}`"),
    }
}

/// A folder that lies in memory. Each machine has a disk of its own: many agents on one disk would wait for each other's fsync, and
/// for ext4, which passes over all inodes that were deleted of late wherever one of them makes a file.
fn memory_folder() -> anyhow::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("muster-bench-").tempdir_in("/dev/shm").context("make a folder")?;
    // PostgreSQL runs as another user and has to get through.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).context("open the folder")?;
    Ok(folder)
}

/// Runs the same again in an optimised build.
fn run_optimised(arguments: &BenchArguments) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["run", "--release", "--quiet", "-p", "xtask", "--", "bench", &arguments.name]);
    command.args(["--inner", "--rounds", &arguments.rounds.to_string()]);
    command.args(["--samples", &arguments.samples.to_string()]);
    command.args(arguments.json.then_some("--json")).args(arguments.check.then_some("--check"));
    let status = command.status().context("run the optimised build")?;
    ensure!(status.success(), "bench {} failed", arguments.name);
    Ok(())
}
