//! The built program: its manifest, its ends, and its life under an agent that the test plays.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use muster_module_protocol::{AgentMessage, ModuleMessage};
use muster_module_testkit::{Agent, Peer, by_hand, described, manifest, parameters};

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-idle");

fn run(parameters: &[&str]) -> Output {
    by_hand(PROGRAM, parameters).output().expect("run muster-idle")
}

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(PROGRAM));
    assert_eq!(described, manifest(include_str!("../module.toml")));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn it_ends_by_itself_with_the_code_that_was_asked_for() {
    for (code, done) in [("0", r#""result":"pass""#), ("1", r#""result":"fail""#), ("2", r#""status":"error""#)] {
        let output = run(&["exit_after=10ms", &format!("exit_code={code}")]);
        assert_eq!(output.status.code(), code.parse().ok());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.lines().last().expect("done").contains(done), "{text}");
    }
    let output = run(&["exit_after=10ms", "exit_code=9"]);
    assert_eq!(output.status.code(), Some(9));
    assert!(!String::from_utf8(output.stdout).expect("text").contains("done"));
}

#[test]
fn wrong_parameters_are_one_clear_line() {
    let output = run(&["nothing=1"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).expect("text"),
        "muster: idle has no parameter `nothing`; see --help\n"
    );
    let output = run(&["exit_after=soon"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stdout).expect("text").contains("parameter `exit_after` can not be `soon`: "));
}

/// The program under an agent that the test plays.
struct Played {
    child: Child,
    peer: Peer,
    _agent: Agent,
    _directory: tempfile::TempDir,
}

impl Played {
    fn start(parameters: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let (socket, context) = (directory.path().join("agent.sock"), directory.path().join("context.json"));
        std::fs::write(&context, context_text(directory.path(), parameters)).expect("context");
        let agent = Agent::listen(&socket);
        let mut command = Command::new(PROGRAM);
        command.env("MUSTER_SOCKET", &socket).env("MUSTER_CONTEXT", &context).stdin(Stdio::null());
        let child = command.spawn().expect("start muster-idle");
        let mut peer = agent.accept();
        assert!(matches!(peer.hear(), Some(ModuleMessage::Hello { .. })));
        peer.say(&AgentMessage::Start);
        assert_eq!(peer.hear(), Some(ModuleMessage::Ready));
        Self { child, peer, _agent: agent, _directory: directory }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn context_text(directory: &Path, given: &[&str]) -> String {
    let parameters = parameters(manifest(include_str!("../module.toml")), given);
    format!(
        r#"{{"run":1,"job":1,"process":1,"dpid":"00010001","attempt":1,"module":"idle","version":"0.1.0","machine":"a",
        "boot_id":"b","seed":"0000000000000001","resources":[],"work":{directory:?},"results":{directory:?},
        "parameters":{parameters:?}}}"#
    )
}

#[test]
fn under_an_agent_it_answers_pings_and_stops() {
    let mut played = Played::start(&[]);
    for n in 1..4 {
        played.peer.say(&AgentMessage::Ping { n });
        played.peer.hear_until(|message| matches!(message, ModuleMessage::Pong { n: answer, .. } if *answer == n));
    }
    played.peer.say(&AgentMessage::Stop { grace_ms: 5000 });
    played.peer.hear_until(|message| matches!(message, ModuleMessage::Done { .. }));
    played.peer.say(&AgentMessage::Kept);
    assert_eq!(played.child.wait().expect("exit").code(), Some(0));
}

#[test]
fn silent_answers_no_ping_and_hang_ignores_a_stop() {
    let mut played = Played::start(&["hang=true", "silent=true", "metrics=300ms"]);
    played.peer.say(&AgentMessage::Stop { grace_ms: 0 });
    played.peer.say(&AgentMessage::Ping { n: 1 });
    // Two metrics later it has seen both.
    let heard = |message: &ModuleMessage| !matches!(message, ModuleMessage::Event { .. });
    for _ in 0..2 {
        assert!(matches!(played.peer.hear_until(heard), ModuleMessage::Metric { .. }));
    }
    assert_eq!(played.child.try_wait().expect("alive"), None);
    played.peer.say(&AgentMessage::Abort);
    assert_eq!(played.child.wait().expect("exit").code(), Some(2));
}
