//! `cargo xtask soak` and `simulate`: the long counts, which the test run only has a short form of.

mod clean;
mod pulses;
mod start;

use clap::Args;

use crate::build::{programs, run_cargo};

#[derive(Args)]
pub(crate) struct SoakArguments {
    /// Which: `kills` of every part under load, `start` and stop of many simulated processes, `pulses` that are defined again and
    /// again over many processes, `corruption` of high-io's files from outside, `clean` passes of modules that must report nothing,
    /// `rollouts` of simulated machines while parts are killed, or `deadlines` of so many reservations
    #[arg(value_parser = ["kills", "start", "pulses", "corruption", "clean", "rollouts", "deadlines"])]
    name: String,
    /// How many rounds; kills, for `rollouts`
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Simulated machines, for `start`
    #[arg(long, default_value_t = 1_000)]
    machines: u32,
    /// Simulated processes of each round, for `start`; real ones, for `pulses`
    #[arg(long, default_value_t = 3_000)]
    processes: u32,
    /// Changes of files, for `corruption`
    #[arg(long, default_value_t = 1_000)]
    changes: u32,
    /// What each module is to verify, for `clean`, GiB
    #[arg(long, default_value_t = 200)]
    gib: u32,
    /// Only this module, for `clean`; may be given often
    #[arg(long = "module", value_parser = clean::MODULES)]
    modules: Vec<String>,
    /// A module ends after so many minutes, for `clean`, however little it verified by then
    #[arg(long, default_value_t = 60)]
    minutes: u64,
}

#[derive(Args)]
pub(crate) struct SimulateArguments {
    /// The one seed to replay
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, without --seed
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Machines in the simulated pool
    #[arg(long, default_value_t = 12)]
    machines: usize,
}

pub(crate) fn run(arguments: &SoakArguments) -> anyhow::Result<()> {
    if arguments.name == "start" {
        return start::run(arguments);
    }
    if arguments.name == "pulses" {
        return pulses::run(arguments);
    }
    if arguments.name == "corruption" {
        let changes = arguments.changes.to_string();
        let test = ["test", "-p", "muster-high-io", "--test", "outside", "--", "--nocapture"];
        return run_cargo(&test, &[("MUSTER_SOAK_CORRUPTIONS", &*changes)]);
    }
    if arguments.name == "clean" {
        return clean::run(arguments);
    }
    let test = if arguments.name == "rollouts" { "killed_rollouts" } else { &arguments.name };
    let programs = programs()?;
    let rounds = arguments.rounds.to_string();
    let environment = [("MUSTER_PROGRAMS", &*programs.to_string_lossy()), ("MUSTER_SOAK_ROUNDS", &rounds)];
    run_cargo(&["test", "-p", "muster-e2e", "--test", "e2e", test, "--", "--nocapture"], &environment)
}

pub(crate) fn simulate(arguments: &SimulateArguments) -> anyhow::Result<()> {
    muster_simulation::command_line(arguments.seed, arguments.seeds, arguments.machines).map_err(anyhow::Error::msg)
}
