//! `cargo xtask chaos`: real parts under random faults, judged at the end (`tests/chaos`).

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use muster_chaos::ChaosOptions;
use muster_testkit::lab::LabOptions;

use crate::{build, lab};

#[derive(Args)]
pub(crate) struct ChaosArguments {
    /// How long everything goes wrong, minutes; then everything has to settle
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// The same in seconds, instead of minutes
    #[arg(long, conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// Seed of faults and commands: the same gives the same again, though not the same interleaving
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Machines, each an agent on this host
    #[arg(long, default_value_t = 3)]
    machines: u32,
    /// Print everything that happened, also without a violation
    #[arg(long)]
    history: bool,
}

pub(crate) fn run(arguments: &ChaosArguments) -> anyhow::Result<()> {
    let directory = build::target().join("chaos");
    lab::clean(&directory)?;
    let duration = Duration::from_secs(arguments.seconds.unwrap_or(arguments.minutes * 60));
    let options = LabOptions::new(directory.clone(), build::programs()?, arguments.machines);
    let options = ChaosOptions { seed: arguments.seed, duration, lab: options };
    let outcome = muster_chaos::run(options, &|line| eprintln!("{line}"))?;
    if arguments.history {
        for (at, line) in &outcome.lines {
            println!("{:>8.2} s  {line}", at.as_secs_f64());
        }
    }
    print!("{outcome}");
    let told = outcome.told();
    eprint!("{told}");
    ensure!(
        outcome.violations.is_empty(),
        "{} violations; the logs of all parts are in {}",
        outcome.violations.len(),
        directory.display()
    );
    lab::clean(&directory)
}
