//! Samples as 200 machines say them: 50 values each, every 10 seconds; half of them counters, half gauges with three decimals. Beside
//! Muster's own tables there is one with a plain row for each sample, as the reference of the same run.

use std::time::Duration;

use anyhow::Context;
use muster_model::{Attempt, Dpid, JobNumber, PoolTime, ProcessId, ProcessNumber, RunId};
use muster_store::{Access, Stamp, Store, StoreOptions, copy_rows};
use muster_telemetry::records::{Layout, MetricKind, Series};
use postgres_types::{ToSql, Type};

/// Machines.
pub(super) const MACHINES: u32 = 200;
/// Values of one report.
pub(super) const VALUES: u32 = 50;
/// Nanoseconds between two reports of a machine.
pub(super) const STEP: i64 = 10_000_000_000;
/// Rows of a transaction of the reference: the fastest that was found.
const NARROW_ROWS: usize = 100_000;

/// How many reports of each machine make so many samples.
pub(super) fn ticks(samples: u64) -> u32 {
    u32::try_from(samples / u64::from(MACHINES * VALUES)).unwrap_or(u32::MAX).max(1)
}

/// Name and kind of a metric.
pub(super) fn metric(nth: u32) -> (String, MetricKind) {
    match metric_is_counter(nth) {
        true => (format!("counter_{nth}"), MetricKind::Counter),
        false => (format!("gauge_{nth}"), MetricKind::Gauge),
    }
}

/// The process of a machine: job n on machine n.
pub(super) fn process(machine: u32) -> ProcessId {
    let dpid = Dpid { job: JobNumber(machine + 1), process: ProcessNumber(1) };
    ProcessId { run: RunId(1), dpid, attempt: Attempt(1) }
}

/// The layout of a machine's reports.
pub(super) fn layout(machine: u32) -> Layout {
    let series = |nth: u32| {
        let (name, kind) = metric(nth);
        Series {
            id: series_id(machine, nth),
            machine: format!("m{machine}"),
            machine_type: format!("type-{}", machine % 4),
            process: Some(process(machine)),
            module: "high-io".into(),
            device: "disk-a".into(),
            device_type: format!("disk-{}", machine % 3),
            metric: name,
            kind,
            unit: "1".into(),
        }
    };
    Layout { id: i64::from(machine) + 1, series: (0..VALUES).map(series).collect() }
}

fn series_id(machine: u32, nth: u32) -> i64 {
    i64::from(machine * VALUES + nth) + 1
}

/// The values of a machine's report.
pub(super) fn values(machine: u32, tick: u32) -> Vec<f64> {
    let noise = |nth: u32| {
        let mixed =
            (u64::from(machine) << 40 | u64::from(nth) << 32 | u64::from(tick)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        f64::from(u32::try_from((mixed >> 40) % 1_000).unwrap_or(0))
    };
    let value = |nth: u32| match metric_is_counter(nth) {
        true => f64::from(tick) * 1_000.0 * f64::from(nth + 1) + noise(nth),
        false => {
            let level = 50.0 + 10.0 * (f64::from(tick) / 100.0 + f64::from(nth)).sin();
            ((level * 1_000.0).round() + noise(nth)) / 1_000.0
        }
    };
    (0..VALUES).map(value).collect()
}

fn metric_is_counter(nth: u32) -> bool {
    nth.is_multiple_of(2)
}

/// A way to PostgreSQL without short limits.
pub(super) async fn open(url: &str) -> anyhow::Result<Store> {
    let options = StoreOptions {
        application: "muster-bench".into(),
        access: Access::Write,
        connections_max: 8,
        statement_timeout: Duration::from_secs(600),
    };
    let store = Store::open(url, &options)?;
    store.migrate().await.context("make the schema")?;
    Ok(store)
}

/// Runs a statement that has no answer.
pub(super) async fn execute(store: &Store, statement: &str) -> anyhow::Result<()> {
    store.client().await?.batch_execute(statement).await.with_context(|| statement.to_owned())
}

/// One number.
pub(super) async fn number(store: &Store, statement: &str) -> anyhow::Result<i64> {
    let row = store.client().await?.query_one(statement, &[]).await.with_context(|| statement.to_owned())?;
    Ok(row.get(0))
}

/// Copies the same samples into the table of the reference, and gives the time that it took.
pub(super) async fn copy_narrow(store: &Store, start: i64, ticks: u32) -> anyhow::Result<Duration> {
    execute(store, include_str!("samples/narrow.sql")).await?;
    let mut spent = Duration::ZERO;
    let mut rows: Vec<(Stamp, i64, f64)> = Vec::with_capacity(NARROW_ROWS);
    for tick in 0..ticks {
        for machine in 0..MACHINES {
            let at = Stamp(PoolTime(start + i64::from(tick) * STEP));
            let values = values(machine, tick).into_iter();
            rows.extend((0..).zip(values).map(|(nth, value)| (at, series_id(machine, nth), value)));
        }
        if rows.len() >= NARROW_ROWS || tick + 1 == ticks {
            let begun = std::time::Instant::now();
            copy(store, &rows).await?;
            spent += begun.elapsed();
            rows.clear();
        }
    }
    Ok(spent)
}

async fn copy(store: &Store, rows: &[(Stamp, i64, f64)]) -> anyhow::Result<()> {
    let mut client = store.client().await?;
    let transaction = client.transaction().await.context("begin")?;
    let types = [Type::TIMESTAMPTZ, Type::INT8, Type::FLOAT8];
    let columns = rows.iter().map(|(at, series, value)| -> [&(dyn ToSql + Sync); 3] { [at, series, value] });
    copy_rows(&transaction, "narrow (ts, series_id, value)", &types, columns).await?;
    transaction.commit().await.context("commit")
}
