//! Real loggers, killed with nats-server and PostgreSQL at random moments: under a stream of samples, and in the middle of a compaction.
//!
//! `MUSTER_SOAK_ROUNDS` is how often each part is killed; `cargo xtask soak samples` sets it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_bus::{Bus, BusOptions};
use muster_testkit::Process;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::compaction::{compacted_hours, fill_hours};
use crate::support::{World, batch, store_samples};

const MACHINES: u32 = 8;
/// Rows of a batch, each of two values.
const ROWS: usize = 100;
const VALUES: u64 = 2 * ROWS as u64;
/// A machine sends so often.
const PAUSE: Duration = Duration::from_millis(40);
/// Kills of each part where nobody asks for more.
const ROUNDS: usize = 2;

/// How long it goes on.
struct Extent {
    /// Kills of each part.
    rounds: usize,
    /// Samples that are acknowledged at least.
    samples: u64,
    /// PostgreSQL is away once for so long.
    away: Duration,
}

fn extent() -> Extent {
    let asked: Option<usize> = std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok());
    match asked {
        Some(rounds) => Extent { rounds, samples: 1_000_000, away: Duration::from_secs(60) },
        None => Extent { rounds: ROUNDS, samples: 20_000, away: Duration::from_secs(4) },
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Logger,
    Nats,
    Postgres,
}

/// Batches that were acknowledged.
static ACKNOWLEDGED: AtomicU64 = AtomicU64::new(0);

/// A machine's samples until it is told to end; gives how many batches it sent.
async fn send(bus: Bus, machine: String, end: CancellationToken) -> u64 {
    let mut number = 0;
    while !end.is_cancelled() {
        number += 1;
        store_samples(&bus, &machine, 1, batch(&machine, number, ROWS), &format!("{machine}-{number}")).await;
        ACKNOWLEDGED.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
    number
}

async fn kill(world: &mut World, logger: &mut Process, part: Part, random: &mut StdRng) {
    match part {
        Part::Logger => logger.restart().expect("the logger restarts"),
        Part::Nats => {
            world.nats.kill9();
            tokio::task::block_in_place(|| world.nats.restart().expect("nats-server restarts"));
        }
        Part::Postgres => {
            world.kill_postgres();
            sleep(Duration::from_millis(random.random_range(0..1_000))).await;
            world.restart_postgres();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_every_part_under_a_stream_of_samples_lose_none_and_double_none() {
    let (extent, seed) = (extent(), rand::random());
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::start_alone().await;
    let mut logger = world.logger_process();
    let (end, mut machines) = (CancellationToken::new(), JoinSet::new());
    for nth in 0..MACHINES {
        let bus = Bus::connect(&BusOptions::insecure_local(&world.nats.url(), "agent")).await.expect("connects");
        machines.spawn(send(bus, format!("m{nth}"), end.clone()));
    }
    let mut parts = [Part::Logger, Part::Nats, Part::Postgres].repeat(extent.rounds);
    parts.shuffle(&mut random);
    for (nth, part) in parts.iter().enumerate() {
        sleep(Duration::from_millis(random.random_range(0..1_500))).await;
        kill(&mut world, &mut logger, *part, &mut random).await;
        if nth == parts.len() / 2 {
            stay_away(&mut world, extent.away).await;
        }
    }
    while ACKNOWLEDGED.load(Ordering::Relaxed) * VALUES < extent.samples {
        sleep(PAUSE).await;
    }
    end.cancel();
    let batches: u64 = machines.join_all().await.into_iter().sum();
    complete(&world, batches).await;
    eprintln!("{} samples in {batches} batches, {} kills", batches * VALUES, parts.len());
}

/// PostgreSQL is away: every machine's samples are taken all the same.
async fn stay_away(world: &mut World, away: Duration) {
    world.kill_postgres();
    let before = ACKNOWLEDGED.load(Ordering::Relaxed);
    sleep(away).await;
    let taken = ACKNOWLEDGED.load(Ordering::Relaxed) - before;
    assert!(taken > u64::from(MACHINES), "{taken} batches were acknowledged in {away:?} without PostgreSQL");
    world.restart_postgres();
}

/// What was acknowledged is stored, each sample once.
async fn complete(world: &World, batches: u64) {
    let number = |value: u64| i64::try_from(value).expect("small");
    let stored = "SELECT count(*) FROM (SELECT DISTINCT layout_id, date_trunc('second', ts) FROM sample) AS batch";
    world.wait_for(stored, number(batches)).await;
    world.wait_for("SELECT sum(n) FROM sample_hour", number(batches * VALUES)).await;
    assert_eq!(world.count("SELECT sum(sum) FROM sample_hour").await, number(batches * VALUES) / 2 * 3);
    assert_eq!(world.count("SELECT sum(samples) FROM layout_total").await, number(batches * VALUES));
    assert_eq!(world.count("SELECT count(*) - count(DISTINCT (layout_id, ts)) FROM sample").await, 0);
    assert_eq!(world.count("SELECT (SELECT count(*) FROM gap) + (SELECT count(*) FROM reject)").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logger_killed_in_the_middle_of_a_compaction_loses_no_sample_and_the_next_goes_on() {
    let rounds = i64::try_from(extent().rounds).expect("small");
    let mut random = StdRng::seed_from_u64(rand::random());
    let world = World::start().await;
    fill_hours(&world, rounds + 2).await;
    let mut logger = world.logger_process();
    // Hours are over when the stream that is there now has stored something after them.
    world.samples("m1", 1, batch("m1", 1, 1), "1").await;
    world.wait_for("SELECT count(*) FROM sample WHERE recv > '2024-01-01'", 1).await;
    let samples = "SELECT sum(n) FROM sample_hour";
    let all = world.count(samples).await;
    for round in 0..rounds {
        logger.restart().expect("it restarts");
        while compacted_hours(&world).await <= round {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_micros(random.random_range(0..50_000))).await;
        logger.kill9();
        assert_eq!(world.count(samples).await, all, "after kill {round}");
    }
    logger.restart().expect("it restarts");
    world.wait_for("SELECT count(*) FROM compaction", rounds + 2).await;
    assert_eq!(world.count(samples).await, all);
    assert_eq!(world.count("SELECT count(*) FROM sample").await, 1, "only the present hour is hot");
}
