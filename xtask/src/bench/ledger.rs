//! The benchmark `ledger`: durable commands per second beside plain appends, replay, snapshots, and how soon another leads.
//!
//! Clients, service and server share this machine; every command goes over NATS and is one small event of its own.

mod core;
mod leaders;
mod load;
mod service;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::StreamExt;
use futures::future::try_join_all;
use muster_bus::streams::InitOptions;
use muster_bus::subjects::{self, Service};
use muster_bus::{Bucket, Bus, BusOptions};
use muster_model::{CommandId, MachineId, SystemId};
use tokio::io::AsyncReadExt;

use self::core::Input;
pub(crate) use self::leaders::instance;
pub(super) use self::load::histogram;
use self::service::Instance;
use super::{Row, Target};

/// How long each load runs.
const LOAD_TIME: Duration = Duration::from_secs(3);
/// Unit of CPU times in /proc: USER_HZ, which is 100 on every architecture that we run on.
const TICK: Duration = Duration::from_millis(10);
/// Connections that the clients share.
const CONNECTIONS: usize = 4;
/// Size of a plain append, as in the measurements that the design rests on.
const PLAIN_SIZE_BYTES: usize = 200;
/// Plain appends in flight when they are pipelined.
const PIPELINE: usize = 1_024;
/// Events of the replayed log.
const REPLAYED_EVENTS: u64 = 1_000_000;
/// Commands in flight while it is written: two turns of 500, one deciding and one waiting.
const REPLAY_IN_FLIGHT: u64 = 1_000;
/// Machines in the state whose snapshot is measured, and what is kept of each.
const MACHINES: u64 = 10_000;
const MACHINE_SIZE_BYTES: usize = 400;

pub(crate) async fn run(nats_url: &str, nats_pid: u32) -> anyhow::Result<Vec<Row>> {
    let bus = connect(nats_url).await?;
    bus.init_streams(InitOptions { replicas: 1, size_divisor: 8 }).await?;
    muster_ledger::initialise(&bus, SystemId([1; 16])).await?;
    let mut rows = commands(nats_url, nats_pid).await?;
    rows.extend(replay(nats_url).await?);
    rows.push(Row {
        target: Some(Target::AtMost(1.0)),
        ..Row::bare("new leader after kill -9", leaders::measure(nats_url).await?, "s")
    });
    rows.extend(snapshot(nats_url).await?);
    Ok(rows)
}

async fn connect(url: &str) -> anyhow::Result<Bus> {
    let options = BusOptions { actor: "user:bench".into(), ..BusOptions::insecure_local(url, "bench") };
    Ok(Bus::connect(&options).await?)
}

fn command_id() -> CommandId {
    CommandId(muster_bus::fresh_id())
}

/// Commands per second and latency at 1, 64 and 1,000 clients, beside plain appends.
async fn commands(url: &str, nats_pid: u32) -> anyhow::Result<Vec<Row>> {
    let bus = connect(url).await?;
    let one_by_one = plain_appends(&bus, 1).await?;
    let pipelined = plain_appends(&bus, PIPELINE).await?;
    let instance = Instance::start(connect(url).await?, Service::Scheduler, "bench", u64::MAX);
    instance.leading().await?;
    let mut rows = Vec::new();
    for (clients, plain, name, at_least) in [
        (1, one_by_one, "plain appends, one by one", None),
        (64, pipelined, "plain appends, pipelined", Some(30_000.0)),
        (1_000, pipelined, "plain appends, pipelined", Some(100_000.0)),
    ] {
        let (ours, servers) = (processor_time("self")?, processor_time(&nats_pid.to_string())?);
        let load = load(url, clients).await?;
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / load.count;
        let ours = each(processor_time("self")?.saturating_sub(ours));
        let servers = each(processor_time(&nats_pid.to_string())?.saturating_sub(servers));
        rows.push(Row {
            reference: Some(plain),
            reference_name: name,
            target: at_least.map(Target::AtLeast),
            ..Row::bare(&format!("commands, {clients} clients"), load.per_second, "1/s")
        });
        rows.push(Row::bare(&format!("latency p50, {clients} clients"), load.p50.as_secs_f64() * 1e3, "ms"));
        rows.push(Row::bare(&format!("latency p99, {clients} clients"), load.p99.as_secs_f64() * 1e3, "ms"));
        rows.push(Row::bare(&format!("CPU per command, {clients} clients and their service"), ours, "us"));
        rows.push(Row::bare(&format!("CPU of nats-server per command, {clients} clients"), servers, "us"));
    }
    instance.stop().await?;
    Ok(rows)
}

/// Plain appends per second with so many in flight.
async fn plain_appends(bus: &Bus, in_flight: usize) -> anyhow::Result<f64> {
    let subject = subjects::telemetry(&MachineId::new("bench")?);
    let payload = bytes::Bytes::from(vec![7; PLAIN_SIZE_BYTES]);
    let start = Instant::now();
    let appends = futures::stream::repeat_with(|| {
        let (id, payload, subject) = (uuid::Uuid::now_v7().to_string(), payload.clone(), subject.clone());
        async move { bus.store(&subject, &id, payload).await }
    });
    let mut appends = std::pin::pin!(
        appends.take_while(|_| std::future::ready(start.elapsed() < LOAD_TIME)).buffer_unordered(in_flight)
    );
    let mut count = 0_u32;
    while let Some(appended) = appends.next().await {
        appended?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// CPU time that a process has spent, in its own code and in the kernel: fields 14 and 15 of its stat, in ticks.
fn processor_time(process: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("read a process's CPU time")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>().context("a process's CPU time")?;
    Ok(TICK * ticks)
}

struct Load {
    count: f64,
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

async fn load(url: &str, clients: usize) -> anyhow::Result<Load> {
    let connections = CONNECTIONS.min(clients);
    let buses = try_join_all((0..connections).map(|_| connect(url))).await?;
    let start = Instant::now();
    let clients = buses.into_iter().enumerate().map(|(index, bus)| {
        let count = clients / connections + usize::from(index < clients % connections);
        tokio::spawn(load::clients(bus, count, start + LOAD_TIME))
    });
    let mut all = load::histogram()?;
    for client in clients.collect::<Vec<_>>() {
        all.add(client.await??)?;
    }
    let quantile = |quantile| Duration::from_nanos(all.value_at_quantile(quantile));
    let count = f64::from(u32::try_from(all.len())?);
    let per_second = count / start.elapsed().as_secs_f64();
    Ok(Load { count, per_second, p50: quantile(0.5), p99: quantile(0.99) })
}

/// How long a log of a million events takes to fold, from the start of an instance until it leads.
async fn replay(url: &str) -> anyhow::Result<Vec<Row>> {
    let service = Service::MachineLifecycle;
    let writer = Instance::start(connect(url).await?, service, "writer", u64::MAX);
    let handle = writer.leading().await?;
    let start = Instant::now();
    for _ in 0..REPLAYED_EVENTS / REPLAY_IN_FLIGHT {
        let round = (0..REPLAY_IN_FLIGHT).map(|key| handle.command(command_id(), "user:bench".into(), Input::Add(key)));
        try_join_all(round).await?;
    }
    let written = start.elapsed();
    let messages = handle.query(|view| view.now.position.sequence.0).await?;
    writer.stop().await?;
    let bus = connect(url).await?;
    let start = Instant::now();
    let reader = Instance::start(bus, service, "reader", u64::MAX);
    let handle = reader.leading().await?;
    let taken = start.elapsed();
    let events = handle.query(|view| view.state.added).await?;
    ensure!(events >= REPLAYED_EVENTS, "only {events} events were folded");
    reader.stop().await?;
    let million = f64::from(u32::try_from(REPLAYED_EVENTS)?);
    Ok(vec![
        Row::bare("commands in process, 1,000 in flight", million / written.as_secs_f64(), "1/s"),
        Row {
            reference: Some(f64::from(u32::try_from(messages)?)),
            reference_name: "messages",
            target: Some(Target::AtMost(1.0)),
            ..Row::bare("replay of 1,000,000 events", taken.as_secs_f64(), "s")
        },
    ])
}

/// Size of a snapshot of a large pool, and how long a start from it takes.
async fn snapshot(url: &str) -> anyhow::Result<Vec<Row>> {
    let bus = connect(url).await?;
    let service = Service::Reservation;
    let writer = Instance::start(connect(url).await?, service, "writer", 1);
    let handle = writer.leading().await?;
    let machines = (0..MACHINES)
        .map(|key| handle.command(command_id(), "user:bench".into(), Input::Keep(key, vec![7; MACHINE_SIZE_BYTES])));
    try_join_all(machines).await?;
    // One more, so that a snapshot of all of them is due; and its end is waited for.
    handle.command(command_id(), "user:bench".into(), Input::Add(0)).await?;
    let sequence = handle.query(|view| view.now.position.sequence.0).await?;
    let name = snapshot_after(&bus, sequence).await?;
    writer.stop().await?;
    let mut bytes = Vec::new();
    let object = bus.get_object(Bucket::Snapshots, &name).await?;
    object.context("the snapshot is there")?.read_to_end(&mut bytes).await?;
    let start = Instant::now();
    let reader = Instance::start(connect(url).await?, service, "reader", u64::MAX);
    let handle = reader.leading().await?;
    let taken = start.elapsed();
    let kept = handle.query(|view| view.state.kept.len()).await?;
    ensure!(kept as u64 == MACHINES, "only {kept} machines were loaded");
    reader.stop().await?;
    Ok(vec![
        Row::bare("snapshot of 10,000 machines, size", f64::from(u32::try_from(bytes.len())?) / 1e6, "MB"),
        Row::bare("snapshot of 10,000 machines, load", taken.as_secs_f64(), "s"),
    ])
}

/// The newest snapshot, once it is at `sequence` or later.
async fn snapshot_after(bus: &Bus, sequence: u64) -> anyhow::Result<String> {
    let at = |name: &String| name.rsplit('-').next().and_then(|last| last.parse::<u64>().ok()).unwrap_or(0);
    let start = Instant::now();
    loop {
        let newest = bus.list_objects(Bucket::Snapshots).await?.into_iter().max_by_key(at);
        if let Some(newest) = newest.filter(|name| at(name) + 1 >= sequence) {
            return Ok(newest);
        }
        ensure!(start.elapsed() < LOAD_TIME * 10, "no snapshot was written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
