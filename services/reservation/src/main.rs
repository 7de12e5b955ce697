//! `muster-reservation`: the service that lends machines.

use clap::Parser;
use muster_chassis::CommonArguments;
use muster_reservation::ConfigArguments;

/// Lends machines to people and takes them back; the only allocator of a Muster pool.
#[derive(Debug, Parser)]
#[command(name = "muster-reservation", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    config: ConfigArguments,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("muster-reservation", &arguments.common, move |stop| async move {
        muster_reservation::serve(common, arguments.config.read()?, stop).await
    })
}
