//! The command line of Muster: one request client, one table writer, and a small file for each command.
//!
//! Responsible for what a person or a script says to the services and sees of their answers. Decides nothing and owns nothing:
//! whatever is refused is refused by the service that is asked, except what is wrong before anything can be asked.

mod archived;
mod arguments;
mod ask;
mod center;
mod client;
mod commands;
mod confirm;
mod decode;
mod exit;
mod generate;
mod keys;
mod mix;
mod moment;
mod output;
mod permissions_page;
mod plan_file;
mod progress;
mod rates;
mod target;
mod times;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use exit::Failure;
use tokio::runtime::Builder;

pub use generate::{cli_markdown, subjects_markdown};
pub use permissions_page::permissions_markdown;

/// Threads beside the one that performs commands: the status line and the beat go on while a command waits for a person.
const CENTER_THREADS: usize = 2;
/// Exit code of a command line that asks for nothing.
const USAGE: u8 = 2;

/// Parses the arguments of this process, runs the command, or the command center where there is none, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let arguments::Cli { global, command } = arguments::Cli::parse();
    let ended = match command {
        Some(command) => run(&mut Builder::new_current_thread(), commands::run(&global, command)),
        None if on_a_terminal() => {
            run(Builder::new_multi_thread().worker_threads(CENTER_THREADS), center::run(&global))
        }
        None => return help(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(builder: &mut Builder, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = builder.enable_all().build().map_err(anyhow::Error::new)?;
    let ended = runtime.block_on(work);
    runtime.shutdown_background();
    ended
}

/// A person types here, and sees what is said.
fn on_a_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Nothing was asked for, by nobody who could type more.
fn help() -> ExitCode {
    eprint!("{}", arguments::Cli::command().render_help());
    ExitCode::from(USAGE)
}
