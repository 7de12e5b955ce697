//! Who logs in to the store beside its owner, who is the telemetry-logger: the report service, which only reads.

use crate::{Error, Result, Store};

/// Role of the report service; migration V16 says what it may.
pub const REPORT_ROLE: &str = "muster_report";

impl Store {
    /// Lets the report service log in with this password, and with no former one. The server is told what it verifies passwords by
    /// (SCRAM-SHA-256), and not the password, so that no log of it has that.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Broken`] where the owner of the store may not change roles.
    pub async fn let_report_in(&self, password: &str) -> Result<()> {
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        let client = self.client().await?;
        let what = "let the report service log in";
        let statement = format!("ALTER ROLE {REPORT_ROLE} LOGIN PASSWORD '{verifier}'");
        client.batch_execute(&statement).await.map_err(Error::doing(what))
    }
}
