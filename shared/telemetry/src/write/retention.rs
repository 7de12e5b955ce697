//! Retention: what tables drop once it is old. Off by default; events, errors and final reports are never dropped.

use std::time::Duration;

use muster_store::{Client, Error, Result, Store};

use super::compaction::DROP_WAIT;

/// Partitions and rows that one pass takes away at most, of each table.
const DROPPED_MAX: i64 = 100_000;

/// How old rows of a table go.
enum Way {
    /// By whole days.
    Days,
    /// Row by row: its column of time.
    Rows(&'static str),
}

/// Every table whose retention can be set.
const TABLES: [(&str, Way); 4] = [
    ("chunk", Way::Days),
    ("reject", Way::Rows("stored_at")),
    ("gap", Way::Rows("noticed_at")),
    ("compaction", Way::Rows("ended_at")),
];

/// Names of all tables whose retention can be set.
#[must_use]
pub fn retained_tables() -> Vec<&'static str> {
    TABLES.iter().map(|(name, _)| *name).collect()
}

/// How long each table keeps what it holds, as far as it is limited.
///
/// # Errors
/// As the store.
pub async fn retentions(store: &Store) -> Result<Vec<(String, Duration)>> {
    let client = store.client().await?;
    let select = "SELECT name, extract(epoch FROM keep)::bigint FROM retention ORDER BY name LIMIT 100";
    let rows = client.query(select, &[]).await.map_err(Error::doing("read the retention"))?;
    Ok(rows.iter().map(|row| (row.get(0), Duration::from_secs(row.get::<_, i64>(1).unsigned_abs()))).collect())
}

/// Sets how long a table keeps what it holds; none keeps everything. False when there is no such table.
///
/// # Errors
/// As the store.
pub async fn set_retention(store: &Store, table: &str, keep: Option<Duration>, by: &str) -> Result<bool> {
    if !retained_tables().contains(&table) {
        return Ok(false);
    }
    let client = store.client().await?;
    let failed = Error::doing("set the retention");
    match keep {
        None => client.execute("DELETE FROM retention WHERE name = $1", &[&table]).await.map_err(failed)?,
        Some(keep) => {
            let seconds = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            let insert = "INSERT INTO retention (name, keep, set_by) VALUES ($1, $2::bigint * interval '1 second', $3) \
                          ON CONFLICT (name) DO UPDATE SET keep = excluded.keep, set_by = excluded.set_by, set_at = now()";
            client.execute(insert, &[&table, &seconds, &by]).await.map_err(failed)?
        }
    };
    Ok(true)
}

/// Takes away what is older than the retention says; gives the number of partitions and rows that went.
///
/// # Errors
/// As the store.
pub async fn retain(store: &Store) -> Result<u64> {
    let mut gone = 0;
    for (name, keep) in retentions(store).await? {
        let client = store.client().await?;
        let seconds = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        match TABLES.iter().find(|(table, _)| *table == name) {
            Some((_, Way::Days)) => gone += drop_days(&client, seconds).await?,
            Some((table, Way::Rows(column))) => gone += delete_rows(&client, table, column, seconds).await?,
            None => return Err(unknown(&name)),
        }
    }
    Ok(gone)
}

fn unknown(name: &str) -> Error {
    Error::broken("keep to the retention", format!("there is no table `{name}`"), "delete its row in `retention`")
}

/// Drops whole days of chunks, and deletes what is that old where there are no days.
async fn drop_days(client: &Client, seconds: i64) -> Result<u64> {
    let what = "drop old days of chunks";
    let select = "SELECT part.relname::text FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid \
        WHERE inhparent = 'chunk'::regclass AND part.relname ~ '^chunk_[0-9]{8}$' \
          AND to_timestamp(substr(part.relname::text, 7), 'YYYYMMDD') + interval '1 day' \
              <= now() - $1::bigint * interval '1 second' ORDER BY 1 LIMIT $2";
    let days = client.query(select, &[&seconds, &DROPPED_MAX]).await.map_err(Error::doing(what))?;
    for day in &days {
        let name: String = day.get(0);
        let forget = forget_day(&name);
        let drop = format!("BEGIN; SET LOCAL lock_timeout = '{DROP_WAIT}'; DROP TABLE {name}; {forget} COMMIT");
        if let Err(error) = client.batch_execute(&drop).await.map_err(Error::doing(what)) {
            client.batch_execute("ROLLBACK").await.map_err(Error::doing(what))?;
            return Err(error);
        }
    }
    let rest = delete_rows(client, "chunk_rest", "t0", seconds).await?;
    Ok(days.len() as u64 + rest)
}

/// Statements that take away what was rolled up of a day, by the name of its partition.
fn forget_day(partition: &str) -> String {
    let date = partition.trim_start_matches("chunk_");
    let delete = |table| format!("DELETE FROM {table} WHERE t0 = to_timestamp('{date}', 'YYYYMMDD');");
    ["chunk_day", "unrolled_series", "rolled_day"].map(delete).concat()
}

async fn delete_rows(client: &Client, table: &str, column: &str, seconds: i64) -> Result<u64> {
    let delete = format!(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} \
         WHERE {column} < now() - $1::bigint * interval '1 second' LIMIT $2))"
    );
    client.execute(&delete, &[&seconds, &DROPPED_MAX]).await.map_err(Error::doing("delete old rows"))
}

/// Tables that hold nothing but samples and what is counted of them.
const OF_SAMPLES: &str =
    "sample, chunk, chunk_day, rolled_day, unrolled_series, layout_total, layout, series, compaction, series_bound";

/// What [`reinitialise`] took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Values of samples that were stored, by the totals.
    pub samples: u64,
    /// Series.
    pub series: u64,
}

/// Takes away all samples, with their series and what was counted of them. Positions stay, so nothing is stored again.
///
/// # Errors
/// As the store; then nothing changed.
pub async fn reinitialise(store: &Store) -> Result<Emptied> {
    let what = "take all samples away";
    let mut client = store.client().await?;
    let transaction = client.transaction().await.map_err(Error::doing(what))?;
    // Exclusive first: what is counted is what goes.
    let lock = format!("LOCK TABLE {OF_SAMPLES} IN ACCESS EXCLUSIVE MODE");
    transaction.batch_execute(&lock).await.map_err(Error::doing(what))?;
    let select = "SELECT coalesce((SELECT sum(samples) FROM layout_total), 0)::bigint, (SELECT count(*) FROM series)";
    let row = transaction.query_one(select, &[]).await.map_err(Error::doing(what))?;
    let number = |column: usize| row.get::<_, i64>(column).unsigned_abs();
    let emptied = Emptied { samples: number(0), series: number(1) };
    transaction.batch_execute(&format!("TRUNCATE {OF_SAMPLES}")).await.map_err(Error::doing(what))?;
    transaction.commit().await.map_err(Error::doing(what))?;
    Ok(emptied)
}
