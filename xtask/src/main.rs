//! The project's own tasks: `cargo xtask help` lists them. Each of them is one file here.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod chaos;
mod containers;
mod demo;
mod lab;
mod package;
mod soak;
mod test;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, try, test and measure Muster")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Obtain what is missing, bring up a private lab, run a real job in it, print the report, leave nothing running
    Demo(demo::DemoArguments),
    /// Run every check: format, lints, documentation, unit, property, rule, simulation, end-to-end and container tests
    Test(test::TestArguments),
    /// A private lab that stays up, for exploring
    #[command(subcommand)]
    Lab(lab::LabTask),
    /// Measure, beside a reference in the same run
    Bench(bench::BenchArguments),
    /// Run one of the long counts (kills, seeds, hours)
    Soak(soak::SoakArguments),
    /// Harm real parts at random while they work, and judge at the end what the logs, the archive and the machines say
    Chaos(chaos::ChaosArguments),
    /// Run the simulation with one seed, or with many
    Simulate(soak::SimulateArguments),
    /// Debian packages of the command line and of the node agent, whose programs are single files
    Package,
    /// Generate the Rust of proto/ and the generated pages of docs/ again
    Codegen,
}

/// Root of the project.
fn root() -> PathBuf {
    muster_testkit::tools::root()
}

fn main() -> std::process::ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Lab(task) => lab::run(&task),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Chaos(arguments) => chaos::run(&arguments),
        Task::Simulate(arguments) => soak::simulate(&arguments),
        Task::Package => package::run(),
        Task::Codegen => build::codegen(),
    }
}
