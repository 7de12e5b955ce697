//! The modules in docs/module-protocol.md run as they stand there, against an agent that the test plays.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use muster_module_protocol::{AgentMessage, Context, Manifest, ModuleMessage, Outcome, decode_line};
use muster_module_testkit::Agent;

const DOCUMENT: &str = include_str!("../../../docs/module-protocol.md");
/// Stands in for the netcat of OpenBSD, which not every machine has.
const NETCAT: &str = "#!/usr/bin/env python3
import os, socket, sys, threading
agent = socket.socket(socket.AF_UNIX)
agent.connect(sys.argv[2])
def out():
    while data := agent.recv(4096):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 4096):
    agent.sendall(data)
";

fn block(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n#!")).expect("the document has the module");
    rest.split_once("\n```").expect("the block ends").0.split_once('\n').expect("a first line").1
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("write");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("make executable");
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs a module through hello, pings and a stop.
fn converse(interpreter: &str, language: &str) {
    let directory = tempfile::tempdir().expect("directory");
    let at = |name: &str| directory.path().join(name);
    program(&at("nc"), NETCAT);
    program(&at("module"), block(language));
    std::fs::write(at("context.json"), r#"{"run":3,"dpid":"00010064","attempt":2}"#).expect("context");
    let agent = Agent::listen(&at("agent.sock"));
    let inherited = std::env::var_os("PATH").expect("a PATH");
    let directories = [directory.path().to_owned()].into_iter().chain(std::env::split_paths(&inherited));
    let path = std::env::join_paths(directories);
    let mut child = Command::new(interpreter)
        .arg(at("module"))
        .env("PATH", path.expect("a path"))
        .env("MUSTER_SOCKET", at("agent.sock"))
        .env("MUSTER_CONTEXT", at("context.json"))
        .envs([("MUSTER_RUN", "3"), ("MUSTER_DPID", "00010064"), ("MUSTER_ATTEMPT", "2")])
        .spawn()
        .expect("start the module");
    let mut peer = agent.accept();
    let hello = peer.hear().expect("hello");
    assert!(matches!(&hello, ModuleMessage::Hello { protocol: 1, run: 3, dpid, attempt: 2, .. } if dpid == "00010064"));
    peer.say(&AgentMessage::Start);
    assert_eq!(peer.hear(), Some(ModuleMessage::Ready));
    for n in [1, 2] {
        peer.say(&AgentMessage::Ping { n });
        assert!(matches!(peer.hear(), Some(ModuleMessage::Pong { n: answer, .. }) if answer == n));
    }
    peer.say(&AgentMessage::Stop { grace_ms: 5000 });
    assert!(matches!(peer.hear(), Some(ModuleMessage::Done { result: Outcome::Pass, .. })));
    peer.say(&AgentMessage::Kept);
    assert_eq!(child.wait().expect("exit").code(), Some(0));
}

#[test]
fn the_python_and_shell_modules_of_the_document_work() {
    if !is_there("python3") {
        eprintln!("python3 is not on this machine: the documented modules were not run");
        return;
    }
    converse("python3", "python");
    converse("bash", "bash");
}

#[test]
fn the_messages_of_the_document_are_messages() {
    let (mut said, mut heard) = (0, 0);
    for line in DOCUMENT.lines().filter(|line| line.starts_with("> {") || line.starts_with("< {")) {
        let (direction, json) = line.split_at(2);
        match direction {
            "> " => {
                decode_line::<ModuleMessage>(json.as_bytes()).expect("a message").expect("of a known type");
                said += 1;
            }
            _ => {
                decode_line::<AgentMessage>(json.as_bytes()).expect("a message").expect("of a known type");
                heard += 1;
            }
        }
    }
    assert_eq!((said, heard), (15, 13));
}

#[test]
fn the_context_of_the_document_is_a_context_and_the_manifest_a_manifest() {
    let block = |language: &str| {
        let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).expect("the document has the block");
        rest.split_once("\n```").expect("the block ends").0
    };
    let context: Context = serde_json::from_str(block("json")).expect("a context");
    let gang = context.gang.expect("a gang");
    assert_eq!((gang.role.as_str(), gang.members[0].dpid.as_str()), ("client", "00010063"));
    let manifest: Manifest = toml::from_str(block("toml")).expect("a manifest");
    assert_eq!((manifest.roles.len(), manifest.stall.as_str()), (2, "30s"));
}
