//! Positions, repeats, what could not be taken, and the archive's reading side.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::text::hex;
use muster_model::{PoolTime, Position};
use muster_proto::v1;
use muster_store::{Error, Result, Stamp, Store, Transaction};
use serde_json::json;

use super::rows::{insert, number, time};
use crate::records::{Gap, Offset, Origin, Reject};

/// Of a rejected message so many bytes are kept.
const REJECT_BYTES_MAX: usize = 64 * 1024;
/// Rows and bytes of an archive page at most.
const PAGE_ROWS_MAX: i64 = 256;
const PAGE_BYTES_MAX: i64 = 512 * 1024;

/// A stream's position; it begins at 0 when this life of the stream is new. Then `earlier` is the newest epoch that was known
/// before.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The position.
    pub offset: Offset,
    /// The epoch of the stream's life before, when this one is new.
    pub earlier: Option<i64>,
}

/// Reads the position of a stream in this epoch, and makes it when it is new. A stream that was made again is a gap.
///
/// # Errors
/// As the store.
pub async fn load_offset(store: &Store, stream: &str, epoch: i64) -> Result<Loaded> {
    let failed = Error::doing("read the position of a stream");
    let mut client = store.client().await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let insert = "INSERT INTO stream_offset (stream, shard, epoch) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
    let made = transaction.execute(insert, &[&stream, &epoch]).await.map_err(&failed)?;
    let select = "SELECT last_seq, (SELECT max(epoch) FROM stream_offset WHERE stream = $1 AND epoch <> $2) \
                  FROM stream_offset WHERE stream = $1 AND shard = 0 AND epoch = $2";
    let row = transaction.query_one(select, &[&stream, &epoch]).await.map_err(&failed)?;
    let earlier: Option<i64> = if made == 1 { row.get(1) } else { None };
    if earlier.is_some() {
        let gap = "INSERT INTO gap (place, epoch, first, last, reason) VALUES ($1, $2, 0, 0, \
                   'the stream was made again: what it held before and was not taken is lost')";
        transaction.execute(gap, &[&stream, &epoch]).await.map_err(&failed)?;
    }
    transaction.commit().await.map_err(&failed)?;
    let last = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
    Ok(Loaded { offset: Offset { stream: stream.to_owned(), epoch, last }, earlier })
}

/// Newest batches of some agents.
///
/// # Errors
/// As the store.
pub async fn last_batches(store: &Store, stream: &str, origins: &BTreeSet<Origin>) -> Result<BTreeMap<Origin, u64>> {
    let client = store.client().await?;
    let machines: Vec<&str> = origins.iter().map(|origin| origin.machine.as_str()).collect();
    let incarnations: Vec<i64> = origins.iter().map(|origin| number(origin.incarnation)).collect();
    let select = "SELECT machine, incarnation, last_batch FROM agent_batch \
                  JOIN unnest($2::text[], $3::bigint[]) AS asked(machine, incarnation) USING (machine, incarnation) \
                  WHERE stream = $1";
    let rows = client.query(select, &[&stream, &machines, &incarnations]).await;
    let rows = rows.map_err(Error::doing("read the newest batches"))?;
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let origin = |row: &tokio_postgres::Row| Origin { machine: row.get(0), incarnation: positive(row.get(1)) };
    Ok(rows.iter().map(|row| (origin(row), positive(row.get(2)))).collect())
}

/// Moves a position; false when it was not where it was expected.
pub(super) async fn move_offset(
    transaction: &Transaction<'_>,
    from: &Offset,
    to: u64,
    stored: Option<PoolTime>,
) -> Result<bool> {
    let update = "UPDATE stream_offset SET last_seq = $4, updated_at = now(), stored_at = coalesce($5, stored_at) \
                  WHERE stream = $1 AND shard = 0 AND epoch = $2 AND last_seq = $3";
    let (before, after, stored) = (number(from.last), number(to), stored.map(Stamp));
    let moved = transaction.execute(update, &[&from.stream, &from.epoch, &before, &after, &stored]).await;
    Ok(moved.map_err(Error::doing("move the position of a stream"))? == 1)
}

pub(super) async fn write_batches(
    transaction: &Transaction<'_>,
    from: &Offset,
    batches: &BTreeMap<Origin, u64>,
) -> Result<()> {
    let statement = "INSERT INTO agent_batch (stream, machine, incarnation, last_batch) \
        SELECT stream, machine, incarnation, last_batch FROM jsonb_to_recordset($1) \
        AS r(stream text, machine text, incarnation bigint, last_batch bigint) \
        ON CONFLICT (stream, machine, incarnation) DO UPDATE SET last_batch = excluded.last_batch, updated_at = now()";
    let rows = batches.iter().map(|(origin, batch)| {
        json!({"stream": from.stream, "machine": origin.machine, "incarnation": number(origin.incarnation),
               "last_batch": number(*batch)})
    });
    insert(transaction, "write the newest batches", statement, rows).await?;
    if batches.is_empty() {
        return Ok(());
    }
    let machines: Vec<&str> = batches.keys().map(|origin| origin.machine.as_str()).collect();
    let forget = "DELETE FROM agent_batch WHERE stream = $1 AND machine = ANY($2) \
                  AND updated_at < now() - interval '15 days'";
    let forgotten = transaction.execute(forget, &[&from.stream, &machines]).await;
    forgotten.map(drop).map_err(Error::doing("forget old incarnations"))
}

pub(super) async fn write_rejects(transaction: &Transaction<'_>, from: &Offset, rejects: &[Reject]) -> Result<()> {
    let statement = "INSERT INTO reject (stream, epoch, sequence, stored_at, subject, reason, items, payload) \
        SELECT stream, epoch, sequence, muster_time(stored), subject, reason, items, decode(payload, 'hex') \
        FROM jsonb_to_recordset($1) AS r(stream text, epoch bigint, sequence bigint, stored bigint, subject text, \
        reason text, items integer, payload text)";
    let rows = rejects.iter().map(|reject| {
        let payload = &reject.payload[..reject.payload.len().min(REJECT_BYTES_MAX)];
        json!({"stream": from.stream, "epoch": from.epoch, "sequence": number(reject.sequence),
               "stored": time(reject.stored), "subject": reject.subject, "reason": reject.reason,
               "items": reject.items.min(i32::MAX.unsigned_abs()), "payload": hex(payload)})
    });
    insert(transaction, "write rejects", statement, rows).await.map(drop)
}

pub(super) async fn write_gaps(transaction: &Transaction<'_>, from: &Offset, gaps: &[Gap]) -> Result<()> {
    let statement = "INSERT INTO gap (place, epoch, machine, first, last, reason) \
        SELECT place, epoch, machine, first, last, reason FROM jsonb_to_recordset($1) \
        AS r(place text, epoch bigint, machine text, first bigint, last bigint, reason text)";
    let rows = gaps.iter().map(|gap| {
        json!({"place": gap.place, "epoch": from.epoch, "machine": gap.machine, "first": number(gap.first),
               "last": number(gap.last), "reason": gap.reason})
    });
    insert(transaction, "write gaps", statement, rows).await.map(drop)
}

/// A page of the archive from a position on, in order: at most 256 rows and 512 KiB, at least one row where there is one.
///
/// # Errors
/// As the store.
pub async fn archive_page(store: &Store, log: &str, from: Position, limit: u32) -> Result<Vec<v1::ArchivedMessage>> {
    let client = store.client().await?;
    let limit = if limit == 0 { PAGE_ROWS_MAX } else { i64::from(limit).min(PAGE_ROWS_MAX) };
    let select = "SELECT lineage, sequence, hash, subject, payload FROM ( \
        SELECT *, sum(length(payload)) OVER (ORDER BY lineage, sequence) - length(payload) AS before FROM ( \
        SELECT lineage, sequence, hash, subject, payload FROM archive \
        WHERE log = $1 AND (lineage, sequence) >= ($2, $3) ORDER BY lineage, sequence LIMIT $4) AS page) AS sized \
        WHERE before = 0 OR before + length(payload) <= $5 ORDER BY lineage, sequence";
    let (lineage, sequence) = (number(from.lineage.0), number(from.sequence.0));
    let rows = client.query(select, &[&log, &lineage, &sequence, &limit, &PAGE_BYTES_MAX]).await;
    Ok(rows.map_err(Error::doing("read the archive"))?.iter().map(archived).collect())
}

/// The newest row of the archive of a log, without its payload; none when nothing is archived.
///
/// # Errors
/// As the store.
pub async fn archive_head(store: &Store, log: &str) -> Result<Option<v1::ArchivedMessage>> {
    let client = store.client().await?;
    let select = "SELECT lineage, sequence, hash, subject, ''::bytea FROM archive \
                  WHERE log = $1 ORDER BY lineage DESC, sequence DESC LIMIT 1";
    let row = client.query_opt(select, &[&log]).await.map_err(Error::doing("read the head of the archive"))?;
    Ok(row.as_ref().map(archived))
}

fn archived(row: &tokio_postgres::Row) -> v1::ArchivedMessage {
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    v1::ArchivedMessage {
        position: Some(v1::Position { lineage: positive(row.get(0)), sequence: positive(row.get(1)) }),
        hash: row.get::<_, Vec<u8>>(2).into(),
        payload: row.get::<_, Vec<u8>>(4).into(),
        subject: row.get(3),
    }
}
