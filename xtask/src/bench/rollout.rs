//! The benchmark `rollout`: 10,000 simulated machines are taken into a kernel by one rollout, and a job starts on all of them. How many facts
//! are decided a second, and how soon the job starts once the last machine is proven, beside three messages that are stored and heard one
//! after the other: the log of machines, that of reservations and that of jobs can not do with less.
//!
//! Times are those in the logs. Everything is on this host: nats-server, PostgreSQL, the services, and the machines themselves.

mod course;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_bus::{Bus, BusOptions, streams, subjects};
use muster_model::MachineId;
use muster_testkit::kernel::{bzimage, vmlinux};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::{NatsServer, wait_until};

use self::course::{Course, Reader};
use super::statistics::{milliseconds, percentile};
use super::{Row, memory_folder};

/// Machines of the pool, and of the rollout.
const MACHINES: u32 = 10_000;
/// Release of the kernel under test.
const RELEASE: &str = "6.12.1-bench";
/// The rollout and its job are over within this.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// Chains of messages that the reference is taken from.
const CHAINS: u32 = 200;
/// Logs between a proof and a start.
const HOPS: u32 = 3;

/// One round.
pub(super) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    let scratch = memory_folder()?;
    let lab = bring_up(scratch.path())?;
    let reader = Reader::begin(runtime, &lab.nats_url())?;
    let (target, minimum) = (MACHINES.to_string(), (MACHINES * 9 / 10).to_string());
    let quorum = ["--target", &target, "--minimum", &minimum, "--countdown", "20m", "--give-up", "20m"];
    let then = ["--then", "start idle --per-machine 1", "--yes"];
    let order = [&["rollout", "start", "--kernel", RELEASE], &quorum[..], &then[..]].concat();
    // It is refused until reservation knows of all of the machines and of their boot drivers.
    wait_until("the rollout is taken", PATIENCE, || lab.muster(&order).is_ok_and(|answer| answer.status.success()))?;
    let mut told = Instant::now();
    let followed = wait_until("the rollout is ready, and its job runs", PATIENCE, || {
        if told.elapsed() > Duration::from_secs(5) {
            eprintln!("  {}", reader.look().line());
            told = Instant::now();
        }
        reader.look().is_over(u64::from(MACHINES))
    });
    let course = reader.look();
    lab.down()?;
    followed.with_context(|| course.line())?;
    rows(&course, runtime.block_on(chains())?)
}

fn rows(course: &Course, mut chains: Vec<Duration>) -> anyhow::Result<Vec<Row>> {
    chains.sort_unstable();
    let chain = percentile(&chains, 50).context("time the chains")?;
    let taken = course.preparation().context("the rollout became ready")?;
    let facts = course.facts as f64;
    Ok(vec![
        Row::bare(&format!("{MACHINES} machines, from their grant to ready"), taken.as_secs_f64(), "s"),
        Row::bare("facts decided meanwhile", facts, ""),
        Row::bare("facts decided a second", facts / taken.as_secs_f64(), "/s"),
        Row {
            reference: Some(milliseconds(chain)),
            reference_name: "three messages stored and heard one after the other",
            ..Row::bare(
                "last machine proven to job started",
                milliseconds(course.handover().context("the job was started")?),
                "ms",
            )
        },
        Row::bare(
            "job started to its last process running",
            course.spreading().context("the job ran")?.as_secs_f64(),
            "s",
        ),
    ])
}

fn bring_up(folder: &Path) -> anyhow::Result<Lab> {
    let options =
        LabOptions { simulated: MACHINES, ..LabOptions::new(folder.join("lab"), super::start::programs()?, 0) };
    let lab = Lab::up(options, &|line| eprintln!("  {line}"))?;
    let image = folder.join("vmlinuz");
    std::fs::write(&image, bzimage(RELEASE, &vmlinux(RELEASE, 62, Some(&[0x5a; 20])))).context("write an image")?;
    lab.muster_ok(&["kernel", "add", &image.display().to_string()])?;
    lab.muster_ok(&["machine", "set", "*", "boot=simulated", "install-within=20m", "boot-within=20m", "drain=60s"])?;
    Ok(lab)
}

/// Times of messages that are stored and heard, three one after the other, on a server with nothing else to do.
async fn chains() -> anyhow::Result<Vec<Duration>> {
    let server = NatsServer::start()?;
    let bus = Bus::connect(&BusOptions::insecure_local(&server.url(), "bench")).await?;
    bus.init_streams(streams::InitOptions { replicas: 1, size_divisor: 1_024 }).await?;
    let subject = subjects::reports(&MachineId::new("bench")?);
    let mut reader = bus.read(streams::REPORTS, "", 1);
    let mut times = Vec::new();
    for chain in 0..CHAINS {
        let begun = Instant::now();
        for hop in 0..HOPS {
            let stored = bus.store(&subject, &format!("{chain}-{hop}"), vec![0_u8; 200].into()).await?;
            let heard = reader.next().await.sequence;
            ensure!(heard == stored, "message {stored} was stored, and {heard} heard");
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}
