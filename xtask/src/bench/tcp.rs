//! The benchmark `tcp`: verified packets one way over the loopback beside iperf3 with writes of the same size, which verifies
//! nothing. Each is a server and a client, one process each, on the same cores; they take turns.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_testkit::{free_port, tools};
use serde_json::Value;

use super::start::cost;
use super::{Row, Target};
use crate::build;

/// How long each of them sends.
const SECONDS: u32 = 2;
/// Sizes of packets, of iperf3's writes, and what part of its rate is to be reached.
const SIZES: [(&str, &str, f64); 2] = [("128KiB", "128K", 0.9), ("4KiB", "4K", 1.7)];
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// What one of them did.
#[derive(Debug, Clone, Copy)]
struct Done {
    /// Bytes that were received.
    bytes: f64,
    seconds: f64,
    /// Of both processes.
    cpu: Duration,
}

/// One round: each way twice, one after the other and then the other way round.
pub(crate) fn run() -> anyhow::Result<Vec<Row>> {
    let (ours, reference) = (build::shipped_module("muster-tcp")?, tools::packaged("iperf3")?);
    let mut rows = Vec::new();
    for (packet, write, at_least) in SIZES {
        let first = iperf3(&reference, write)?;
        let verified = [tcp(&ours, packet)?, tcp(&ours, packet)?];
        let plain = [first, iperf3(&reference, write)?];
        rows.extend(compare(packet, at_least, mean(verified), mean(plain)));
    }
    Ok(rows)
}

fn compare(packet: &str, at_least: f64, verified: Done, plain: Done) -> [Row; 3] {
    let rate = |done: Done| done.bytes / done.seconds / 1e6;
    let cpu = |done: Done| done.cpu.as_secs_f64() / (done.bytes / GIB);
    let row = |what: &str, value, unit| Row {
        name: format!("packets of {packet}, {what}"),
        value,
        unit,
        reference: None,
        reference_name: "iperf3",
        target: None,
    };
    [
        Row { reference: Some(rate(plain)), ..row("verified", rate(verified), "MB/s") },
        Row { target: Some(Target::AtLeast(at_least)), ..row("of iperf3's rate", rate(verified) / rate(plain), "x") },
        Row { reference: Some(cpu(plain)), ..row("CPU of both ends", cpu(verified), "s/GiB") },
    ]
}

fn mean([one, other]: [Done; 2]) -> Done {
    Done { bytes: one.bytes + other.bytes, seconds: one.seconds + other.seconds, cpu: one.cpu + other.cpu }
}

/// A child that does not outlive a benchmark that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tcp(program: &Path, packet: &str) -> anyhow::Result<Done> {
    let before = cost::own()?;
    let directory = tempfile::tempdir().context("make a folder for results")?;
    let place = format!("127.0.0.1:{}", free_port()?);
    let start = |role: &str| {
        let mut command = Command::new(program);
        command.env_remove("MUSTER_SOCKET").current_dir(directory.path()).stdout(Stdio::piped());
        command.args(["--role", role, "--peer", &place, "--param", "direction=to_server", "--param", "network=lo"]);
        command.args(["--param", &format!("packet_size={packet}"), "--param", &format!("duration={SECONDS}s")]);
        command.spawn().map(Running).context("start muster-tcp")
    };
    let (mut server, mut client) = (start("server")?, start("client")?);
    let (received, sent) = (last_line(&mut server)?, last_line(&mut client)?);
    ensure!(received["result"] == "pass" && sent["result"] == "pass", "muster-tcp failed: {received} {sent}");
    let total = |name: &str| received["final"][name].as_f64().with_context(|| format!("muster-tcp says no {name}"));
    let (bytes, seconds) = (total("verified_bytes")?, total("seconds")?);
    drop((server, client));
    Ok(Done { bytes, seconds, cpu: cost::own()?.saturating_sub(before) })
}

/// The last line that a process prints before its end: what it says at the end.
fn last_line(process: &mut Running) -> anyhow::Result<Value> {
    let lines = BufReader::new(process.0.stdout.take().context("its output is ours")?).lines();
    let last = lines.last().context("it prints something")?.context("read its output")?;
    serde_json::from_str(&last).context("read its last line")
}

fn iperf3(program: &Path, write: &str) -> anyhow::Result<Done> {
    let before = cost::own()?;
    let port = free_port()?.to_string();
    let mut server = Command::new(program);
    server.args(["-s", "-1", "-B", "127.0.0.1", "-p", &port, "--forceflush"]).stdout(Stdio::piped());
    let mut server = Running(server.spawn().context("start iperf3")?);
    let mut lines = BufReader::new(server.0.stdout.take().context("its output is ours")?).lines();
    let listening = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening"));
    ensure!(listening, "iperf3 does not listen on port {port}");
    let seconds = SECONDS.to_string();
    let arguments = ["-c", "127.0.0.1", "-p", &port, "-l", write, "-t", &seconds, "-J"];
    let output = Command::new(program).args(arguments).output().context("run iperf3")?;
    let said: Value = serde_json::from_slice(&output.stdout).context("read what iperf3 says")?;
    let received = &said["end"]["sum_received"];
    let number = |name: &str| received[name].as_f64().with_context(|| format!("iperf3 failed: {}", said["error"]));
    let (bytes, seconds) = (number("bytes")?, number("seconds")?);
    // The server ends after its one client; until then it may still write.
    lines.for_each(drop);
    drop(server);
    Ok(Done { bytes, seconds, cpu: cost::own()?.saturating_sub(before) })
}
