//! The benchmark `trigger`: from a firing to the action of the last of 60 armed machines, beside one raw core publish to 60 processes
//! that do nothing but hear it. Both are timed by one clock: whoever hears sends a datagram back, which is the action `packet` of
//! the agents. All of them, the bus and the services share this machine, and take turns.
//!
//! The lab lies in memory: each machine has a disk of its own, and 60 agents on one disk would wait for each other's fsync.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_bus::{Authority, Bus, BusOptions, subjects};
use muster_model::TriggerNumber;
use muster_proto::v1::{TriggerFired, envelope::Body};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;

use super::statistics::{milliseconds, percentile};
use super::subscriber::{self, Subscribers};
use super::{Row, Target};

/// Armed machines, and subscribers of the raw publish.
const MACHINES: u32 = 60;
/// Firings of a round.
const FIRINGS: u64 = 100;
/// What follows from a firing (reports, the log, the store) is over after this.
const PAUSE: Duration = Duration::from_millis(250);
/// The last one acts within this, or the round is no measurement.
const PATIENCE: Duration = Duration::from_secs(2);
/// Everything is up and armed within this.
const UP_LIMIT: Duration = Duration::from_secs(120);
const NUMBER: TriggerNumber = TriggerNumber(3);

/// One round.
pub(super) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("listen for datagrams")?;
    socket.set_read_timeout(Some(PATIENCE)).context("limit the wait for datagrams")?;
    let port = socket.local_addr().context("look at the port")?.port();
    let scratch = super::memory_folder()?;
    let lab = bring_up(scratch.path().join("lab"), port)?;
    let _subscribers = Subscribers::start(&lab, (0..MACHINES).map(|_| format!("port {port}")))?;
    let bus = runtime.block_on(Bus::connect(&BusOptions::insecure_local(&lab.nats_url(), "bench")))?;
    let mut bench = Bench { runtime, bus, socket };
    wait_until("every machine acts and every subscriber hears", UP_LIMIT, || {
        bench.raw(0).is_ok() && bench.fire().is_ok()
    })?;
    let (mut raw, mut fired) = (Vec::new(), Vec::new());
    for number in 1..=FIRINGS {
        std::thread::sleep(PAUSE);
        raw.push(bench.raw(number)?);
        std::thread::sleep(PAUSE);
        fired.push(bench.fire()?);
    }
    lab.down()?;
    Ok(rows(raw, fired))
}

fn rows(mut raw: Vec<Duration>, mut fired: Vec<Duration>) -> Vec<Row> {
    raw.sort_unstable();
    fired.sort_unstable();
    let row = |percent: usize| {
        let at = |times: &[Duration]| percentile(times, percent).map(milliseconds);
        Row {
            name: format!("fire to the action of the last of {MACHINES} machines, p{percent}"),
            value: at(&fired).unwrap_or(f64::NAN),
            unit: "ms",
            reference: at(&raw),
            reference_name: "one raw core publish to as many processes",
            target: Some(Target::RatioAtMost(1.5)),
        }
    };
    vec![row(50), row(99)]
}

/// A lab whose machines send their frames to a port of this one.
fn bring_up(directory: PathBuf, port: u16) -> anyhow::Result<Lab> {
    for machine in 1..=MACHINES {
        let home = directory.join(format!("node-{machine}"));
        std::fs::create_dir_all(&home).context("make the folder of an agent")?;
        let policy = format!("packet_to = \"127.0.0.1:{port}\"\n");
        std::fs::write(home.join("triggers.toml"), policy).context("write the policy of an agent")?;
    }
    let options = LabOptions::new(directory, super::start::programs()?, MACHINES);
    let lab = Lab::up(options, &|line| eprintln!("  {line}"))?;
    let number = NUMBER.to_string();
    let arm = ["trigger", "arm", &number, "--on", "*", "--action", "packet"];
    wait_until("every machine is armed", UP_LIMIT, || {
        let rows = lab.muster_json(&arm).unwrap_or_default();
        let armed = |row: &&serde_json::Value| row["armed"] == true;
        rows.as_array().is_some_and(|rows| rows.iter().filter(armed).count() == MACHINES as usize)
    })?;
    Ok(lab)
}

struct Bench<'r> {
    runtime: &'r tokio::runtime::Runtime,
    bus: Bus,
    socket: UdpSocket,
}

impl Bench<'_> {
    /// One raw publish, until the last subscriber has heard it.
    fn raw(&mut self, number: u64) -> anyhow::Result<Duration> {
        let fired = TriggerFired { note: number.to_string(), ..TriggerFired::default() };
        let envelope = self.bus.envelope(Body::EdgeFired(fired), Authority::default());
        let id = envelope.id.to_vec();
        self.time(subscriber::SUBJECT, &envelope, |datagram| datagram == id)
    }

    /// One firing, until the last machine has acted.
    fn fire(&mut self) -> anyhow::Result<Duration> {
        let id = uuid::Uuid::now_v7();
        let fired = TriggerFired {
            firing: id.as_bytes().to_vec().into(),
            number: NUMBER.0.into(),
            actor: "user:bench".into(),
            fired_ns: self.bus.now().0,
            ..TriggerFired::default()
        };
        let envelope = self.bus.envelope(Body::EdgeFired(fired), Authority::default());
        let name = id.simple().to_string();
        self.time(&subjects::trigger_edge(NUMBER, None), &envelope, |datagram| {
            String::from_utf8_lossy(datagram).contains(&name)
        })
    }

    /// From a publish to the last datagram that belongs to it.
    fn time(
        &mut self,
        subject: &str,
        envelope: &muster_proto::v1::Envelope,
        belongs: impl Fn(&[u8]) -> bool,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.runtime.block_on(async {
            self.bus.publish(subject, envelope).await?;
            self.bus.flush().await
        })?;
        let (mut heard, mut buffer) = (0, [0; 1_024]);
        while heard < MACHINES {
            let size = self.socket.recv(&mut buffer).with_context(|| format!("hear of {MACHINES}; {heard} came"))?;
            heard += u32::from(belongs(&buffer[..size]));
            ensure!(begun.elapsed() < PATIENCE, "only {heard} of {MACHINES} came within {PATIENCE:?}");
        }
        Ok(begun.elapsed())
    }
}
