//! `muster-reservation`: the service that lends machines.

use clap::Parser;
use muster_chassis::CommonArguments;

/// Lends machines to people and takes them back; the only allocator of a Muster pool.
#[derive(Debug, Parser)]
#[command(name = "muster-reservation", version)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("muster-reservation", &arguments.common, move |stop| muster_reservation::run(common, stop))
}
