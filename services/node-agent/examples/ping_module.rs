//! A test module for the agent's own tests, with nothing but the standard library: it answers pings, ends as a file in its work
//! directory or its agent says, and comes back to a new agent. Parameters come from the context file as text:
//! `"fork":"1"` starts a double-forked child, `"ignore_stop":"1"` does not stop, `"words":"1"` says its DPID to its gang once,
//! `"gate":"1"` asks once to be told when it is free, `"crash":"1"` asks once for a crash of its machine. What its gang says, and `set` and `open`, go to the file `heard` in its work
//! directory. And, each with `"1"`, what a bad module does: `liar` says the DPID
//! 00010001 whoever it is, `mute` reads and never answers, `silent` answers once, `nonsense` says things beside its answers that are no messages or no
//! numbers, `flood` fills its log.

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
    if has("flood") {
        std::thread::spawn(flood);
    }
    let manners = Manners {
        ignore_stop: has("ignore_stop"),
        words: has("words"),
        gate: has("gate"),
        crash: has("crash"),
        liar: has("liar"),
        mute: has("mute"),
        silent: has("silent"),
        nonsense: has("nonsense"),
    };
    let mut iterations = 0;
    let begun = Instant::now();
    while begun.elapsed() < RECONNECT_MAX {
        if let Some(end) = talk(&mut iterations, manners) {
            return end;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    ExitCode::from(9)
}

/// How it behaves.
#[derive(Clone, Copy)]
struct Manners {
    ignore_stop: bool,
    words: bool,
    gate: bool,
    crash: bool,
    liar: bool,
    mute: bool,
    silent: bool,
    nonsense: bool,
}

/// Fills the log, quickly and for ever.
fn flood() {
    let text = "x".repeat(50_000);
    loop {
        println!("{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is no message, or has no number.
const NONSENSE: [&str; 6] = [
    "{\"type\":\"metric\",\"device\":\"\",\"counters\":{\"wrong_bytes\":NaN}}",
    "{\"type\":\"metric\",\"device\":\"\",\"counters\":{\"wrong_bytes\":1e999}}",
    "{\"type\":\"metric\",\"device\":\"\",\"gauges\":{\"wrong_bytes\":\"many\"}}",
    "{\"type\":\"pong\"}",
    "not even JSON",
    "{\"type\":\"weather\",\"degrees\":21}",
];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// A child in a session of its own whose parent is gone.
fn double_fork() {
    let script = "setsid sleep 1000 & echo $! > orphan";
    let _ = Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::null()).process_group(0).status();
}

/// Talks on one connection; gives the exit code once done was kept, none when the connection ended.
fn talk(iterations: &mut u64, manners: Manners) -> Option<ExitCode> {
    let stream = UnixStream::connect(variable("MUSTER_SOCKET")).ok()?;
    let mut writing = stream.try_clone().ok()?;
    let dpid = if manners.liar { "00010001".to_owned() } else { variable("MUSTER_DPID") };
    let hello = format!(
        "{{\"type\":\"hello\",\"protocol\":1,\"run\":{},\"dpid\":\"{}\",\"attempt\":{},\"pid\":{}}}",
        variable("MUSTER_RUN"),
        dpid,
        variable("MUSTER_ATTEMPT"),
        std::process::id()
    );
    writeln!(writing, "{hello}").ok()?;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if manners.mute || (manners.silent && *iterations > 0) {
            continue;
        }
        if line.contains("\"ping\"") {
            for nonsense in NONSENSE.iter().filter(|_| manners.nonsense) {
                writeln!(writing, "{nonsense}").ok()?;
            }
            *iterations += 1;
            let n: String = line.chars().filter(char::is_ascii_digit).collect();
            writeln!(writing, "{{\"type\":\"pong\",\"n\":{n},\"iterations\":{iterations}}}").ok()?;
            let metric =
                format!("{{\"type\":\"metric\",\"device\":\"\",\"counters\":{{\"done_bytes\":{iterations}}}}}");
            writeln!(writing, "{metric}").ok()?;
            if manners.words && *iterations == 1 {
                let words = format!("{{\"type\":\"peer\",\"data\":\"I am {}\"}}", variable("MUSTER_DPID"));
                writeln!(writing, "{words}").ok()?;
            }
            if manners.gate && *iterations == 1 {
                writeln!(writing, "{{\"type\":\"gate\",\"n\":7}}").ok()?;
            }
            if manners.crash && *iterations == 1 {
                writeln!(writing, "{{\"type\":\"crash\",\"note\":\"wrong data\"}}").ok()?;
            }
            if let Ok(code) = std::fs::read_to_string("exit") {
                return Some(ExitCode::from(code.trim().parse::<u8>().unwrap_or(8)));
            }
        } else if line.contains("\"stop\"") && !manners.ignore_stop {
            let done = "{\"type\":\"done\",\"status\":\"complete\",\"result\":\"pass\",\"final\":{\"done_bytes\":7}}";
            writeln!(writing, "{done}").ok()?;
        } else if ["\"peer\"", "\"set\"", "\"open\"", "\"not_crashed\""].iter().any(|kind| line.contains(kind)) {
            let mut heard = std::fs::File::options().create(true).append(true).open("heard").ok()?;
            writeln!(heard, "{line}").ok()?;
        } else if line.contains("\"kept\"") {
            return Some(ExitCode::SUCCESS);
        }
    }
    None
}
