//! Performance by a dimension: increases and rates of counters, levels and quantiles of gauges, over hot rows and chunks together.
//!
//! A counter of a process begins at 0, one of a machine at its first value; a fall is a reset. Steps are taken before the
//! bounds of time are applied, so that the first sample inside them counts what was done since the one before.
//! What the values come to is decided in [`crate::chunk`]; here is what is read for it, all of one moment.

mod chunks;
mod hot;
mod series;
mod tallies;

use muster_proto::v1::{Cell, Column, Dimension, PerfQuery, ReportFilter, ReportReply, Row};
use muster_store::{Error, Result, Store, Transaction};
use postgres_types::ToSql;
use tokio_postgres::IsolationLevel;

use self::series::Wanted;
use self::tallies::Tallies;
use super::cells::{integer, number, number_column, text, text_column};
use super::run::Run;
use super::{ROWS_MAX, cut_note};
use crate::chunk::{Bounds, Tally};

/// Width of a time bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { nanoseconds: 10_000_000_000 }
    }
}

/// Parts of all values that quantiles are told of.
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
/// Rows that are kept while they are counted: those that are shown are among them.
const KEPT_MAX: usize = 10 * ROWS_MAX;
/// Rows of a fetch.
const ROWS_FETCHED: i32 = 10_000;

/// How a dimension appears in the statement.
struct Grouping {
    name: &'static str,
    key: &'static str,
    only: &'static str,
}

/// All together, told apart by time alone.
const BY_TIME: Grouping = Grouping { name: "time", key: "''", only: "true" };

fn grouping(by: Dimension) -> Option<Grouping> {
    let whole = |name, key, only| Some(Grouping { name, key, only });
    match by {
        Dimension::Unspecified => None,
        Dimension::Module => whole("module", "module", "process > 0"),
        Dimension::Machine => whole("machine", "machine", "true"),
        Dimension::MachineType => whole("machine_type", "machine_type", "true"),
        Dimension::DeviceType => whole("device_type", "device_type", "device <> ''"),
        Dimension::Device => whole("device", "machine || '/' || device", "device <> ''"),
        Dimension::Process => whole(
            "process",
            "muster_dpid(job, process) || CASE WHEN attempt > 1 THEN '#' || attempt ELSE '' END",
            "process > 0",
        ),
        Dimension::Time => Some(BY_TIME),
    }
}

/// What is measured: a run, or 0 for any, within limits, and of which metrics; empty for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) run: i64,
    pub(super) filter: &'a ReportFilter,
    pub(super) metrics: &'a [String],
    /// Quantiles are wanted too.
    pub(super) quantiles: bool,
}

/// What was measured.
pub(super) struct Measured {
    /// Key, metric, kind and unit of each group, ascending.
    pub(super) groups: Vec<[String; 4]>,
    /// Start of the bucket in nanoseconds, place of the group, and what was counted: ascending, only the first where there are too many.
    pub(super) rows: Vec<((i64, usize), Tally)>,
}

/// Performance of a run; none when the query names no dimension.
///
/// # Errors
/// As the store.
pub async fn perf(store: &Store, run: &Run, query: &PerfQuery, bucket: Bucket) -> Result<Option<ReportReply>> {
    let Some(grouping) = grouping(query.by()) else { return Ok(None) };
    let filter = query.filter.clone().unwrap_or_default();
    let by_time = query.by() == Dimension::Time;
    // Times are kept to the microsecond.
    let width = by_time.then_some((bucket.nanoseconds / 1_000).max(1) * 1_000);
    let asked = Asked { run: run.id.0.into(), filter: &filter, metrics: &query.metrics, quantiles: true };
    let Measured { groups, rows: mut found } = measure(store, asked, &grouping, width, KEPT_MAX).await?;
    let cut = found.len() > ROWS_MAX;
    found.truncate(ROWS_MAX);
    let mut notes: Vec<String> = cut.then(cut_note).into_iter().collect();
    notes.extend(found.is_empty().then(|| "no samples match".to_owned()));
    let title = format!("performance of run {} by {}", run.id, grouping.name);
    let rows = found.into_iter().map(|((start, group), tally)| {
        let [key, metric, kind, unit] = groups[group].each_ref().map(String::as_str);
        let start = by_time.then(|| crate::time::text(start));
        row([start.as_deref().unwrap_or(key), metric, kind, unit], tally, width)
    });
    Ok(Some(ReportReply { title, columns: columns(grouping.name), rows: rows.collect(), notes }))
}

/// The same of each series by itself, by its id, without buckets: of so many at most.
///
/// # Errors
/// As the store.
pub(super) async fn by_series(store: &Store, asked: Asked<'_>, series_max: usize) -> Result<Measured> {
    let each = Grouping { name: "series", key: "id::text", only: "true" };
    measure(store, asked, &each, None, series_max).await
}

/// The same of all series together, in buckets of so many nanoseconds.
///
/// # Errors
/// As the store.
pub(super) async fn by_bucket(store: &Store, asked: Asked<'_>, width: i64) -> Result<Measured> {
    measure(store, asked, &BY_TIME, Some(width), KEPT_MAX).await
}

async fn measure(
    store: &Store,
    asked: Asked<'_>,
    grouping: &Grouping,
    bucket: Option<i64>,
    rows_max: usize,
) -> Result<Measured> {
    let filter = asked.filter;
    let bounds = Bounds {
        from: if filter.from_ns == 0 { i64::MIN } else { filter.from_ns },
        to: if filter.to_ns == 0 { i64::MAX } else { filter.to_ns },
        bucket,
    };
    let mut client = store.client().await?;
    let transaction = begin(&mut client).await?;
    let mut wanted = Wanted::read(&transaction, asked, grouping).await?;
    let read = chunks::read(&transaction, &mut wanted, &bounds).await?;
    hot::read(&transaction, &mut wanted, &bounds).await?;
    chunks::unroll(&transaction, &mut wanted, &bounds, read).await?;
    let mut tallies = Tallies::new(rows_max);
    chunks::count(&transaction, &wanted, &bounds, &mut tallies).await?;
    Ok(Measured { rows: tallies.into_rows(), groups: wanted.groups })
}

/// Everything that is read in the transaction is of one moment: compaction can not come between, since the lock comes before the
/// first look.
async fn begin(client: &mut muster_store::Client) -> Result<Transaction<'_>> {
    let what = "begin to measure performance";
    let builder = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = builder.start().await.map_err(Error::doing(what))?;
    let lock = "LOCK TABLE ONLY sample, ONLY chunk IN ACCESS SHARE MODE";
    transaction.batch_execute(lock).await.map_err(Error::doing(what))?;
    Ok(transaction)
}

/// Reads rows a part at a time.
async fn each_row(
    transaction: &Transaction<'_>,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
    mut take: impl FnMut(&tokio_postgres::Row) -> Result<()>,
) -> Result<()> {
    let failed = Error::doing("measure performance");
    let statement = transaction.prepare(statement).await.map_err(&failed)?;
    let portal = transaction.bind(&statement, parameters).await.map_err(&failed)?;
    loop {
        let rows = transaction.query_portal(&portal, ROWS_FETCHED).await.map_err(&failed)?;
        for row in &rows {
            take(row)?;
        }
        if rows.len() < usize::try_from(ROWS_FETCHED).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

fn columns(key: &str) -> Vec<Column> {
    let mut columns: Vec<Column> = [key, "metric", "kind", "unit"].map(text_column).into();
    let numbers = ["n", "total", "rate_per_second", "min", "avg", "p50", "p95", "p99", "max"];
    columns.extend(numbers.map(number_column));
    columns
}

/// The rise in each second of a bucket, or of the time that was counted.
#[expect(clippy::cast_precision_loss, reason = "a span in seconds")]
pub(super) fn rate(tally: &Tally, bucket: Option<i64>) -> Option<f64> {
    let span = bucket.or_else(|| tally.since_until.map(|(since, until)| until - since)).filter(|span| *span > 0);
    tally.increase.zip(span).map(|(increase, span)| increase / (span as f64 / 1e9))
}

fn row(names: [&str; 4], mut tally: Tally, bucket: Option<i64>) -> Row {
    let mut cells: Vec<Cell> = names.map(text).into();
    let rate = rate(&tally, bucket);
    let [min, avg, max] = tally.levels();
    cells.push(integer(i64::try_from(tally.count).unwrap_or(i64::MAX)));
    cells.extend([tally.increase, rate, min, avg].map(number));
    cells.extend(tally.quantiles(QUANTILES).map(number));
    cells.push(number(max));
    Row { cells }
}
