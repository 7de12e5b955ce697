//! The keeper alone, by what it says on its socket: no agent, no bus.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_testkit::{is_alive, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// A keeper for a state directory of its own.
struct Keeper {
    child: Child,
    home: tempfile::TempDir,
}

/// An agent's side of the socket.
struct Agent {
    writing: UnixStream,
    reading: BufReader<UnixStream>,
}

impl Keeper {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { child: spawn(home.path()), home }
    }

    /// Kills it and starts another.
    fn replace(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.home.path());
    }

    fn connect(&self) -> (Agent, Value) {
        let path = self.home.path().join("keeper.sock");
        let mut connected = None;
        wait_until("the keeper listens", LIMIT, || {
            connected = UnixStream::connect(&path).ok();
            connected.is_some()
        })
        .unwrap();
        let stream = connected.unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut agent = Agent { writing: stream.try_clone().unwrap(), reading: BufReader::new(stream) };
        agent.say(&json!({"type": "hello"}));
        let state = agent.hear();
        assert_eq!(state["type"], "state");
        (agent, state)
    }

    /// A process that runs a shell script; its name is `1-0000000<n>-1`.
    fn script(&self, number: u32, script: &str) -> Value {
        let socket = self.home.path().canonicalize().unwrap().join("agent.sock");
        let name = format!("1-0000000{number}-1");
        let program = self.home.path().join(&name);
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        Command::new("chmod").arg("+x").arg(&program).status().unwrap();
        json!({
            "name": name, "program": program, "argv0": format!("test:{number}"), "directory": self.home.path(),
            "log": self.home.path().join(format!("log{number}")),
            "environment": {
                "MUSTER_SOCKET": socket, "MUSTER_RUN": "1", "MUSTER_DPID": format!("0000000{number}"),
                "MUSTER_ATTEMPT": "1", "PATH": "/usr/bin:/bin",
            },
        })
    }

    fn orphan(&self) -> u32 {
        let path = self.home.path().join("orphan");
        let read = || std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        wait_until("the orphan is named", LIMIT, || read().is_some()).unwrap();
        read().unwrap()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It ends by itself when nothing lives and its directory is gone; a failed test may leave processes, so they are named.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let home = self.home.path().to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if String::from_utf8_lossy(&environment).contains(&format!("{home}/agent.sock")) {
                let pid = entry
                    .file_name()
                    .to_str()
                    .and_then(|pid| pid.parse().ok())
                    .and_then(rustix::process::Pid::from_raw);
                pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
        }
    }
}

fn spawn(state: &Path) -> Child {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_muster-keeper"));
    Command::new(program).arg("--state").arg(state).stdin(Stdio::null()).spawn().unwrap()
}

impl Agent {
    fn say(&mut self, message: &Value) {
        writeln!(self.writing, "{message}").unwrap();
    }

    fn spawn(&mut self, processes: &[Value]) {
        self.say(&json!({"type": "spawn", "processes": processes}));
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.reading.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next message of a type.
    fn hear_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear();
            if message["type"] == kind {
                return message;
            }
        }
    }
}

fn pid_of(message: &Value) -> u32 {
    u32::try_from(message["pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn an_exit_is_kept_for_the_next_agent_until_it_is_acknowledged() {
    let keeper = Keeper::start();
    let (mut agent, state) = keeper.connect();
    assert_eq!((&state["living"], &state["exits"]), (&json!([]), &json!([])));
    agent.spawn(&[keeper.script(1, "echo out; echo err >&2; exit 7")]);
    agent.hear_of("spawned");
    drop(agent);
    let (mut agent, _) = keeper.connect();
    let kept = wait_for_exit(&keeper, &mut agent);
    assert_eq!((kept["status"].as_i64(), kept["name"].as_str()), (Some(7 << 8), Some("1-00000001-1")));
    assert_eq!(std::fs::read_to_string(keeper.home.path().join("log1")).unwrap(), "out\nerr\n");
    drop(agent);
    let (mut agent, state) = keeper.connect();
    assert_eq!(state["exits"].as_array().unwrap().len(), 1);
    agent.say(&json!({"type": "acknowledge", "names": ["1-00000001-1"]}));
    drop(agent);
    assert_eq!(keeper.connect().1["exits"], json!([]));
}

/// The exit, from the state or from what comes after it.
fn wait_for_exit(keeper: &Keeper, agent: &mut Agent) -> Value {
    agent.say(&json!({"type": "hello"}));
    let state = agent.hear();
    let _ = keeper;
    match state["type"].as_str() {
        Some("exited") => state,
        _ => match state["exits"].get(0) {
            Some(exit) => exit.clone(),
            None => agent.hear_of("exited"),
        },
    }
}

#[test]
fn what_it_was_given_by_accident_is_closed_and_its_processes_have_three_descriptors() {
    let home = tempfile::tempdir().unwrap();
    let accident = std::fs::File::create(home.path().join("accident")).unwrap();
    rustix::io::fcntl_setfd(&accident, rustix::io::FdFlags::empty()).unwrap();
    let keeper = Keeper { child: spawn(home.path()), home };
    let (mut agent, _) = keeper.connect();
    agent.spawn(&[keeper.script(1, "exec sleep 1000")]);
    let pid = pid_of(&agent.hear_of("spawned"));
    let open = |pid: u32| {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect::<Vec<_>>()
    };
    let of_keeper = open(keeper.child.id());
    assert!(!of_keeper.iter().any(|path| path.ends_with("accident")), "{of_keeper:?}");
    let sleeps = || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep");
    wait_until("the script is a sleep", LIMIT, sleeps).unwrap();
    assert_eq!(open(pid).len(), 3, "{:?}", open(pid));
}

#[test]
fn processes_outlive_their_agent_and_a_known_name_is_not_started_again() {
    let keeper = Keeper::start();
    let (mut agent, _) = keeper.connect();
    let script = keeper.script(1, "exec sleep 1000");
    agent.spawn(std::slice::from_ref(&script));
    let pid = pid_of(&agent.hear_of("spawned"));
    drop(agent);
    let (mut agent, state) = keeper.connect();
    assert_eq!(state["living"], json!([{"name": "1-00000001-1", "pid": pid}]));
    agent.spawn(&[script]);
    assert_eq!(pid_of(&agent.hear_of("spawned")), pid, "the same process");
    agent.say(&json!({"type": "kill", "names": ["1-00000001-1"]}));
    assert_eq!(agent.hear_of("exited")["status"], 9);
}

#[test]
fn a_kill_reaches_a_double_forked_child_in_a_session_of_its_own() {
    let keeper = Keeper::start();
    let (mut agent, _) = keeper.connect();
    agent.spawn(&[keeper.script(1, "(setsid sleep 1000 & echo $! > orphan); exec sleep 1000")]);
    agent.hear_of("spawned");
    let orphan = keeper.orphan();
    assert!(is_alive(orphan));
    agent.say(&json!({"type": "kill", "names": ["1-00000001-1"]}));
    agent.hear_of("exited");
    wait_until("the orphan is gone", LIMIT, || !is_alive(orphan)).unwrap();
}

#[test]
fn what_an_ended_process_left_behind_goes_with_it() {
    let keeper = Keeper::start();
    let (mut agent, _) = keeper.connect();
    agent.spawn(&[keeper.script(1, "(setsid sleep 1000 & echo $! > orphan); exit 0")]);
    assert_eq!(agent.hear_of("exited")["status"], 0);
    let orphan = keeper.orphan();
    wait_until("the orphan is gone", LIMIT, || !is_alive(orphan)).unwrap();
}

#[test]
fn a_program_that_can_not_be_started_is_said() {
    let keeper = Keeper::start();
    let (mut agent, _) = keeper.connect();
    let mut script = keeper.script(1, "");
    script["program"] = json!("/no/such/program");
    agent.spawn(&[script]);
    let refused = agent.hear_of("not_spawned");
    assert!(refused["reason"].as_str().unwrap().contains("/no/such/program"), "{refused}");
}

#[test]
fn a_new_keeper_finds_what_the_killed_one_started() {
    let mut keeper = Keeper::start();
    let (mut agent, _) = keeper.connect();
    agent.spawn(&[keeper.script(1, "exec sleep 1000"), keeper.script(2, "exec sleep 1000")]);
    let pids = [agent.hear_of("spawned"), agent.hear_of("spawned")].map(|message| pid_of(&message));
    drop(agent);
    keeper.replace();
    let (mut agent, state) = keeper.connect();
    assert_eq!(state["living"].as_array().unwrap().len(), 2, "{state}");
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    agent.say(&json!({"type": "kill", "names": ["1-00000001-1"]}));
    let exit = agent.hear_of("exited");
    assert_eq!(
        (exit["name"].as_str(), exit["status"].is_null()),
        (Some("1-00000001-1"), true),
        "nobody could wait for it"
    );
    drop(agent);
    keeper.replace();
    let (_, state) = keeper.connect();
    assert_eq!(
        (state["living"].as_array().unwrap().len(), state["exits"].as_array().unwrap().len()),
        (1, 1),
        "{state}"
    );
}

#[test]
fn it_ends_when_told_and_nothing_lives() {
    let mut keeper = Keeper::start();
    let (mut agent, _) = keeper.connect();
    agent.spawn(&[keeper.script(1, "exec sleep 1000")]);
    agent.hear_of("spawned");
    agent.say(&json!({"type": "shutdown"}));
    agent.say(&json!({"type": "kill", "names": ["1-00000001-1"]}));
    agent.hear_of("exited");
    wait_until("it ends", LIMIT, || {
        let _ = writeln!(agent.writing, "{}", json!({"type": "shutdown"}));
        keeper.child.try_wait().unwrap().is_some_and(|status| status.code() == Some(0) && status.signal().is_none())
    })
    .unwrap();
}

#[test]
fn it_ends_when_its_directory_is_gone_and_nothing_lives() {
    let mut keeper = Keeper::start();
    let (agent, _) = keeper.connect();
    drop(agent);
    std::fs::remove_dir_all(keeper.home.path()).unwrap();
    wait_until("it ends", LIMIT, || keeper.child.try_wait().unwrap().is_some()).unwrap();
}
