//! `cargo xtask soak` and `simulate`: the long counts, which the test run only has a short form of.

mod clean;
mod pulses;
mod start;

use std::time::{Duration, Instant};

use clap::Args;
use muster_simulation::SimulationOptions;
use muster_simulation::malformed::{MalformedOptions, Tally};

use crate::build::{programs, run_cargo};

/// Of the messages of each type, one of so many is said to each live subject.
const LIVE_PART: u64 = 100;

#[derive(Args)]
pub(crate) struct SoakArguments {
    /// Which: `kills` of every part under load, `takeovers` of servers and schedulers that lead and are killed or stopped, `start` and
    /// stop of many simulated processes, `pulses` that are defined again and again over many processes, `corruption` of high-io's files
    /// from outside, `clean` passes of modules that must report nothing, `rollouts` of simulated machines while parts are killed,
    /// `deadlines` of so many reservations, `samples` and compactions while logger, nats-server and PostgreSQL are killed, all
    /// `crash-points` of agent, keeper and owning services, `malformed` messages of every type that the owning services
    /// hear, and a hundredth as many to every live subject, or `floods` of one identity, of so many seconds as rounds
    #[arg(value_parser = [
        "kills", "takeovers", "start", "pulses", "corruption", "clean", "rollouts", "deadlines", "samples", "crash-points",
        "malformed", "floods",
    ])]
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
    /// Messages of each type, for `malformed`
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
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
    /// Simulated minutes in which things go wrong; then everything heals and settles
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Simulated users
    #[arg(long, default_value_t = 3)]
    users: usize,
    /// Users speak and things go wrong so many times more rarely
    #[arg(long, default_value_t = 1)]
    rarity: u32,
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
    if arguments.name == "malformed" {
        return malformed(arguments.messages);
    }
    if arguments.name == "samples" {
        let rounds = arguments.rounds.to_string();
        let test = ["test", "-p", "muster-telemetry-logger", "--test", "service", "killed", "--", "--nocapture"];
        return run_cargo(&test, &[("MUSTER_SOAK_ROUNDS", &*rounds)]);
    }
    let test = match &*arguments.name {
        "rollouts" => "killed_rollouts",
        "crash-points" => "crash_points",
        name => name,
    };
    let programs = programs()?;
    let rounds = arguments.rounds.to_string();
    let programs = ("MUSTER_PROGRAMS", &*programs.to_string_lossy());
    let environment = [programs, ("MUSTER_SOAK_ROUNDS", &*rounds), ("MUSTER_SOAK_POINTS", "all")];
    run_cargo(&["test", "--workspace", "--test", "e2e", test, "--", "--nocapture"], &environment)
}

/// Says them to decoders and cores, and a part of so many to every live subject.
fn malformed(messages: u64) -> anyhow::Result<()> {
    let tell = |tally: &Tally| {
        let Tally { name, undecodable, refused, taken } = tally;
        println!("{name}: {undecodable} are no messages, {refused} refused, {taken} taken, no invariant broken");
    };
    muster_simulation::malformed::run(MalformedOptions { seed: 1, messages }, tell).map_err(anyhow::Error::msg)?;
    let (programs, live) = (programs()?, (messages / LIVE_PART).to_string());
    let environment = [("MUSTER_PROGRAMS", &*programs.to_string_lossy()), ("MUSTER_SOAK_ROUNDS", &live)];
    run_cargo(&["test", "--workspace", "--test", "e2e", "malformed", "--", "--nocapture"], &environment)
}

pub(crate) fn simulate(arguments: &SimulateArguments) -> anyhow::Result<()> {
    let SimulateArguments { seed, seeds, machines, minutes, users, rarity } = *arguments;
    let duration = Duration::from_secs(minutes * 60);
    let first = SimulationOptions { duration, users, rarity, ..SimulationOptions::new(seed.unwrap_or(1), machines) };
    let started = Instant::now();
    let seeds = if seed.is_some() { 1 } else { seeds };
    muster_simulation::run_many(first, seeds, |summary| println!("{summary}")).map_err(anyhow::Error::msg)?;
    println!("{seeds} seeds kept every invariant; {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
