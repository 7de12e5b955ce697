//! Compaction of one hour: its partition of `sample` becomes chunks, in one transaction.
//!
//! Readers see each sample once: chunks appear and the partition goes at one commit, and the lock on `sample` that dropping takes is held
//! only for that, after all the work. Memory is bounded: rows come through a cursor, by groups of layouts and time.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use muster_model::{PoolTime, nanoseconds};
use muster_store::{Client, Error, Result, Stamp, Store, Transaction, copy_rows};
use postgres_types::{ToSql, Type};

use super::partitions::{self, partition_name, start};
use super::rollup;
use crate::chunk::{self, Chunk, Gather, HOUR, Placed};
use crate::records::MetricKind;

/// Key of the advisory lock of who compacts or rolls up: "compact" in ASCII.
const LOCK: i64 = 0x63_6f6d_7061_6374;
/// Rows of a fetch: with 200 values each, 6 MiB.
const ROWS_FETCHED: i32 = 4_000;
/// Chunks that are copied at once.
const CHUNKS_COPIED: usize = 5_000;
/// Sorting 10,000 machines' hour takes minutes on a slow disk, and nobody waits for it.
const STATEMENT_TIMEOUT: &str = "15min";
/// Memory of the sort.
const SORT_MEMORY: &str = "128MB";
/// Whoever wants `sample` queues behind us while we wait for it: so we wait shortly, and often.
pub(super) const DROP_WAIT: &str = "500ms";
const DROP_PAUSE: Duration = Duration::from_millis(500);
const DROP_ATTEMPTS: usize = 120;
/// Times that are further in the past than this go to the partition for the rest, in days: not every wrong clock gets one.
const DAYS_BACK: i64 = 31;

/// What became of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compaction {
    /// It is compacted.
    Done(Compacted),
    /// There is no such partition any more.
    Gone,
    /// Another replica compacts.
    Busy,
}

/// What was compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The partition that became chunks.
    pub partition: String,
    /// Values, without the missing and the repeated.
    pub samples: u64,
    /// Rows.
    pub chunks: u64,
    /// Bytes of the partition.
    pub hot_bytes: u64,
    /// Bytes of what was packed.
    pub bytes: u64,
    /// Time that it took.
    pub took: Duration,
}

/// Compacts an hour (since 1970). The caller knows that nothing more comes into it.
///
/// # Errors
/// As the store; then nothing changed, or, where the answer to the commit was lost, everything.
pub async fn compact(store: &Store, hour: i64) -> Result<Compaction> {
    let begun = Instant::now();
    let mut client = store.client().await?;
    let partition = partition_name(&client, hour).await?;
    if !exists(&client, &partition).await? {
        return Ok(Compaction::Gone);
    }
    make_days(&mut client, &partition, hour).await?;
    let outcome = transact(&mut client, &partition, hour, begun).await;
    if outcome.is_err() {
        Store::discard(client);
    }
    outcome
}

async fn exists(client: &Client, partition: &str) -> Result<bool> {
    let row = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&partition]).await;
    Ok(row.map_err(Error::doing("look for a partition"))?.get(0))
}

/// Makes the days that chunks of a partition need, as far as they get one.
async fn make_days(client: &mut Client, partition: &str, hour: i64) -> Result<()> {
    let what = "make days for chunks";
    let transaction = client.transaction().await.map_err(Error::doing(what))?;
    set_limits(&transaction).await?;
    let select = format!(
        "SELECT DISTINCT (extract(epoch FROM date_trunc('day', ts, 'UTC')) / 3600)::bigint FROM {partition} \
         WHERE ts >= $1 AND ts < $2"
    );
    let (from, to) = (start(hour - DAYS_BACK * 24), start(hour + 25));
    let rows = transaction.query(&select, &[&from, &to]).await.map_err(Error::doing(what))?;
    transaction.commit().await.map_err(Error::doing(what))?;
    let transaction = client.transaction().await.map_err(Error::doing(what))?;
    partitions::lock(&transaction).await?;
    for row in rows {
        partitions::make_day(&transaction, row.get(0)).await?;
    }
    transaction.commit().await.map_err(Error::doing(what))
}

/// Nobody else compacts or rolls up until the transaction ends; false where somebody does.
pub(super) async fn is_alone(transaction: &Transaction<'_>) -> Result<bool> {
    let locked = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await;
    Ok(locked.map_err(Error::doing("lock compaction"))?.get(0))
}

pub(super) async fn set_limits(transaction: &Transaction<'_>) -> Result<()> {
    let set = format!("SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'; SET LOCAL work_mem = '{SORT_MEMORY}'");
    transaction.batch_execute(&set).await.map_err(Error::doing("set the limits of a compaction"))
}

async fn transact(client: &mut Client, partition: &str, hour: i64, begun: Instant) -> Result<Compaction> {
    let what = "compact an hour";
    let mut transaction = client.transaction().await.map_err(Error::doing(what))?;
    set_limits(&transaction).await?;
    // The lock first, then the look: another replica may have compacted it while we came.
    if !is_alone(&transaction).await? {
        return Ok(Compaction::Busy);
    }
    let select = "SELECT pg_total_relation_size(to_regclass($1)), \
                  (SELECT count(*) FROM compaction WHERE compaction.partition = $1)";
    let row = transaction.query_one(select, &[&partition]).await.map_err(Error::doing(what))?;
    let (Some(hot_bytes), times_before) = (row.get::<_, Option<i64>>(0), row.get::<_, i64>(1)) else {
        return Ok(Compaction::Gone);
    };
    let rolled = rollup::rolled_days(&transaction).await?;
    let gather = Gather::new(layouts(&transaction, partition).await?, hour, times_before);
    let mut compacted = Compacted {
        partition: partition.into(),
        samples: 0,
        chunks: 0,
        hot_bytes: hot_bytes.unsigned_abs(),
        bytes: 0,
        took: Duration::ZERO,
    };
    rewrite(&transaction, gather, &rolled, &mut compacted).await?;
    drop_partition(&mut transaction, partition).await?;
    compacted.took = begun.elapsed();
    note(&transaction, &compacted).await?;
    transaction.commit().await.map_err(Error::doing(what))?;
    Ok(Compaction::Done(compacted))
}

/// The layouts that a partition uses.
async fn layouts(transaction: &Transaction<'_>, partition: &str) -> Result<HashMap<i64, Placed>> {
    let select = format!(
        "SELECT layout.id, place.series_id, coalesce(series.kind, 'gauge') \
         FROM layout CROSS JOIN LATERAL unnest(layout.series) WITH ORDINALITY AS place(series_id, nth) \
         LEFT JOIN series ON series.id = place.series_id \
         WHERE layout.id IN (SELECT DISTINCT layout_id FROM {partition}) ORDER BY layout.id, nth"
    );
    let rows = transaction.query(&select, &[]).await.map_err(Error::doing("read the layouts of an hour"))?;
    let mut lists: HashMap<i64, Vec<(i64, MetricKind)>> = HashMap::new();
    for row in &rows {
        let kind = MetricKind::parse(row.get(2)).unwrap_or(MetricKind::Gauge);
        lists.entry(row.get(0)).or_default().push((row.get(1), kind));
    }
    let series: Vec<(i64, Vec<i64>)> =
        lists.iter().map(|(layout, list)| (*layout, list.iter().map(|(id, _)| *id).collect())).collect();
    let groups = chunk::groups(series.iter().map(|(layout, list)| (*layout, list.as_slice())));
    Ok(lists.into_iter().map(|(layout, series)| (layout, Placed { group: groups[&layout], series })).collect())
}

/// Reads the partition and writes chunks, a part at a time.
async fn rewrite(
    transaction: &Transaction<'_>,
    mut gather: Gather,
    rolled: &BTreeSet<i64>,
    compacted: &mut Compacted,
) -> Result<()> {
    let what = "read an hour of samples";
    let (layouts, groups) = gather.grouped();
    let select = format!(
        "SELECT layout_id, ts, vals FROM {} AS hot JOIN unnest($1::bigint[], $2::bigint[]) AS grouped(id, g) \
         ON grouped.id = hot.layout_id ORDER BY g, ts, stream_seq",
        compacted.partition
    );
    let statement = transaction.prepare(&select).await.map_err(Error::doing(what))?;
    let portal = transaction.bind(&statement, &[&layouts, &groups]).await.map_err(Error::doing(what))?;
    loop {
        let rows = transaction.query_portal(&portal, ROWS_FETCHED).await.map_err(Error::doing(what))?;
        for row in &rows {
            let (Stamp(at), values) = (row.get(1), row.get::<_, Vec<f64>>(2));
            gather.push(row.get(0), at.0, &values);
        }
        if rows.is_empty() {
            gather.finish();
        }
        if rows.is_empty() || gather.ready.len() >= CHUNKS_COPIED {
            let chunks = std::mem::take(&mut gather.ready);
            write_chunks(transaction, &chunks, compacted).await?;
            rollup::unroll(transaction, &chunks, rolled).await?;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn write_chunks(transaction: &Transaction<'_>, chunks: &[Chunk], compacted: &mut Compacted) -> Result<()> {
    let (int, float, time, bytes) = (Type::INT8, Type::FLOAT8, Type::TIMESTAMPTZ, Type::BYTEA);
    let types = [
        int.clone(),
        time.clone(),
        int,
        Type::INT4,
        float.clone(),
        float.clone(),
        float.clone(),
        float.clone(),
        time.clone(),
        time,
        float.clone(),
        float.clone(),
        float,
        bytes.clone(),
        bytes.clone(),
        bytes,
    ];
    let stamps: Vec<(Stamp, Stamp, Stamp, i32)> = chunks.iter().map(stamps).collect();
    let rows = chunks.iter().zip(&stamps).map(|(chunk, (t0, first, last, count))| -> [&(dyn ToSql + Sync); 16] {
        let of = &chunk.summary;
        [
            &chunk.series,
            t0,
            &chunk.part,
            count,
            &of.min,
            &of.max,
            &of.sum,
            &of.sum_squares,
            first,
            last,
            &of.first,
            &of.last,
            &of.increase,
            &chunk.sketch,
            &chunk.times,
            &chunk.values,
        ]
    });
    let target = "chunk (series_id, t0, part, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, \
                  sketch, times, vals)";
    compacted.chunks += copy_rows(transaction, target, &types, rows).await?;
    for chunk in chunks {
        compacted.samples += u64::from(chunk.summary.count);
        compacted.bytes += chunk.packed_bytes() as u64;
    }
    Ok(())
}

fn stamps(chunk: &Chunk) -> (Stamp, Stamp, Stamp, i32) {
    let at = |time: i64| Stamp(PoolTime(time));
    let count = i32::try_from(chunk.summary.count).unwrap_or(i32::MAX);
    debug_assert_eq!(chunk.hour % HOUR, 0, "chunks begin with their hour");
    (at(chunk.hour), at(chunk.summary.first_at), at(chunk.summary.last_at), count)
}

/// Takes the partition away, which waits for whoever reads or writes `sample` just now.
async fn drop_partition(transaction: &mut Transaction<'_>, partition: &str) -> Result<()> {
    let what = "drop a compacted partition";
    let mut attempts = 0;
    loop {
        attempts += 1;
        let savepoint = transaction.transaction().await.map_err(Error::doing(what))?;
        let drop = format!("SET LOCAL lock_timeout = '{DROP_WAIT}'; DROP TABLE {partition}");
        match savepoint.batch_execute(&drop).await.map_err(Error::doing(what)) {
            Ok(()) => return savepoint.commit().await.map_err(Error::doing(what)),
            Err(error) if error.is_unavailable() && attempts < DROP_ATTEMPTS => {
                savepoint.rollback().await.map_err(Error::doing(what))?;
                tokio::time::sleep(DROP_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn note(transaction: &Transaction<'_>, compacted: &Compacted) -> Result<()> {
    let insert = "INSERT INTO compaction (partition, samples, chunks, hot_bytes, bytes, took) \
                  VALUES ($1, $2, $3, $4, $5, $6::bigint * interval '1 microsecond')";
    let number = super::rows::number;
    let (samples, chunks) = (number(compacted.samples), number(compacted.chunks));
    let (hot, bytes, took) =
        (number(compacted.hot_bytes), number(compacted.bytes), nanoseconds(compacted.took) / 1_000);
    let noted = transaction.execute(insert, &[&compacted.partition, &samples, &chunks, &hot, &bytes, &took]).await;
    noted.map(drop).map_err(Error::doing("note a compaction"))
}
