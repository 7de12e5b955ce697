//! `muster-scheduler`: the service that knows what runs.

use clap::Parser;
use muster_chassis::{CommonArguments, SigningArguments};

/// Starts, watches and stops the test processes of a Muster pool, and keeps its clock
#[derive(Debug, Parser)]
#[command(name = "muster-scheduler", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    signing: SigningArguments,
}

fn main() -> std::process::ExitCode {
    let Arguments { common, signing } = Arguments::parse();
    let own = common.clone();
    muster_chassis::run("muster-scheduler", &common, move |stop| muster_scheduler::run(own, signing, stop))
}
