//! The built program by hand: verdicts by exit code, programs that are missing, hang, or leave something behind.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_module_protocol::{Manifest, ModuleMessage, Outcome, Status};
use muster_module_testkit::{Done, PATIENCE, by_hand, described, manifest};

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-command");

fn command(parameters: &[&str]) -> Command {
    by_hand(PROGRAM, parameters)
}

fn run(parameters: &[&str]) -> Done {
    Done::run(&mut command(parameters))
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
    Done::of(&child.wait_with_output().expect("output"))
}

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(PROGRAM));
    assert_eq!(described, manifest(include_str!("../module.toml")));
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
        let done = Done::of(&start(&["program=sh", &script], leads).wait_with_output().expect("output"));
        assert_eq!(done.result, Outcome::Pass);
        assert!(done.event("left_behind").is_some());
        wait_until_gone(&wait_for(&file));
    }
}

#[test]
fn output_in_a_known_format_is_logged_judged_and_sampled() {
    let script = r#"arguments=["-c", "echo 1..2; echo ok 1 - a >&2; echo not ok 2 - the disk; exit 1"]"#;
    let done = run(&["program=sh", script, "format=tap"]);
    assert_eq!((done.code, done.result, done.reason.as_str()), (Some(1), Outcome::Fail, "test 2 the disk failed"));
    assert!((done.totals["tests_failed"] - 1.0).abs() < 0.5 && done.totals["seconds"] > 0.0);
    assert!(done.log.contains("1..2\n") && done.log.contains("ok 1 - a\n"), "{}", done.log);
    let samples = done.messages.iter().filter(|message| matches!(message, ModuleMessage::Metric { .. })).count();
    assert_eq!(samples, 2);
    let skipped = run(&["program=sh", "arguments=-c 'echo 1..0 \"# SKIP no tape\"'", "format=tap"]);
    assert_eq!((skipped.code, skipped.status, skipped.reason.as_str()), (Some(0), Status::Skip, "no tape"));
    let unknown = run(&["program=sh", "arguments=-c 'echo ?; exit 3'", "format=nagios"]);
    assert_eq!((unknown.code, unknown.status), (Some(2), Status::Error));
    let signal = run(&["program=sh", "arguments=-c 'kill -9 $$'", "format=ltp"]);
    assert_eq!((signal.status, signal.reason.as_str()), (Status::Error, "no test of LTP ends by a signal"));
}

#[test]
fn a_program_that_floods_its_output_is_read_to_its_end_and_judged() {
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo ok $i; done; echo 1..20000";
    let done = run(&["program=sh", &format!("arguments=-c '{script}'"), "format=tap"]);
    assert_eq!((done.result, done.reason.as_str()), (Outcome::Pass, ""));
    assert!((done.totals["tests_passed"] - 20_000.0).abs() < 0.5);
}

#[test]
fn somebody_outside_of_the_group_who_holds_the_output_does_not_hold_up_the_end() {
    let begin = Instant::now();
    let done = run(&["program=sh", "arguments=-c 'setsid sleep 8 & echo 1..1; echo ok 1'", "format=tap"]);
    assert_eq!(done.result, Outcome::Pass);
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[test]
fn words_in_braces_stand_for_what_the_process_was_given() {
    let directory = tempfile::tempdir().expect("directory");
    let mut command = command(&["program=echo", "arguments={disk} {seed} {x}"]);
    let done = Done::run(command.arg("--disk").arg(directory.path()).args(["--seed", "ab"]));
    assert!(done.log.contains(&format!("{} 00000000000000ab {{x}}", directory.path().display())), "{}", done.log);
    let missing = run(&["program=echo", "arguments={disk}"]);
    assert!(missing.reason.contains("it names {disk}, and no disk was given"), "{}", missing.reason);
}

/// The manifests over this program.
fn wrappers() -> Vec<(String, Manifest)> {
    let wrap = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wrap");
    let folders = fs::read_dir(wrap).expect("wrappers").map(|entry| entry.expect("a wrapper").path());
    let read = |folder: std::path::PathBuf| {
        let text = fs::read_to_string(folder.join("module.toml")).expect("a manifest");
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        (name, manifest(&text))
    };
    folders.map(read).collect()
}

#[test]
fn each_wrapper_describes_itself_and_skips_where_its_tool_is_missing() {
    let wrappers = wrappers();
    assert!(wrappers.len() >= 7);
    for (name, manifest) in wrappers {
        assert_eq!(name, manifest.name);
        assert_eq!(described(Command::new(PROGRAM).env("MUSTER_MODULE", &name)), manifest);
        let mut command = command(&["program=no-such-tool", "arguments=x"]);
        let done = Done::run(command.env("MUSTER_MODULE", &name));
        assert_eq!((done.code, done.status), (Some(0), Status::Skip), "{name}");
        assert_eq!(done.reason, "program `no-such-tool` is not on this machine");
    }
}

/// Runs a wrapper with its tool; none where that is not installed here.
fn wrapped(name: &str, parameters: &[&str]) -> Option<Done> {
    let directory = tempfile::tempdir().expect("directory");
    let mut command = command(parameters);
    command.env("MUSTER_MODULE", name).arg("--disk").arg(directory.path()).current_dir(directory.path());
    Some(Done::run(&mut command)).filter(|done| done.status != Status::Skip)
}

#[test]
fn installed_tools_run_under_their_wrappers() {
    let arguments =
        "arguments=--name=t --directory={disk} --rw=randwrite --bs=4k --size=1m --verify=crc32c --verify_state_save=0";
    if let Some(done) = wrapped("fio", &[arguments]) {
        assert_eq!((done.result, done.reason.as_str()), (Outcome::Pass, ""), "{}", done.log);
        assert!((done.totals["written_bytes"] - 1_048_576.0).abs() < 0.5, "{:?}", done.totals);
    }
    if let Some(done) = wrapped("stress-ng", &["arguments=--cpu 1 --cpu-ops 20 --timeout 10s"]) {
        assert_eq!((done.result, done.reason.as_str()), (Outcome::Pass, ""), "{}", done.log);
        assert!(done.totals["cpu_operations"] >= 20.0, "{:?}", done.totals);
    }
    if let Some(done) = wrapped("iperf3", &["arguments=-c 127.0.0.1 -p 1 -t 1"]) {
        assert_eq!((done.status, done.result), (Status::Error, Outcome::Na), "{}", done.log);
        assert!(done.reason.contains("unable to connect"), "{}", done.reason);
    }
}
