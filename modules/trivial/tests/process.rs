//! The built program, under an agent that the test plays: its manifest, its life, its ends, and that it needs no C library.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};

use muster_module_protocol::{AgentMessage, ModuleMessage, Outcome, Status};
use muster_module_testkit::{Agent, Peer, described, manifest};

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-trivial");

struct Played {
    child: Child,
    agent: Agent,
    peer: Peer,
    _directory: tempfile::TempDir,
}

impl Played {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        let agent = Agent::listen(&socket);
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("LANG", "C").env("MUSTER_SOCKET", &socket).env("MUSTER_RUN", "3");
        command.env("MUSTER_DPID", "00010064").env("MUSTER_ATTEMPT", "2");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let peer = agent.accept();
        Self { child, agent, peer, _directory: directory }
    }

    fn say(&mut self, message: &AgentMessage) {
        self.peer.say(message);
    }

    fn hear(&mut self) -> Option<ModuleMessage> {
        self.peer.hear()
    }

    fn hear_hello(&mut self) {
        let pid = self.child.id();
        let hello = ModuleMessage::Hello { protocol: 1, run: 3, dpid: "00010064".into(), attempt: 2, pid };
        assert_eq!(self.hear(), Some(hello));
    }

    fn hear_done(&mut self) {
        let Some(ModuleMessage::Done { status, result, .. }) = self.hear() else { panic!("no done") };
        assert_eq!((status, result), (Status::Complete, Outcome::Pass));
    }

    /// The connection ends, and it makes another one.
    fn reconnect(self) -> Self {
        drop(self.peer);
        Self { peer: self.agent.accept(), ..self }
    }

    /// Its exit code, and what it wrote to its log.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.peer);
        let output = self.child.stdout.take().unwrap();
        let log = std::io::read_to_string(output).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(PROGRAM));
    assert_eq!(described, manifest(include_str!("../module.toml")));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn it_answers_pings_and_ends_when_its_done_is_kept() {
    let mut played = Played::start();
    played.hear_hello();
    // In pieces, as a stream may bring them; and with what it does not know.
    played.say(&AgentMessage::Start);
    played.peer.say_bytes(b"{\"type\":\"pi");
    played.peer.say_bytes(b"ng\",\"n\":1}\n{\"type\":\"pulse\",\"n\":3}\n");
    assert_eq!(played.hear(), Some(ModuleMessage::Pong { n: 1, iterations: 1 }));
    let data = "x".repeat(4_000);
    played.say(&AgentMessage::Peer { from: "server".into(), dpid: "00010001".into(), data });
    played.say(&AgentMessage::Ping { n: u64::MAX });
    assert_eq!(
        played.hear(),
        Some(ModuleMessage::Pong { n: u64::MAX, iterations: 2 }),
        "after a line that is too long"
    );
    played.say(&AgentMessage::Stop { grace_ms: 5_000 });
    played.hear_done();
    played.say(&AgentMessage::Kept);
    let (code, log) = played.end();
    assert_eq!(code, Some(0));
    let times: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("first pong at ")).collect();
    assert_eq!(times.len(), 1, "{log}");
    assert!(times[0].parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
}

#[test]
fn it_comes_back_to_a_new_agent_and_says_done_again() {
    let mut played = Played::start();
    played.hear_hello();
    played.say(&AgentMessage::Ping { n: 1 });
    assert_eq!(played.hear(), Some(ModuleMessage::Pong { n: 1, iterations: 1 }));
    played = played.reconnect();
    played.hear_hello();
    played.say(&AgentMessage::Ping { n: 1 });
    assert_eq!(played.hear(), Some(ModuleMessage::Pong { n: 1, iterations: 2 }), "iterations go on");
    played.say(&AgentMessage::Stop { grace_ms: 5_000 });
    played.hear_done();
    played = played.reconnect();
    played.hear_hello();
    played.hear_done();
    played.say(&AgentMessage::Kept);
    assert_eq!(played.end().0, Some(0));
}

#[test]
fn an_abort_ends_it_and_without_an_agent_it_does_not_begin() {
    let mut played = Played::start();
    played.hear_hello();
    played.say(&AgentMessage::Abort);
    assert_eq!(played.end().0, Some(1));
    let output = Command::new(PROGRAM).env_remove("MUSTER_SOCKET").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("muster: trivial runs under an agent only"));
}

/// A program that needs a dynamic loader names it in a program header.
#[test]
#[cfg(target_pointer_width = "64")]
fn it_needs_no_dynamic_loader() {
    const INTERPRETER: u32 = 3;
    let file = std::fs::read(PROGRAM).unwrap();
    let half = |place: usize| usize::from(u16::from_ne_bytes(file[place..place + 2].try_into().unwrap()));
    let headers = usize::try_from(u64::from_ne_bytes(file[32..40].try_into().unwrap())).unwrap();
    let (size, count) = (half(54), half(56));
    let kinds = (0..count).map(|number| headers + number * size);
    let kinds: Vec<u32> = kinds.map(|at| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap())).collect();
    assert!(!kinds.is_empty() && !kinds.contains(&INTERPRETER), "{kinds:?}");
}
