//! Rollup of one day: the chunks of each series become one row beside them, in one transaction.
//!
//! What comes later is written down as unrolled by the compaction that makes chunks of it, so a reader never sees half of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use muster_model::{PoolTime, nanoseconds};
use muster_store::{Client, Error, Result, Stamp, Store, Transaction, copy_rows};
use postgres_types::{ToSql, Type};

use super::compaction::{is_alone, set_limits};
use super::partitions::last_closed_hour;
use crate::chunk::{Chunk, DAY, Days, Rolled, Sketch, Summary};
use crate::records::MetricKind;
use crate::stored::{damaged, summary};

/// A day is rolled up so many hours after its end: what comes until then has not to be read by its hours.
const LATE_HOURS: i64 = 3;
/// Chunks of a fetch.
const ROWS_FETCHED: i32 = 10_000;

/// What became of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// It is rolled up: so many series of it are, in so much time.
    Done(u64, Duration),
    /// It was rolled up before.
    Known,
    /// Another replica compacts or rolls up.
    Busy,
}

/// Days (since 1970) with chunks that are over and not rolled up, the oldest first. `grace` is that of compaction.
///
/// # Errors
/// As the store.
pub async fn closed_days(store: &Store, stream: &str, grace: Duration) -> Result<Vec<i64>> {
    let client = store.client().await?;
    let Some(last) = last_closed_hour(&client, stream, grace).await? else { return Ok(Vec::new()) };
    let select = "SELECT (extract(epoch FROM day.t0) / 86400)::bigint FROM ( \
            SELECT to_timestamp(substr(part.relname::text, 7), 'YYYYMMDD') AS t0 \
            FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid \
            WHERE inhparent = 'chunk'::regclass AND part.relname ~ '^chunk_[0-9]{8}$') AS day \
        WHERE NOT EXISTS (SELECT FROM rolled_day WHERE rolled_day.t0 = day.t0) ORDER BY 1";
    let rows = client.query(select, &[]).await.map_err(Error::doing("list days to roll up"))?;
    let is_over = |day: &i64| (day + 1) * 24 + LATE_HOURS <= last;
    Ok(rows.iter().map(|row| row.get(0)).filter(is_over).collect())
}

/// Rolls up a day (since 1970), whose hours the caller knows to be compacted.
///
/// # Errors
/// As the store; then nothing changed, or, where the answer to the commit was lost, everything.
pub async fn roll_up(store: &Store, day: i64) -> Result<Rollup> {
    let mut client = store.client().await?;
    let outcome = transact(&mut client, Stamp(PoolTime(day * DAY))).await;
    if outcome.is_err() {
        Store::discard(client);
    }
    outcome
}

async fn transact(client: &mut Client, day: Stamp) -> Result<Rollup> {
    let (what, begun) = ("roll up a day", Instant::now());
    let transaction = client.transaction().await.map_err(Error::doing(what))?;
    set_limits(&transaction).await?;
    if !is_alone(&transaction).await? {
        return Ok(Rollup::Busy);
    }
    if rolled_days(&transaction).await?.contains(&day.0.0) {
        return Ok(Rollup::Known);
    }
    let series = gather(&transaction, day).await?;
    let took = begun.elapsed();
    let insert = "INSERT INTO rolled_day (t0, series, took) VALUES ($1, $2, $3::bigint * interval '1 microsecond')";
    let counted = super::rows::number(series);
    let microseconds = nanoseconds(took) / 1_000;
    transaction.execute(insert, &[&day, &counted, &microseconds]).await.map_err(Error::doing(what))?;
    transaction.commit().await.map_err(Error::doing(what))?;
    Ok(Rollup::Done(series, took))
}

/// Starts of the days that are rolled up, nanoseconds.
pub(super) async fn rolled_days(transaction: &Transaction<'_>) -> Result<BTreeSet<i64>> {
    let rows = transaction.query("SELECT t0 FROM rolled_day", &[]).await.map_err(Error::doing("list rolled days"))?;
    Ok(rows.iter().map(|row| row.get::<_, Stamp>(0).0.0).collect())
}

/// Writes down which series of rolled days got further chunks.
pub(super) async fn unroll(transaction: &Transaction<'_>, chunks: &[Chunk], rolled: &BTreeSet<i64>) -> Result<()> {
    let start = |chunk: &Chunk| chunk.hour.div_euclid(DAY) * DAY;
    let late: BTreeSet<(i64, i64)> =
        chunks.iter().map(|chunk| (start(chunk), chunk.series)).filter(|(day, _)| rolled.contains(day)).collect();
    let days: BTreeSet<i64> = late.iter().map(|(day, _)| *day).collect();
    for day in days {
        let series: Vec<i64> = late.range((day, i64::MIN)..=(day, i64::MAX)).map(|(_, series)| *series).collect();
        keep_unrolled(transaction, Stamp(PoolTime(day)), &series).await?;
    }
    Ok(())
}

async fn keep_unrolled(transaction: &Transaction<'_>, day: Stamp, series: &[i64]) -> Result<()> {
    let insert = "INSERT INTO unrolled_series (t0, series_id) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING";
    let kept = transaction.execute(insert, &[&day, &series]).await;
    kept.map(drop).map_err(Error::doing("write down unrolled series"))
}

/// Reads the chunks of a day and writes its rows, a part at a time; gives how many.
async fn gather(transaction: &Transaction<'_>, day: Stamp) -> Result<u64> {
    let what = "read the chunks of a day";
    let select = "SELECT series_id, coalesce(series.kind, 'gauge'), n, min, max, sum, sum_squares, first_ts, last_ts, first, \
                         last, increase, sketch \
                  FROM chunk LEFT JOIN series ON series.id = series_id WHERE t0 >= $1 AND t0 < $2 ORDER BY series_id, t0, part";
    let statement = transaction.prepare(select).await.map_err(Error::doing(what))?;
    let end = Stamp(PoolTime(day.0.0 + DAY));
    let portal = transaction.bind(&statement, &[&day, &end]).await.map_err(Error::doing(what))?;
    let (mut days, mut written) = (Days::default(), 0);
    loop {
        let rows = transaction.query_portal(&portal, ROWS_FETCHED).await.map_err(Error::doing(what))?;
        for row in &rows {
            let kind = MetricKind::parse(row.get(1)).unwrap_or(MetricKind::Gauge);
            let sketch = Sketch::decode(row.get(12))
                .map_err(|error| damaged(format!("roll up series {}", row.get::<_, i64>(0)), &error))?;
            days.push(row.get(0), kind, &summary(row, 2), &sketch);
        }
        if rows.is_empty() {
            days.finish();
        }
        written += write_days(transaction, day, &std::mem::take(&mut days.ready)).await?;
        keep_unrolled(transaction, day, &std::mem::take(&mut days.overlapping)).await?;
        if rows.is_empty() {
            return Ok(written);
        }
    }
}

async fn write_days(transaction: &Transaction<'_>, day: Stamp, days: &[Rolled]) -> Result<u64> {
    let (int, float, time) = (Type::INT8, Type::FLOAT8, Type::TIMESTAMPTZ);
    let floats = || float.clone();
    let types = [
        time.clone(),
        int,
        Type::INT4,
        floats(),
        floats(),
        floats(),
        floats(),
        time.clone(),
        time,
        floats(),
        floats(),
        floats(),
        Type::BYTEA,
    ];
    let encoded: Vec<(i32, Stamp, Stamp, Vec<u8>)> = days.iter().map(encode).collect();
    let rows = days.iter().zip(&encoded).map(|(rolled, (count, first, last, sketch))| -> [&(dyn ToSql + Sync); 13] {
        let of = &rolled.summary;
        [
            &day,
            &rolled.series,
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
            sketch,
        ]
    });
    let target =
        "chunk_day (t0, series_id, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, sketch)";
    copy_rows(transaction, target, &types, rows).await
}

fn encode(rolled: &Rolled) -> (i32, Stamp, Stamp, Vec<u8>) {
    let at = |time: i64| Stamp(PoolTime(time));
    let Summary { count, first_at, last_at, .. } = rolled.summary;
    (i32::try_from(count).unwrap_or(i32::MAX), at(first_at), at(last_at), rolled.sketch.encode())
}
