//! `muster-machine-lifecycle`: the service that knows what is on each machine.

use clap::Parser;
use muster_chassis::{CommonArguments, SigningArguments};

/// Knows what is on each machine of a Muster pool and whose it is
#[derive(Debug, Parser)]
#[command(name = "muster-machine-lifecycle", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    signing: SigningArguments,
}

fn main() -> std::process::ExitCode {
    let Arguments { common, signing } = Arguments::parse();
    let own = common.clone();
    muster_chassis::run("muster-machine-lifecycle", &common, move |stop| {
        muster_machine_lifecycle::run(own, signing, stop)
    })
}
