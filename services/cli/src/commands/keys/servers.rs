//! The servers of the pool, as their operator reaches them: so that what is written here counts at once.

use std::path::Path;
use std::time::Duration;

use muster_bus::{Access, Bus, BusError, BusOptions, Credentials, Identity};

use crate::arguments::{ChangeArguments, Global};
use crate::exit::Failure;
use crate::keys::Directory;

/// The servers are reached within this, or as `--timeout` says if that is less.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// What is to be done where they are not.
const OTHERWISE: &str = "or say --offline, and then `nats-server --signal reload` on each server";

/// The servers, or nobody where only files are to be written.
pub(super) struct Servers {
    operator: Option<Bus>,
}

impl Servers {
    /// Reaches them before anything is changed.
    ///
    /// # Errors
    /// When none answers; nothing was changed.
    pub(super) async fn reach(global: &Global, change: &ChangeArguments) -> Result<Self, Failure> {
        if change.offline {
            return Ok(Self { operator: None });
        }
        let file = Directory::open(&change.at.keys)?.credentials(&Identity::Operator);
        let operator = connect(global, &file).await.map_err(|error| {
            Failure::Unreachable(format!(
                "failed to {error}; nothing was changed: make the server reachable, {OTHERWISE}"
            ))
        })?;
        Ok(Self { operator: Some(operator) })
    }

    /// Makes them read what was written, and gives their names; none where only files are written.
    ///
    /// # Errors
    /// When one does not: what was written is not in force there.
    pub(super) async fn reload(&self) -> Result<Vec<String>, Failure> {
        let Some(operator) = &self.operator else {
            eprintln!("muster: written, and not in force until each server was told: `nats-server --signal reload`");
            return Ok(Vec::new());
        };
        operator.reload_servers().await.map_err(not_in_force)
    }

    /// The same, where the operator's own key is another now: the servers cut the old connection before they answer on it.
    ///
    /// # Errors
    /// When the new key is not let in.
    pub(super) async fn reload_with_another_key(&self, global: &Global, file: &Path) -> Result<Vec<String>, Failure> {
        if self.operator.is_some() {
            // Whether it was done shows in that the new key is let in.
            let _ = self.reload().await;
            return connect(global, file).await.map_err(not_in_force)?.reload_servers().await.map_err(not_in_force);
        }
        self.reload().await
    }
}

fn not_in_force(error: BusError) -> Failure {
    Failure::Unreachable(format!("failed to {error}; it is written, and not in force everywhere: {OTHERWISE}"))
}

async fn connect(global: &Global, file: &Path) -> Result<Bus, BusError> {
    let access = Credentials::open(file).map(Access::Credentials)?;
    let mut options = BusOptions::new(&global.nats, "cli/operator", access);
    options.connect_timeout = CONNECT_TIMEOUT_MAX.min(global.timeout);
    Bus::connect(&options).await
}
