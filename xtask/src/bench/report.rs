//! The benchmark `report`: questions over many samples, all hours but the newest compacted; beside the same questions to plain narrow rows
//! in the same PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_model::{PoolTime, RunId};
use muster_proto::v1;
use muster_store::Store;
use muster_telemetry::query::{self, Bucket, Run};
use muster_telemetry::records::{Records, Sample};
use muster_telemetry::write::{self, Compaction, KnownLayouts, Outcome, Rollup};
use muster_testkit::Postgres;

use super::ingest::hours;
use super::samples::{self, MACHINES, STEP};
use super::statistics::milliseconds;
use super::{Row, Target};

/// Beginning of all samples: the start of an hour.
const START: i64 = 472_222 * HOUR;
const HOUR: i64 = 3_600_000_000_000;
/// Reports of a machine that one transaction stores.
const TICKS: u32 = 25;
/// Each question is asked so often; the median counts.
const ASKED: usize = 5;

pub(super) fn run(runtime: &tokio::runtime::Runtime, samples: u64) -> anyhow::Result<Vec<Row>> {
    let postgres = Postgres::start()?;
    runtime.block_on(measure(&postgres.url(), samples))
}

async fn measure(postgres: &str, wanted: u64) -> anyhow::Result<Vec<Row>> {
    let store = samples::open(postgres).await?;
    let ticks = samples::ticks(wanted);
    fill(&store, ticks).await.context("fill the store")?;
    let mut hours = hours(&store).await?;
    hours.pop();
    for hour in hours {
        let done = write::compact(&store, hour).await?;
        ensure!(matches!(done, Compaction::Done(_)), "an hour was not compacted: {done:?}");
    }
    roll_up(&store).await?;
    samples::copy_narrow(&store, START, ticks).await?;
    samples::execute(&store, "VACUUM ANALYZE").await?;
    let run = query::find_run(&store, RunId(1)).await?.context("the run")?;
    let end = START + i64::from(ticks) * STEP;
    let newest_hour = (end - 1).div_euclid(HOUR) * HOUR;
    let group = include_str!("samples/narrow_group.sql");
    let quantiles = include_str!("samples/narrow_quantiles.sql");
    let history = include_str!("samples/narrow_history.sql");
    let by_type = |from| question(v1::Dimension::MachineType, from, 0, &["gauge_1"]);
    let questions = [
        ("one metric by machine type, everything", by_type(0), HOUR, group, Some(150.0)),
        ("one metric by machine type, a day", by_type(end - 24 * HOUR), HOUR, group, Some(100.0)),
        ("one metric by machine type, the last hour, hot", by_type(newest_hour), HOUR, group, Some(60.0)),
        (
            "quantiles of one metric from all values",
            question(v1::Dimension::Time, 0, 0, &["gauge_1"]),
            HOUR / 6,
            quantiles,
            Some(600.0),
        ),
        ("one process, by hour", question(v1::Dimension::Time, 0, 7, &[]), HOUR, history, Some(20.0)),
        ("all metrics by machine type, everything", question(v1::Dimension::MachineType, 0, 0, &[]), HOUR, "", None),
    ];
    let mut rows = Vec::new();
    for (name, query, bucket, narrow, target) in questions {
        let value = median(async || ask(&store, &run, &query, bucket).await).await?;
        let from = query.filter.as_ref().map_or(0, |filter| filter.from_ns);
        let reference = match narrow {
            "" => None,
            narrow => Some(milliseconds(median(async || ask_narrow(&store, narrow, from).await).await?)),
        };
        let target = target.map(Target::AtMost);
        let value = milliseconds(value);
        rows.push(Row { name: name.into(), value, unit: "ms", reference, reference_name: "narrow rows", target });
    }
    Ok(rows)
}

/// Rolls up what is over, as the logger does.
async fn roll_up(store: &Store) -> anyhow::Result<()> {
    for day in write::closed_days(store, "TEL", Duration::ZERO).await? {
        let done = write::roll_up(store, day).await?;
        ensure!(matches!(done, Rollup::Done(_, _)), "a day was not rolled up: {done:?}");
    }
    Ok(())
}

fn question(by: v1::Dimension, from_ns: i64, job: u32, metrics: &[&str]) -> v1::PerfQuery {
    let filter = v1::ReportFilter { run: 1, job, from_ns, ..Default::default() };
    let metrics = metrics.iter().map(|&metric| metric.to_owned()).collect();
    v1::PerfQuery { filter: Some(filter), by: by.into(), metrics, bucket_ns: 0 }
}

async fn ask(store: &Store, run: &Run, query: &v1::PerfQuery, bucket: i64) -> anyhow::Result<()> {
    let reply = query::perf(store, run, query, Bucket { nanoseconds: bucket }).await?.context("a dimension")?;
    ensure!(!reply.rows.is_empty(), "the answer is empty");
    Ok(())
}

async fn ask_narrow(store: &Store, statement: &str, from: i64) -> anyhow::Result<()> {
    let rows = store.client().await?.query(statement, &[&from]).await.context("ask narrow rows")?;
    ensure!(!rows.is_empty(), "the answer is empty");
    Ok(())
}

/// The median time of a question, after one that warms up.
async fn median(mut ask: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    ask().await?;
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        ask().await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[ASKED / 2])
}

/// Stores everything as the logger would.
async fn fill(store: &Store, ticks: u32) -> anyhow::Result<()> {
    let mut offset = write::load_offset(store, "TEL", 1).await?.offset;
    let mut known = KnownLayouts::default();
    let layouts = || (0..MACHINES).map(samples::layout).map(|layout| (layout.id, layout)).collect();
    let mut records = Records { runs: [(1, PoolTime(START))].into(), layouts: layouts(), ..Records::default() };
    for tick in 0..ticks {
        let at = PoolTime(START + i64::from(tick) * STEP);
        for machine in 0..MACHINES {
            let (layout, values) = (i64::from(machine) + 1, samples::values(machine, tick));
            records.samples.push(Sample { at, received: at, sequence: offset.last + 1, layout, values });
        }
        records.stored = Some(at);
        if (tick + 1) % TICKS == 0 || tick + 1 == ticks {
            let to = offset.last + 1;
            let outcome = write::commit(store, &mut known, &offset, to, &records).await?;
            ensure!(outcome == Outcome::Committed, "another writer is here");
            offset.last = to;
            records = Records::default();
        }
    }
    Ok(())
}
