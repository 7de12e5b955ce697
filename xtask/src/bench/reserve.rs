//! The benchmark `reserve`: pairs of a release and an acquisition per second in pools of 200, 1,000 and 10,000 machines that are all held, with as
//! many requests waiting; every step is durable in RESERVATIONS. And the passes over all of them, in the core alone.
//!
//! machine-lifecycle is played: a machine that changes hands says in three messages that it did, one after the other.

mod passes;
mod pool;

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use muster_bus::streams::InitOptions;
use muster_bus::{Bus, BusOptions};
use muster_model::SystemId;
use muster_testkit::NatsServer;

use self::pool::Pool;
use super::ledger::histogram;
use super::{Row, Target};

/// Sizes of the pools, and how many requests wait in each.
const SIZES: [u32; 3] = [200, 1_000, 10_000];
/// Users who do it at the same time.
const WORKERS: u32 = 64;
/// How long they do.
const LOAD_TIME: Duration = Duration::from_secs(5);

pub(super) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut smallest = None;
    for size in SIZES {
        let measured = runtime.block_on(pairs(size))?;
        let of = |what: &str| format!("{what}, {size} machines, {size} waiting");
        rows.push(Row {
            reference: smallest,
            reference_name: "the same with 200 machines",
            target: smallest.map(|_| Target::RatioAtLeast(0.5)),
            ..Row::bare(&of("pairs of release and acquisition"), measured.per_second, "/s")
        });
        rows.push(Row::bare(&of("check-in to its answer, p99"), measured.release_p99, "ms"));
        rows.push(Row::bare(&of("request to its answer, p99"), measured.acquire_p99, "ms"));
        smallest = smallest.or(Some(measured.per_second));
    }
    rows.extend(passes::measure()?);
    Ok(rows)
}

struct Measured {
    per_second: f64,
    release_p99: f64,
    acquire_p99: f64,
}

async fn pairs(size: u32) -> anyhow::Result<Measured> {
    let server = NatsServer::start()?;
    let bus =
        Bus::connect(&BusOptions { actor: "user:bench".into(), ..BusOptions::insecure_local(&server.url(), "bench") })
            .await?;
    bus.init_streams(InitOptions { replicas: 1, size_divisor: 8 }).await?;
    muster_ledger::initialise(&bus, SystemId([1; 16])).await?;
    let pool = Pool::begin(bus).await?;
    pool.fill(size).await?;
    let begun = Instant::now();
    let workers = (0..WORKERS).map(|worker| pool.work(size, worker, WORKERS, begun + LOAD_TIME));
    let (mut releases, mut acquisitions) = (histogram()?, histogram()?);
    for (released, acquired) in try_join_all(workers).await? {
        releases.add(released)?;
        acquisitions.add(acquired)?;
    }
    let per_second = acquisitions.len() as f64 / begun.elapsed().as_secs_f64();
    pool.end().await?;
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    Ok(Measured {
        per_second,
        release_p99: milliseconds(releases.value_at_quantile(0.99)),
        acquire_p99: milliseconds(acquisitions.value_at_quantile(0.99)),
    })
}
