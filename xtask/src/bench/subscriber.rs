//! The reference of whatever happens on many machines at once: as many processes that do nothing but hear one raw core publish, and
//! say so in the way of what they are compared with. Each has one thread.

use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use futures::StreamExt;
use muster_bus::{Bus, BusOptions};
use muster_testkit::lab::Lab;

/// Subject of the raw publish; nothing of Muster's.
pub(super) const SUBJECT: &str = "bench.raw";
/// How the instances of these are named; what they do follows.
pub(super) const NAME: &str = "raw-subscriber-";

/// Processes that hear the raw publish; ended when dropped.
pub(super) struct Subscribers(Vec<Child>);

impl Subscribers {
    /// Starts one for each of these: `port 4711` answers by a datagram with the id of what it heard, `file PATH` writes down when.
    pub(super) fn start(lab: &Lab, answers: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let mut started = Self(Vec::new());
        for answer in answers {
            let mut command = Command::new(&own);
            command.args(["bench", "pulse", "--instance", &format!("{NAME}{answer}"), "--nats", &lab.nats_url()]);
            started.0.push(command.stdin(Stdio::null()).spawn().context("start a subscriber")?);
        }
        Ok(started)
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// How a subscriber says that it heard.
enum Answer {
    Port(UdpSocket, u16),
    File(File),
}

impl Answer {
    fn parse(text: &str) -> anyhow::Result<Self> {
        match text.split_once(' ') {
            Some(("port", port)) => {
                let socket = UdpSocket::bind("127.0.0.1:0").context("make a socket")?;
                Ok(Self::Port(socket, port.parse().context("read the port of a subscriber")?))
            }
            Some(("file", path)) => Ok(Self::File(File::create(path).with_context(|| format!("make {path}"))?)),
            Some(_) | None => bail!("`{text}` says nothing of how a subscriber answers"),
        }
    }

    /// What can not be said is missed by who counts.
    fn say(&mut self, id: &[u8]) {
        match self {
            Self::Port(socket, port) => drop(socket.send_to(id, ("127.0.0.1", *port))),
            Self::File(file) => drop(file.write_all(&wall_time().to_le_bytes())),
        }
    }
}

/// The wall time, nanoseconds: as the module `idle` writes it into its marks.
pub(super) fn wall_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    u64::try_from(now).unwrap_or(u64::MAX)
}

/// Lives as a subscriber, until it is killed.
pub(super) fn live(nats: &str, answer: &str) -> anyhow::Result<()> {
    let mut answer = Answer::parse(answer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let bus = Bus::connect(&BusOptions::insecure_local(nats, "bench-subscriber")).await?;
        let mut heard = bus.subscribe(SUBJECT, None).await?;
        while let Some(message) = heard.next().await {
            if let Ok(envelope) = message.envelope {
                answer.say(&envelope.id);
            }
        }
        Ok(())
    })
}
