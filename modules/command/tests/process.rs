//! The built program by hand: verdicts by exit code, programs that are missing, hang, or leave something behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use muster_module_protocol::{Manifest, ModuleMessage, Outcome, Status, decode_line};

const PATIENCE: Duration = Duration::from_secs(20);

fn command(parameters: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-command"));
    command.env_remove("MUSTER_SOCKET").args(parameters.iter().flat_map(|text| ["--param", text]));
    command
}

struct Done {
    code: Option<i32>,
    status: Status,
    result: Outcome,
    reason: String,
    totals: BTreeMap<String, f64>,
    messages: Vec<ModuleMessage>,
    log: String,
}

fn done(output: &Output) -> Done {
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages: Vec<ModuleMessage> =
        lines.map(|line| decode_line(line).expect("a message").expect("a known type")).collect();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    match messages.last().unwrap_or_else(|| panic!("nothing was said: {log}")).clone() {
        ModuleMessage::Done { status, result, reason, r#final: totals, .. } => {
            Done { code: output.status.code(), status, result, reason, totals, messages, log }
        }
        other => panic!("not done: {other:?}"),
    }
}

fn run(parameters: &[&str]) -> Done {
    done(&command(parameters).output().expect("run muster-command"))
}

/// Waits for a file of the program, at most so long.
fn wait_for(path: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            Ok(_) | Err(_) => std::thread::yield_now(),
        }
    }
    panic!("{} did not appear", path.display());
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

fn wait_until_gone(pid: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_gone(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        std::thread::yield_now();
    }
}

fn start(parameters: &[&str], leads: bool) -> Child {
    let mut command = command(parameters);
    if leads {
        command.process_group(0);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start muster-command")
}

fn terminate(child: Child) -> Done {
    let status = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(status.success());
    done(&child.wait_with_output().expect("output"))
}

#[test]
fn describe_prints_the_manifest() {
    let output = Command::new(env!("CARGO_BIN_EXE_muster-command")).arg("describe").output().expect("run");
    let described: Manifest = serde_json::from_slice(&output.stdout).expect("a manifest");
    assert_eq!(described, toml::from_str(include_str!("../module.toml")).expect("a manifest"));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_exit_code_decides_and_the_output_is_the_log() {
    let pass =
        run(&["program=sh", "arguments=-c 'echo out; echo err >&2; i=0; while [ $i -lt 99999 ]; do i=$((i+1)); done'"]);
    assert_eq!((pass.code, pass.status, pass.result), (Some(0), Status::Complete, Outcome::Pass));
    assert!(pass.log.contains("out\n") && pass.log.contains("err\n"), "{}", pass.log);
    assert!(pass.totals["cpu_seconds"] > 0.0 && pass.totals["seconds"] > 0.0);
    assert!(pass.totals["exit_code"].abs() < 0.5);
    let fail = run(&["program=sh", r#"arguments=["-c", "exit 3"]"#]);
    assert_eq!((fail.code, fail.status, fail.result), (Some(1), Status::Complete, Outcome::Fail));
    assert_eq!(fail.reason, "it ended by exit code 3, expected exit code 0");
    assert!((fail.totals["exit_code"] - 3.0).abs() < 0.5);
    let expected = run(&["program=sh", "arguments=-c 'exit 3'", "expect_exit=3"]);
    assert_eq!(expected.result, Outcome::Pass);
    let killed = run(&["program=sh", "arguments=-c 'kill -9 $$'"]);
    assert_eq!((killed.result, killed.reason.as_str()), (Outcome::Fail, "it ended by signal 9, expected exit code 0"));
}

#[test]
fn a_missing_program_is_a_skip_with_its_reason() {
    let done = run(&["program=no-such-program-here"]);
    assert_eq!((done.code, done.status, done.result), (Some(0), Status::Skip, Outcome::Na));
    assert_eq!(done.reason, "program `no-such-program-here` is not on this machine");
}

#[test]
fn what_can_not_be_run_is_an_error_in_one_line() {
    for (parameters, text) in [
        (&["program=/etc/passwd"][..], "start program `/etc/passwd`: Permission denied"),
        (&["program=true", "arguments='a"], "parameter `arguments` can not be `'a`: the quote ' is not closed"),
        (&["program=true", "expect_exit=256"], "parameter `expect_exit` can not be `256`"),
        (&["arguments=a"], "parameter `program` is required: give it with --param program=VALUE"),
    ] {
        let done = run(parameters);
        assert_eq!((done.code, done.status), (Some(2), Status::Error));
        assert!(done.reason.starts_with(text) && done.reason.lines().count() == 1, "{}", done.reason);
    }
}

#[test]
fn a_timeout_ends_the_program_and_fails() {
    let begin = Instant::now();
    let done = run(&["program=sleep", "arguments=100", "timeout=100ms"]);
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!((done.code, done.result), (Some(1), Outcome::Fail));
    assert_eq!(done.reason, "it took longer than its timeout, and ended by signal 15");
}

#[test]
fn a_stop_ends_the_program_and_its_children_in_its_own_group_and_in_ours() {
    for leads in [false, true] {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("pids");
        let script = format!("arguments=-c 'sleep 100 & echo $$ $! > {}; wait'", file.display());
        let child = start(&["program=sh", &script], leads);
        let pids = wait_for(&file);
        let done = terminate(child);
        assert_eq!((done.code, done.status), (Some(0), Status::Skip));
        assert_eq!(done.reason, "it was stopped before its end, and ended by signal 15");
        pids.split(' ').for_each(wait_until_gone);
    }
}

#[test]
fn a_program_that_ends_well_when_stopped_is_a_pass() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("ready");
    let script =
        format!("arguments=-c 'trap \"exit 0\" TERM; echo 1 > {}; while :; do sleep 0.01; done'", file.display());
    let child = start(&["program=sh", &script], true);
    wait_for(&file);
    assert_eq!(terminate(child).result, Outcome::Pass);
}

#[test]
fn what_the_program_left_running_is_killed() {
    for leads in [false, true] {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("pid");
        let script = format!("arguments=-c 'sleep 100 </dev/null >/dev/null 2>&1 & echo $! > {}'", file.display());
        let done = done(&start(&["program=sh", &script], leads).wait_with_output().expect("output"));
        assert_eq!(done.result, Outcome::Pass);
        let said =
            |message: &ModuleMessage| matches!(message, ModuleMessage::Event { name, .. } if name == "left_behind");
        assert!(done.messages.iter().any(said));
        wait_until_gone(&wait_for(&file));
    }
}
