//! The node agent and its keeper: one of each per machine.
//!
//! The agent answers for its machine: it says hello and heartbeats, takes orders, starts processes through the keeper, pings
//! them, reports what becomes of them, relays what they measure, and keeps the fence. The keeper is the parent of the tests. Not
//! responsible for what is to run (the scheduler), nor for whose the machine is (machine-lifecycle).

mod admission;
mod agent;
mod artifacts;
mod beneath;
mod boot;
mod checkout;
mod config;
mod connection;
pub mod core;
mod crash_files;
mod descriptors;
mod disk;
mod gate;
mod heartbeat;
mod hotplug;
mod keeper;
mod keeper_client;
mod later;
mod link;
mod logs;
mod metrics;
mod module_sockets;
mod names;
mod peer;
mod policy;
mod private;
mod probe;
mod samples;
mod sender;
mod signers;
mod ssh;
mod storage;
mod triggers;
mod trusted_file;
mod users;
mod wire;
mod workplace;

use tokio_util::sync::CancellationToken;

pub use boot::BootArguments;
pub use config::Arguments;
pub use keeper::{KeeperArguments, run as run_keeper};
pub use ssh::SshArguments;

/// To be called first in a process of an agent: it has no descriptor that is nothing to it, and what it makes is for its user alone.
pub fn begin() {
    descriptors::close_inherited();
    private::begin();
}

/// Runs the agent of this machine until `stop`. Test processes go on without it.
///
/// # Errors
/// When its state directory can not be used, or another agent uses it.
pub async fn run(arguments: Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    let settings = config::Settings::new(&arguments)?;
    let _lock = disk::lock::Lock::take(&settings.state.join("lock"))?;
    private::close(&settings.state);
    probe::Pretended::begin(&settings.state);
    raise_descriptor_limit();
    tracing::info!(machine = %settings.machine, state = %settings.state.display(), "this agent's machine");
    agent::run(settings, stop).await
}

/// Each test process has a connection: as many descriptors as this process may have, not as many as it happens to be given.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
