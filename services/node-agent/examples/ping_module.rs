//! A test module for the agent's own tests, with nothing but the standard library: it answers pings, ends as a file in its work
//! directory or its agent says, and comes back to a new agent. Parameters come from the context file as text:
//! `"fork":"1"` starts a double-forked child, `"ignore_stop":"1"` does not stop, `"words":"1"` says its DPID to its gang once. What
//! its gang says goes to the file `heard` in its work directory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How long an agent is looked for.
const RECONNECT_MAX: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let context = std::fs::read_to_string(variable("MUSTER_CONTEXT")).unwrap_or_default();
    let has = |name: &str| context.contains(&format!("\"{name}\": \"1\""));
    println!("begins");
    if has("fork") {
        double_fork();
    }
    if has("log") {
        println!("{}", "x".repeat(200_000));
    }
    let mut iterations = 0;
    let begun = Instant::now();
    while begun.elapsed() < RECONNECT_MAX {
        if let Some(end) = talk(&mut iterations, has("ignore_stop"), has("words")) {
            return end;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    ExitCode::from(9)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// A child in a session of its own whose parent is gone.
fn double_fork() {
    let script = "setsid sleep 1000 & echo $! > orphan";
    let _ = Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::null()).process_group(0).status();
}

/// Talks on one connection; gives the exit code once done was kept, none when the connection ended.
fn talk(iterations: &mut u64, ignore_stop: bool, words: bool) -> Option<ExitCode> {
    let stream = UnixStream::connect(variable("MUSTER_SOCKET")).ok()?;
    let mut writing = stream.try_clone().ok()?;
    let hello = format!(
        "{{\"type\":\"hello\",\"protocol\":1,\"run\":{},\"dpid\":\"{}\",\"attempt\":{},\"pid\":{}}}",
        variable("MUSTER_RUN"),
        variable("MUSTER_DPID"),
        variable("MUSTER_ATTEMPT"),
        std::process::id()
    );
    writeln!(writing, "{hello}").ok()?;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if line.contains("\"ping\"") {
            *iterations += 1;
            let n: String = line.chars().filter(char::is_ascii_digit).collect();
            writeln!(writing, "{{\"type\":\"pong\",\"n\":{n},\"iterations\":{iterations}}}").ok()?;
            let metric =
                format!("{{\"type\":\"metric\",\"device\":\"\",\"counters\":{{\"done_bytes\":{iterations}}}}}");
            writeln!(writing, "{metric}").ok()?;
            if words && *iterations == 1 {
                let words = format!("{{\"type\":\"peer\",\"data\":\"I am {}\"}}", variable("MUSTER_DPID"));
                writeln!(writing, "{words}").ok()?;
            }
            if let Ok(code) = std::fs::read_to_string("exit") {
                return Some(ExitCode::from(code.trim().parse::<u8>().unwrap_or(8)));
            }
        } else if line.contains("\"stop\"") && !ignore_stop {
            let done = "{\"type\":\"done\",\"status\":\"complete\",\"result\":\"pass\",\"final\":{\"done_bytes\":7}}";
            writeln!(writing, "{done}").ok()?;
        } else if line.contains("\"peer\"") {
            let mut heard = std::fs::File::options().create(true).append(true).open("heard").ok()?;
            writeln!(heard, "{line}").ok()?;
        } else if line.contains("\"kept\"") {
            return Some(ExitCode::SUCCESS);
        }
    }
    None
}
