//! The benchmark `ingest`: from JetStream to committed rows, then from hot rows to chunks; beside a plain COPY of the same samples, one row
//! each, into the same PostgreSQL. nats-server, PostgreSQL and the logger share the machine.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use muster_bus::streams::InitOptions;
use muster_bus::{Authority, Bus, BusOptions, subjects};
use muster_model::{Incarnation, MachineId};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_store::Store;
use muster_telemetry::records::MetricKind;
use muster_telemetry::write::{Compaction, compact};
use muster_testkit::{NatsServer, Postgres};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::samples::{self, MACHINES, STEP, VALUES};
use super::start::cost;
use super::{Row, Target};

/// Reports of one batch: an agent's of one minute.
const ROWS: u32 = 6;
/// Messages that are on their way to the stream at once.
const PUBLISHED_AT_ONCE: usize = 256;
/// Everything is stored within this.
const DEADLINE: Duration = Duration::from_secs(900);
/// Four times what 10,000 machines say: 50 values each, every 10 seconds.
const COMPACTION_RATE_MIN: f64 = 4.0 * 10_000.0 * 50.0 / 10.0;

pub(super) fn run(runtime: &tokio::runtime::Runtime, samples: u64) -> anyhow::Result<Vec<Row>> {
    let (nats, postgres) = (NatsServer::start()?, Postgres::start()?);
    runtime.block_on(measure(&nats.url(), &postgres.url(), samples))
}

async fn measure(nats: &str, postgres: &str, wanted: u64) -> anyhow::Result<Vec<Row>> {
    let store = samples::open(postgres).await?;
    let bus = Bus::connect(&BusOptions::insecure_local(nats, "bench")).await?;
    let size_divisor = bus.size_divisor(1).await?;
    bus.init_streams(InitOptions { replicas: 1, size_divisor }).await?;
    let ticks = samples::ticks(wanted).next_multiple_of(ROWS);
    let count = f64::from(ticks) * f64::from(MACHINES * VALUES);
    // All of it is in the past, as it must be to be taken.
    let start = bus.now().0 - i64::from(ticks) * STEP;
    let last = publish(&bus, start, ticks).await.context("fill the stream")?;
    let (took, cpu) = ingest(nats, postgres, &store, last).await?;
    let hot = samples::number(&store, include_str!("samples/sizes.sql")).await?;
    let (compacting, compacting_cpu) = compact_all(&store).await?;
    let chunks = samples::number(&store, include_str!("samples/chunk_sizes.sql")).await?;
    let narrow = samples::copy_narrow(&store, start, ticks).await?;
    let narrow_size = samples::number(&store, include_str!("samples/narrow_size.sql")).await?;
    let row = |name: &str, value: f64, unit, reference: Option<f64>, target| Row {
        name: name.into(),
        value,
        unit,
        reference,
        reference_name: "narrow rows",
        target: Some(target),
    };
    let rate = |time: Duration| count / time.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "sizes")]
    let each = |bytes: i64| bytes as f64 / count;
    Ok(vec![
        row("ingest", rate(took), "samples/s", Some(rate(narrow)), Target::AtLeast(2e6)),
        row("ingest, in relation", rate(took), "samples/s", Some(rate(narrow)), Target::RatioAtLeast(3.0)),
        Row::bare("CPU of the logger", cpu.as_secs_f64() * 1e9 / count, "ns/sample"),
        row("disk, hot", each(hot), "B/sample", Some(each(narrow_size)), Target::AtMost(11.0)),
        row("compaction", rate(compacting), "samples/s", None, Target::AtLeast(COMPACTION_RATE_MIN)),
        Row::bare("CPU of compaction", compacting_cpu.as_secs_f64() * 1e9 / count, "ns/sample"),
        row("disk, compacted", each(chunks), "B/sample", Some(each(narrow_size)), Target::AtMost(3.0)),
    ])
}

/// Fills the stream; gives its last sequence.
async fn publish(bus: &Bus, start: i64, ticks: u32) -> anyhow::Result<u64> {
    let batches = (0..ticks / ROWS).flat_map(|nth| (0..MACHINES).map(move |machine| (nth, machine)));
    let sent = stream::iter(batches).map(|(nth, machine)| async move {
        let name = format!("m{machine}");
        let authority = Authority { incarnation: Incarnation(1), ..Authority::default() };
        let payload = bus.envelope(Body::SampleBatch(batch(machine, nth, start)), authority).encode_to_vec();
        let subject = subjects::telemetry(&MachineId::new(&name).context("a name")?);
        bus.store(&subject, &format!("{name}-{nth}"), payload.into()).await.context("store a batch")
    });
    let greatest = |most: u64, sequence| async move { Ok(most.max(sequence)) };
    sent.buffer_unordered(PUBLISHED_AT_ONCE).try_fold(0, greatest).await
}

fn batch(machine: u32, nth: u32, start: i64) -> v1::SampleBatch {
    let metric = |nth: u32| {
        let (name, kind) = samples::metric(nth);
        let kind = match kind {
            MetricKind::Gauge => v1::MetricKind::Gauge,
            MetricKind::Counter => v1::MetricKind::Counter,
            MetricKind::Delta => v1::MetricKind::Delta,
        };
        v1::Metric { name, kind: kind.into(), unit: "1".into() }
    };
    let layout = v1::Layout {
        id: Some(samples::process(machine).into()),
        module: "high-io".into(),
        metrics: (0..VALUES).map(metric).collect(),
        ..Default::default()
    };
    let row = |tick: u32| v1::SampleRow {
        time_ns: start + i64::from(tick) * STEP,
        layout: 0,
        values: samples::values(machine, tick),
    };
    let rows = (nth * ROWS..(nth + 1) * ROWS).map(row).collect();
    v1::SampleBatch { machine: format!("m{machine}"), batch: u64::from(nth) + 1, layouts: vec![layout], rows }
}

/// Runs a logger until everything is stored; gives its time and its CPU time.
async fn ingest(nats: &str, postgres: &str, store: &Store, last: u64) -> anyhow::Result<(Duration, Duration)> {
    let arguments = ["logger", "--insecure-local", "--nats", nats, "--postgres", postgres];
    let arguments = muster_telemetry_logger::Arguments::parse_from(arguments);
    let stop = CancellationToken::new();
    let (begun, cpu) = (Instant::now(), cost::own()?);
    let token = stop.clone();
    let logger = tokio::spawn(async move { muster_telemetry_logger::run(&arguments, token).await });
    let last = i64::try_from(last).context("a sequence")?;
    while samples::number(store, include_str!("samples/position.sql")).await? < last {
        ensure!(begun.elapsed() < DEADLINE && !logger.is_finished(), "the logger does not store everything");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let spent = (begun.elapsed(), cost::own()?.saturating_sub(cpu));
    stop.cancel();
    logger.await.context("the logger panicked")??;
    Ok(spent)
}

/// Compacts every hour; gives time and CPU time.
pub(super) async fn compact_all(store: &Store) -> anyhow::Result<(Duration, Duration)> {
    let (begun, cpu) = (Instant::now(), cost::own()?);
    for hour in hours(store).await? {
        let done = compact(store, hour).await?;
        ensure!(matches!(done, Compaction::Done(_)), "an hour was not compacted: {done:?}");
    }
    Ok((begun.elapsed(), cost::own()?.saturating_sub(cpu)))
}

/// Hours that are hot, the oldest first.
pub(super) async fn hours(store: &Store) -> anyhow::Result<Vec<i64>> {
    let rows = store.client().await?.query(include_str!("samples/hours.sql"), &[]).await.context("list hours")?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
