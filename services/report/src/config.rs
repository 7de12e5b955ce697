//! Arguments, and the bounds of the service.

use std::time::Duration;

use muster_store::{Access, StoreArguments, StoreOptions};

/// Answers questions about the past, from PostgreSQL.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "muster-report", version)]
pub struct Arguments {
    /// What every service has.
    #[command(flatten)]
    pub common: muster_chassis::CommonArguments,
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArguments,
}

/// Questions that are answered at once; more wait.
pub(crate) const QUESTIONS_MAX: usize = 8;

/// How the service uses the store: it only reads, and no question takes longer than its asker waits.
pub(crate) fn store_options() -> StoreOptions {
    StoreOptions {
        application: "muster-report".into(),
        access: Access::Read,
        connections_max: QUESTIONS_MAX,
        statement_timeout: Duration::from_secs(10),
    }
}
