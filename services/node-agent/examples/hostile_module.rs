//! A test module that does one kind of harm, for the agent's own tests: its parameter `mode` says which. Beside it, it answers pings, and it
//! never stops by itself. Each mode has a bound of its own far above what contains it, so that a machine on which nothing contains
//! it lives on. What came of an attack is in the file `came_of_it` in its work directory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// OS processes that a fork bomb has at most.
const FORKS_MAX: u32 = 3_000;
/// Bytes that are taken of memory, and written to a disk or a log, at most.
const BYTES_MAX: usize = 3 << 30;
/// What is taken or written at once.
const CHUNK_BYTES: usize = 4 << 20;
/// Descriptors that are opened at most.
const DESCRIPTORS_MAX: usize = 100_000;
/// Lines that are said to the agent at most.
const LINES_MAX: u32 = 300_000;
/// Children that end and are not collected.
const ZOMBIES: u32 = 50;

fn main() {
    let mode = mode();
    std::thread::spawn(move || harm(&mode));
    loop {
        talk();
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn mode() -> String {
    let context = std::fs::read_to_string(variable("MUSTER_CONTEXT")).unwrap_or_default();
    let after = context.split_once("\"mode\": \"").map(|(_, after)| after).unwrap_or_default();
    after.split('"').next().unwrap_or_default().to_owned()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn harm(mode: &str) {
    match mode {
        "fork_bomb" => fork_bomb(),
        "memory" => memory(),
        "disk" => disk(),
        "descriptors" => descriptors(),
        "log_flood" => log_flood(),
        "double_fork" => hide(&["-c", "(env -i setsid sleep 987 & echo $! > came_of_it)"]),
        "ignores_signals" => ignore_signals(),
        "zombie_maker" => zombies(),
        "setsid" => {
            hide(&["-c", "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > came_of_it; while :; do sleep 987; done' &"])
        }
        "ptrace" => ptrace(),
        "reads_state" => read_state(),
        "fills_spool" => fill_spool(),
        other => note(&format!("no mode {other}")),
    }
}

fn note(what: &str) {
    let _ = std::fs::write("came_of_it", what);
}

/// Every process forks again, all of them share one count.
fn fork_bomb() {
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a mapping of its own; after a fork only system calls and that counter are used.
    unsafe {
        let count = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, shared, -1, 0);
        let count = &*count.cast::<AtomicU32>();
        let mut noted = false;
        loop {
            if count.load(Ordering::Relaxed) >= FORKS_MAX {
                libc::pause();
            }
            match libc::fork() {
                0 => {}
                // The parent counts.
                1.. => drop(count.fetch_add(1, Ordering::Relaxed)),
                _ => {
                    let forked = count.load(Ordering::Relaxed);
                    if !noted && forked > 0 {
                        noted = true;
                        note(&format!("refused after {forked}"));
                    }
                    libc::usleep(2_000);
                }
            }
        }
    }
}

fn memory() {
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    for taken in (0..BYTES_MAX).step_by(CHUNK_BYTES) {
        // SAFETY: a mapping of its own, which is written only where it is there.
        unsafe {
            let chunk =
                libc::mmap(std::ptr::null_mut(), CHUNK_BYTES, libc::PROT_READ | libc::PROT_WRITE, private, -1, 0);
            if chunk == libc::MAP_FAILED {
                return note(&format!("refused after {taken}"));
            }
            libc::memset(chunk, 1, CHUNK_BYTES);
        }
    }
    note("not refused");
}

fn disk() {
    let chunk = vec![7; CHUNK_BYTES];
    let Ok(mut file) = std::fs::File::create("large") else { return };
    for _ in (0..BYTES_MAX).step_by(CHUNK_BYTES) {
        if file.write_all(&chunk).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn descriptors() {
    let mut open = Vec::new();
    while open.len() < DESCRIPTORS_MAX {
        match std::fs::File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(_) => break,
        }
    }
    let count = open.len();
    open.truncate(count.saturating_sub(5));
    note(&format!("refused after {count}"));
    loop {
        std::thread::park();
    }
}

fn log_flood() {
    let text = "x".repeat(1 << 20);
    for _ in (0..BYTES_MAX).step_by(1 << 20) {
        println!("{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts something by a shell, which is given no environment of ours to be recognised by.
fn hide(arguments: &[&str]) {
    let _ =
        Command::new("/bin/sh").args(arguments).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).status();
}

fn ignore_signals() {
    for signal in 1..32 {
        // SAFETY: the kernel refuses those that can not be ignored.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    note("ignored");
}

fn zombies() {
    for _ in 0..ZOMBIES {
        // SAFETY: the child ends at once.
        unsafe {
            if libc::fork() == 0 {
                libc::_exit(0);
            }
        }
    }
    note("made");
}

/// Attaches to its parent, which is the keeper, and to whoever is called as the agent is.
fn ptrace() {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let named =
        |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().starts_with("muster-");
    let targets: Vec<i32> = pids.filter(named).collect();
    // SAFETY: system calls on numbers.
    let attached = targets.iter().filter(|pid| unsafe { libc::ptrace(libc::PTRACE_ATTACH, **pid, 0, 0) } == 0).count();
    let stopped = targets.iter().filter(|pid| unsafe { libc::kill(**pid, libc::SIGSTOP) } == 0).count();
    let read = targets.iter().filter(|pid| std::fs::read(format!("/proc/{pid}/environ")).is_ok()).count();
    note(&format!("of {} attached {attached} stopped {stopped} read {read}", targets.len()));
}

/// Reads and changes whatever it can of the agent's state directory.
fn read_state() {
    let socket = variable("MUSTER_SOCKET");
    let state = std::path::Path::new(&socket).parent().map(std::path::Path::to_owned).unwrap_or_default();
    let mut reached = Vec::new();
    reached.extend(std::fs::read_dir(&state).ok().map(|_| "list".to_owned()));
    for name in [
        "secret/tokens",
        "intents.jsonl",
        "intents",
        "fence",
        "lock",
        "keeper/exits.jsonl",
        "keeper/keeper.log",
        "credentials",
    ] {
        reached.extend(std::fs::read(state.join(name)).ok().map(|_| name.to_owned()));
    }
    reached.extend(UnixStream::connect(state.join("keeper.sock")).ok().map(|_| "keeper.sock".to_owned()));
    for name in ["new", "work/new", "cache/new", "pulses", "work/1-00010001-1/new"] {
        let opened = std::fs::File::options().create(true).append(true).open(state.join(name));
        reached.extend(opened.ok().map(|_| format!("write {name}")));
    }
    reached.extend(std::fs::read_dir(state.join("work/1-00010001-1")).ok().map(|_| "another's work".to_owned()));
    note(&format!("reached {reached:?}"));
}

fn fill_spool() {
    let Ok(mut stream) = UnixStream::connect(variable("MUSTER_SOCKET")) else { return };
    let _ = writeln!(stream, "{}", hello());
    for number in 0..LINES_MAX {
        let said = writeln!(
            stream,
            "{{\"type\":\"metric\",\"device\":\"d{}\",\"counters\":{{\"c{}\":{number}}}}}\n\
             {{\"type\":\"corruption\",\"target\":\"t\",\"class\":\"BITFLIP\",\"offset\":{number}}}",
            number % 50,
            number % 200
        );
        if said.is_err() {
            return;
        }
    }
}

fn hello() -> String {
    format!(
        "{{\"type\":\"hello\",\"protocol\":1,\"run\":{},\"dpid\":\"{}\",\"attempt\":{},\"pid\":{}}}",
        variable("MUSTER_RUN"),
        variable("MUSTER_DPID"),
        variable("MUSTER_ATTEMPT"),
        std::process::id()
    )
}

/// Answers pings, and nothing else.
fn talk() -> Option<()> {
    let stream = UnixStream::connect(variable("MUSTER_SOCKET")).ok()?;
    let mut writing = stream.try_clone().ok()?;
    writeln!(writing, "{}", hello()).ok()?;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if line.contains("\"ping\"") {
            let n: String = line.chars().filter(char::is_ascii_digit).collect();
            writeln!(writing, "{{\"type\":\"pong\",\"n\":{n},\"iterations\":{n}}}").ok()?;
        }
    }
    None
}
