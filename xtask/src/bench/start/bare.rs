//! The reference: two threads that start the program, and a socket on which each process says hello, is pinged once and answers;
//! then all are stopped. Nothing is written, nothing is kept.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::cost;

/// Threads that start processes.
const THREADS: u32 = 2;

/// What was measured.
pub(super) struct Bare {
    /// From the first start to the last answer.
    pub(super) started: Duration,
    /// CPU time of that: the processes' and the spawner's.
    pub(super) cpu: Duration,
    /// From the first stop to the last exit.
    pub(super) stopped: Duration,
}

/// Starts so many processes, hears each once, and stops them.
pub(super) fn run(program: &Path, processes: u32) -> anyhow::Result<Bare> {
    let directory = tempfile::tempdir().context("make a folder for a socket")?;
    let socket = directory.path().join("bare.sock");
    let listener = UnixListener::bind(&socket).context("listen")?;
    let own = cost::own()?;
    let begun = Instant::now();
    let (children, lines) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let spawn = |first: u32| spawn_each(program, &socket, (first..processes).step_by(THREADS as usize));
        let spawners: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || spawn(first))).collect();
        let greeted = scope.spawn(|| converse(&listener, processes));
        let mut children = Vec::new();
        for spawner in spawners {
            children.extend(spawner.join().expect("a spawning thread does not panic")?);
        }
        Ok((children, greeted.join().expect("the conversing thread does not panic")?))
    })?;
    let started = begun.elapsed();
    let cpu = cost::own()?.saturating_sub(own) + cost::of(children.iter().map(Child::id));
    let stopped = stop(children, lines)?;
    Ok(Bare { started, cpu, stopped })
}

fn spawn_each(program: &Path, socket: &Path, numbers: impl Iterator<Item = u32>) -> anyhow::Result<Vec<Child>> {
    let spawn = |number: u32| {
        let mut command = Command::new(program);
        command.env_clear().env("MUSTER_SOCKET", socket).env("MUSTER_RUN", "1").env("MUSTER_ATTEMPT", "1");
        command.env("MUSTER_DPID", format!("0001{number:04x}")).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("start the program")
    };
    numbers.map(spawn).collect()
}

/// Hears every hello and asks each for a pong at once; the pongs are read behind, by a thread of their own.
fn converse(listener: &UnixListener, processes: u32) -> anyhow::Result<Vec<BufReader<UnixStream>>> {
    let (asked, answers) = std::sync::mpsc::sync_channel::<BufReader<UnixStream>>(processes as usize);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut heard = Vec::new();
            for mut lines in answers {
                lines.read_line(&mut String::new()).context("read a pong")?;
                heard.push(lines);
            }
            Ok(heard)
        });
        for _ in 0..processes {
            let (stream, _) = listener.accept().context("accept a process")?;
            let mut lines = BufReader::with_capacity(256, stream);
            lines.read_line(&mut String::new()).context("read a hello")?;
            lines.get_mut().write_all(b"{\"type\":\"start\"}\n{\"type\":\"ping\",\"n\":1}\n").context("ask")?;
            asked.send(lines).context("hand an answer over")?;
        }
        drop(asked);
        reading.join().expect("the reading thread does not panic")
    })
}

fn stop(children: Vec<Child>, mut lines: Vec<BufReader<UnixStream>>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for process in &mut lines {
        process.get_mut().write_all(b"{\"type\":\"stop\",\"grace_ms\":5000}\n").context("stop a process")?;
    }
    for process in &mut lines {
        process.read_line(&mut String::new()).context("read done")?;
        process.get_mut().write_all(b"{\"type\":\"kept\"}\n").context("let a process go")?;
    }
    for mut child in children {
        child.wait().context("wait for a process")?;
    }
    Ok(begun.elapsed())
}
