//! The command line of Muster: one request client, one table writer, and a small file for each command.
//!
//! Responsible for what a person or a script says to the services and sees of their answers. Decides nothing and owns nothing:
//! whatever is refused is refused by the service that is asked, except what is wrong before anything can be asked.

mod arguments;
mod ask;
mod client;
mod commands;
mod confirm;
mod decode;
mod exit;
mod generate;
mod output;
mod progress;
mod rates;
mod target;
mod times;

use std::process::ExitCode;

use clap::Parser;

pub use generate::{cli_markdown, subjects_markdown};

/// Parses the arguments of this process, runs the command, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = arguments::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::Failure::Other(error.into()).report(),
    };
    let result = runtime.block_on(commands::run(cli));
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
