//! The keeper of the test processes: see `muster_node_agent::keeper`.

use clap::Parser;

fn main() -> std::process::ExitCode {
    match muster_node_agent::run_keeper(&muster_node_agent::KeeperArguments::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muster-keeper: failed to {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
