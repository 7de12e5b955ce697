//! Migrations: forward only, in `migrations/`, one instance at a time.

use crate::{Error, Result, Store};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Key of the advisory lock that migrating processes take: "muster" in ASCII.
const LOCK: i64 = 0x6d75_7374_6572;

impl Store {
    /// Brings the schema to this version's; returns the names of the migrations that were missing. Waits for another process that
    /// does the same, up to the lock time-out.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Broken`] when the schema is of a newer Muster or of something else.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        let mut client = self.client().await?;
        let what = "lock the schema for migration";
        client.query("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(Error::doing(what))?;
        let applied = apply(&mut client).await;
        let unlocked = client.query("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
        if applied.is_err() || unlocked.is_err() {
            // Closing the connection gives the lock back in any case.
            Self::discard(client);
        }
        applied
    }
}

async fn apply(client: &mut crate::Client) -> Result<Vec<String>> {
    let client: &mut tokio_postgres::Client = client;
    let report = embedded::migrations::runner().run_async(client).await.map_err(|error| judge(&error))?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// What refinery hides: PostgreSQL's own error decides; without one, the schema is not what this version knows.
fn judge(error: &refinery::Error) -> Error {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(inner) = inner.downcast_ref::<tokio_postgres::Error>() {
            return Error::judge("migrate the schema", inner);
        }
        source = inner.source();
    }
    Error::broken("migrate the schema", error, "use an empty database, or the Muster that made this one")
}
