//! Partitions: hours of `sample`, days of `chunk`. They are made in short transactions of their own, because that locks the whole table.

use muster_model::{PoolTime, nanoseconds};
use muster_store::{Client, Error, Result, Stamp, Store, Transaction};
use std::time::Duration;

use crate::chunk::HOUR;

/// Key of the advisory lock under which partitions are made: "sample" in ASCII.
const PARTITION_LOCK: i64 = 0x7361_6d70_6c65;
/// Hours that are listed at once.
const HOURS_MAX: i64 = 1_000;

/// Nobody else makes partitions until the transaction ends.
pub(super) async fn lock(transaction: &Transaction<'_>) -> Result<()> {
    let locked = transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&PARTITION_LOCK]).await;
    locked.map(drop).map_err(Error::doing("lock the making of partitions"))
}

/// Makes the partition of `sample` for an hour (since 1970), where it is missing.
pub(super) async fn make_hour(transaction: &Transaction<'_>, hour: i64) -> Result<()> {
    let name = name_of(transaction, hour).await?;
    make(transaction, "sample", &name, hour, hour + 1).await
}

/// Makes the partition of `chunk` for the day with this hour (since 1970), where it is missing.
pub(super) async fn make_day(transaction: &Transaction<'_>, hour: i64) -> Result<()> {
    let day = hour.div_euclid(24) * 24;
    let failed = Error::doing("name a day");
    let select = "SELECT to_char(to_timestamp($1::bigint::float8 * 3600), 'YYYYMMDD')";
    let row = transaction.query_one(select, &[&day]).await.map_err(failed)?;
    make(transaction, "chunk", &format!("chunk_{}", row.get::<_, String>(0)), day, day + 24).await
}

async fn make(transaction: &Transaction<'_>, table: &str, name: &str, from: i64, to: i64) -> Result<()> {
    let what = "make a partition for samples";
    let select = "SELECT to_regclass($3) IS NOT NULL, to_timestamp($1::bigint::float8 * 3600)::text, \
                  to_timestamp($2::bigint::float8 * 3600)::text";
    let row = transaction.query_one(select, &[&from, &to, &name]).await.map_err(Error::doing(what))?;
    if row.get(0) {
        return Ok(());
    }
    let (from, to): (String, String) = (row.get(1), row.get(2));
    let create = format!("CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{from}') TO ('{to}')");
    transaction.batch_execute(&create).await.map_err(Error::doing(what))
}

/// The name of the partition of `sample` for an hour (since 1970).
///
/// # Errors
/// As the store.
pub async fn partition_name(client: &Client, hour: i64) -> Result<String> {
    let row = client.query_one(NAME, &[&hour]).await.map_err(Error::doing("name a partition"))?;
    Ok(row.get(0))
}

async fn name_of(transaction: &Transaction<'_>, hour: i64) -> Result<String> {
    let row = transaction.query_one(NAME, &[&hour]).await.map_err(Error::doing("name a partition"))?;
    Ok(row.get(0))
}

const NAME: &str = "SELECT to_char(to_timestamp($1::bigint::float8 * 3600), '\"sample_\"YYYYMMDD_HH24')";

/// Hours (since 1970) whose hot rows are complete, the oldest first: the position in `stream` is behind a message that was stored
/// longer than `grace` after their end. The grace covers servers of the stream whose clocks differ.
///
/// # Errors
/// As the store.
pub async fn closed_hours(store: &Store, stream: &str, grace: Duration) -> Result<Vec<i64>> {
    let client = store.client().await?;
    let what = "list hours to compact";
    let Some(last) = last_closed_hour(&client, stream, grace).await? else { return Ok(Vec::new()) };
    let select = "SELECT (extract(epoch FROM to_timestamp(substr(part.relname::text, 8), 'YYYYMMDD_HH24')) / 3600)::bigint AS hour \
        FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid \
        WHERE inhparent = 'sample'::regclass ORDER BY 1 LIMIT $1";
    let rows = client.query(select, &[&HOURS_MAX]).await.map_err(Error::doing(what))?;
    Ok(rows.iter().map(|row| row.get(0)).filter(|hour| *hour <= last).collect())
}

/// The newest hour into which nothing more comes; none where that is not known.
pub(super) async fn last_closed_hour(client: &Client, stream: &str, grace: Duration) -> Result<Option<i64>> {
    let select = "SELECT stored_at FROM stream_offset WHERE stream = $1 AND shard = 0 ORDER BY epoch DESC LIMIT 1";
    let row = client.query_opt(select, &[&stream]).await.map_err(Error::doing("find the newest closed hour"))?;
    let stored = row.and_then(|row| row.get::<_, Option<Stamp>>(0));
    Ok(stored.map(|Stamp(at)| at.0.saturating_sub(nanoseconds(grace)).div_euclid(HOUR) - 1))
}

/// Start of an hour.
pub(super) fn start(hour: i64) -> Stamp {
    Stamp(PoolTime(hour * HOUR))
}
