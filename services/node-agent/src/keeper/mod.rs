//! The keeper: parent and subreaper of the tests, in a process of its own without network. It spawns, reaps, records exits and
//! kills; it decides nothing. While it lives, no end of the agent ends a test or loses an exit status.

pub(crate) mod cgroup;
mod confine;
mod descendants;
pub(crate) mod executable;
mod exits;
mod launch;
pub(crate) mod protocol;
mod reap;
mod server;
mod spawn;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::disk::lock::Lock;

/// Threads that spawn: two keep the CPUs of exec busy without a queue behind one (docs/measurements.md).
const SPAWN_THREADS: usize = 2;

/// Arguments of the keeper.
#[derive(Debug, clap::Parser)]
#[command(name = "muster-keeper", about = "Parent of the test processes of one agent; started by muster-agent")]
pub struct KeeperArguments {
    /// State directory of the agent that it works for
    #[arg(long)]
    pub state: PathBuf,
}

/// Paths below the agent's state directory that agent and keeper share.
#[derive(Debug, Clone)]
pub(crate) struct KeeperPaths {
    /// The state directory.
    pub state: PathBuf,
}

impl KeeperPaths {
    /// Where the keeper listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state.join("keeper.sock")
    }

    /// The keeper's own directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.state.join("keeper")
    }

    /// Where test processes connect; in the environment of each, by which a new keeper recognises them.
    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.state.join("agent.sock")
    }
}

/// Runs a keeper until it is told to end, or its state directory is gone and nothing lives.
///
/// # Errors
/// When another keeper works for this state directory, or the directory can not be used.
pub fn run(arguments: &KeeperArguments) -> anyhow::Result<()> {
    crate::begin();
    let state = std::fs::canonicalize(&arguments.state).context("find the state directory")?;
    let paths = KeeperPaths { state };
    std::fs::create_dir_all(paths.directory()).context("make the keeper's directory")?;
    // A session of its own: what ends the agent's terminal or group does not reach it. It fails only where that is so already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become a subreaper")?;
    let _lock = Lock::take(&paths.directory().join("lock"))?;
    let keeper = open(&paths)?;
    spawn::start_threads(&keeper, SPAWN_THREADS).context("start the spawning threads")?;
    reap::start_threads(&keeper).context("start the reaping threads")?;
    server::serve(&keeper, &paths)
}

fn open(paths: &KeeperPaths) -> anyhow::Result<Arc<table::Keeper>> {
    let (exits, unknown) = exits::Exits::open(&paths.directory()).context("open the journal of exits")?;
    let cgroups = cgroup::Cgroups::find(&paths.state);
    let keeper = Arc::new(table::Keeper::new(exits, cgroups, paths.agent_socket()).context("start a thread")?);
    keeper.adopt(unknown, &descendants::of_socket(&paths.agent_socket()));
    Ok(keeper)
}

/// The state directory is still there.
pub(crate) fn is_state_there(state: &Path) -> bool {
    state.join("keeper").is_dir()
}
