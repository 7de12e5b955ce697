//! How soon another leads after a leader was killed: instances in processes of their own, and kill -9.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_bus::Bus;
use muster_bus::subjects::Service;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::load::try_command;
use super::service::Instance;

/// Leaders that die.
const DEATHS: usize = 5;
/// The service whose log they lead.
const SERVICE: Service = Service::Reservation;
/// One attempt to give a command to the new leader.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(100);
/// Time between two attempts.
const ATTEMPT_EVERY: Duration = Duration::from_millis(10);
/// Another certainly leads within this.
const DEADLINE: Duration = Duration::from_secs(30);

/// What an instance's process does, until it is killed or told to end: says that it follows, and leads when it may.
pub(crate) async fn instance(url: &str, name: &str) -> anyhow::Result<()> {
    let instance = Instance::start(super::connect(url).await?, SERVICE, name, u64::MAX);
    instance.loaded().await;
    println!("follows");
    instance.ended().await
}

/// Seconds from the death of a leader until a command is answered again: the median of some deaths.
pub(crate) async fn measure(url: &str) -> anyhow::Result<f64> {
    let bus = super::connect(url).await?;
    let mut leader = start(url, 0).await?;
    answered(&bus).await?;
    let mut times = Vec::new();
    for death in 1..=DEATHS {
        let next = start(url, death).await?;
        let died = Instant::now();
        leader.kill().await.context("kill a leader")?;
        answered(&bus).await?;
        times.push(died.elapsed());
        leader = next;
    }
    leader.kill().await.context("kill the last leader")?;
    times.sort();
    Ok(times[DEATHS / 2].as_secs_f64())
}

/// Starts this program again as an instance, and waits until it follows.
async fn start(url: &str, number: usize) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["bench", "ledger", "--instance", &format!("leader-{number}"), "--nats", url]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("start an instance")?;
    let output = child.stdout.take().context("its output")?;
    let mut line = String::new();
    let mut output = BufReader::new(output);
    let reading = output.read_line(&mut line);
    tokio::time::timeout(DEADLINE, reading).await.context("an instance did not start")??;
    ensure!(line.trim() == "follows", "an instance ended at its start");
    Ok(child)
}

/// Waits until a command is answered.
async fn answered(bus: &Bus) -> anyhow::Result<()> {
    let start = Instant::now();
    while !try_command(bus, ATTEMPT_TIMEOUT).await? {
        ensure!(start.elapsed() < DEADLINE, "nobody leads");
        tokio::time::sleep(ATTEMPT_EVERY).await;
    }
    Ok(())
}
