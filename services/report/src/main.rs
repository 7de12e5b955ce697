//! `muster-report`: parses arguments and runs the service.

use std::process::ExitCode;

use clap::Parser;
use muster_report::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("report", &common, |stop| async move { muster_report::run(&arguments, stop).await })
}
