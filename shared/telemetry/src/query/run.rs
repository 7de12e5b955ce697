//! Which run is meant.

use muster_model::RunId;
use muster_store::{Error, Result, Store};

/// A run that the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Pool time of its start, as text.
    pub started: String,
}

/// The run of this number, or the newest for 0; none when the store does not know it.
///
/// # Errors
/// As the store.
pub async fn find_run(store: &Store, wanted: RunId) -> Result<Option<Run>> {
    let client = store.client().await?;
    let select = "SELECT run, muster_text(min(started_at)) FROM \
        (SELECT run, started_at FROM run UNION ALL SELECT run, started_at FROM job) AS known \
        WHERE $1::bigint = 0 OR run = $1 GROUP BY run ORDER BY run DESC LIMIT 1";
    let row = client.query_opt(select, &[&i64::from(wanted.0)]).await.map_err(Error::doing("find the run"))?;
    Ok(row.map(|row| {
        let number = u32::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        Run { id: RunId(number), started: row.get(1) }
    }))
}
