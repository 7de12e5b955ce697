//! `muster-telemetry-logger`: parses arguments and runs the service.

use std::process::ExitCode;

use clap::Parser;
use muster_telemetry_logger::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    muster_chassis::run("telemetry-logger", &common, |stop| async move {
        match arguments.command {
            Some(Command::Migrate { report_password }) => {
                muster_telemetry_logger::migrate(&arguments.store, report_password.as_deref()).await
            }
            None => muster_telemetry_logger::run(&arguments, stop).await,
        }
    })
}
