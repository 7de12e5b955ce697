//! `muster-scheduler`: the service that knows what runs.

use clap::Parser;
use muster_chassis::CommonArguments;

/// Starts, watches and stops the test processes of a Muster pool, and keeps its clock
#[derive(Debug, Parser)]
#[command(name = "muster-scheduler", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("muster-scheduler", &arguments.common, move |stop| muster_scheduler::run(common, stop))
}
