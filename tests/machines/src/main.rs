//! Simulated machines: parses arguments and runs.

use std::process::ExitCode;

use clap::Parser;
use muster_machines::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("simulated-machines", &common, |stop| muster_machines::run(arguments, stop))
}
