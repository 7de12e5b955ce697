//! The benchmark `trigger`: from a firing to the action of the last of 60 armed machines, beside one raw core publish to 60 processes
//! that do nothing but hear it. Both are timed by one clock: whoever hears sends a datagram back, which is the action `packet` of
//! the agents. All of them, the bus and the services share this machine, and take turns.
//!
//! The lab lies in memory: each machine has a disk of its own, and 60 agents on one disk would wait for each other's fsync.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::StreamExt;
use muster_bus::{Authority, Bus, BusOptions, subjects};
use muster_model::TriggerNumber;
use muster_proto::v1::{TriggerFired, envelope::Body};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;

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
/// Where memory is a directory.
const MEMORY: &str = "/dev/shm";
/// Subject of the raw publish; nothing of Muster's.
const RAW: &str = "bench.trigger.raw";
/// How the raw subscribers are named; their port follows.
pub(super) const SUBSCRIBER: &str = "raw-subscriber-";
const NUMBER: TriggerNumber = TriggerNumber(3);

/// One round.
pub(super) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("listen for datagrams")?;
    socket.set_read_timeout(Some(PATIENCE)).context("limit the wait for datagrams")?;
    let port = socket.local_addr().context("look at the port")?.port();
    let scratch = tempfile::Builder::new().prefix("muster-bench-").tempdir_in(MEMORY).context("make a folder")?;
    // PostgreSQL runs as another user and has to get through.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).context("open the folder")?;
    let lab = bring_up(scratch.path().join("lab"), port)?;
    let _subscribers = Subscribers::start(&lab, port)?;
    let bus = runtime.block_on(Bus::connect(&BusOptions::new(&lab.nats_url(), "bench")))?;
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
    let at = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let row = |percent: usize| Row {
        name: format!("fire to the action of the last of {MACHINES} machines, p{percent}"),
        value: at(&fired, percent),
        unit: "ms",
        reference: Some(at(&raw, percent)),
        reference_name: "one raw core publish to as many processes",
        target: Some(Target::RatioAtMost(1.5)),
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
    let options = LabOptions {
        directory,
        programs: super::start::programs()?,
        machines: MACHINES,
        disks: 0,
        replicas: 1,
        simulated: 0,
        script: None,
        nats: 1,
    };
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

/// Processes that hear the raw publish; ended when dropped.
struct Subscribers(Vec<Child>);

impl Subscribers {
    fn start(lab: &Lab, port: u16) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let mut started = Self(Vec::new());
        for _ in 0..MACHINES {
            let mut command = Command::new(&own);
            command.args(["bench", "trigger", "--instance", &format!("{SUBSCRIBER}{port}"), "--nats", &lab.nats_url()]);
            started.0.push(command.stdin(Stdio::null()).spawn().context("start a subscriber")?);
        }
        Ok(started)
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A subscriber of the raw publish: sends back what it hears.
pub(super) async fn subscriber(nats: &str, port: &str) -> anyhow::Result<()> {
    let port: u16 = port.parse().context("read the port of a subscriber")?;
    let bus = Bus::connect(&BusOptions::new(nats, "bench-subscriber")).await?;
    let mut heard = bus.subscribe(RAW, None).await?;
    let socket = UdpSocket::bind("127.0.0.1:0").context("make a socket")?;
    while let Some(message) = heard.next().await {
        if let Ok(envelope) = message.envelope {
            let _ = socket.send_to(envelope.id.as_ref(), ("127.0.0.1", port));
        }
    }
    Ok(())
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
        self.time(RAW, &envelope, |datagram| datagram == id)
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
