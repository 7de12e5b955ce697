//! `muster-machine-lifecycle`: the service that knows what is on each machine.

use clap::Parser;
use muster_chassis::CommonArguments;

/// Knows what is on each machine of a Muster pool and whose it is
#[derive(Debug, Parser)]
#[command(name = "muster-machine-lifecycle", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("muster-machine-lifecycle", &arguments.common, move |stop| {
        muster_machine_lifecycle::run(common, stop)
    })
}
