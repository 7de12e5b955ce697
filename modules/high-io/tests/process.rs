//! The built program by hand, on a real directory: passes that verify, every corruption that it makes itself, and corruption
//! from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use muster_module_protocol::{Corruption, Manifest, ModuleMessage, Outcome, Status, decode_line};

const PATIENCE: Duration = Duration::from_secs(20);

fn high_io(directory: &Path, parameters: &[&str]) -> Command {
    let (disk, results) = (directory.join("disk"), directory.join("results"));
    fs::create_dir_all(&disk).expect("disk");
    fs::create_dir_all(&results).expect("results");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-high-io"));
    command.env_remove("MUSTER_SOCKET").arg("--disk").arg(disk).arg("--results").arg(results).args(["--seed", "abc"]);
    command.args(parameters.iter().flat_map(|text| ["--param", text]));
    command
}

fn messages(output: &Output) -> Vec<ModuleMessage> {
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| decode_line(line).expect("a message").expect("a known type")).collect()
}

struct Done {
    status: Status,
    result: Outcome,
    reason: String,
    totals: std::collections::BTreeMap<String, f64>,
}

fn done(messages: &[ModuleMessage]) -> Done {
    match messages.last().expect("a last message").clone() {
        ModuleMessage::Done { status, result, reason, r#final, .. } => Done { status, result, reason, totals: r#final },
        other => panic!("not done: {other:?}"),
    }
}

fn corruption(messages: &[ModuleMessage]) -> &Corruption {
    let found = messages.iter().find_map(|message| match message {
        ModuleMessage::Corruption(corruption) => Some(corruption),
        _ => None,
    });
    found.expect("a corruption")
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("directory");
    entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn describe_prints_the_manifest() {
    let output = Command::new(env!("CARGO_BIN_EXE_muster-high-io")).arg("describe").output().expect("run");
    let described: Manifest = serde_json::from_slice(&output.stdout).expect("a manifest");
    assert_eq!(described, toml::from_str(include_str!("../module.toml")).expect("a manifest"));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_byte_of_a_whole_pass_is_verified_and_the_file_is_removed() {
    let directory = tempfile::tempdir().expect("directory");
    let parameters = ["file_size=1MiB", "block_size=32KiB", "duration=300ms", "sync=true"];
    let output = high_io(directory.path(), &parameters).output().expect("run");
    let messages = messages(&output);
    let done = done(&messages);
    assert_eq!((output.status.code(), done.status, done.result), (Some(0), Status::Complete, Outcome::Pass));
    let total = |name: &str| done.totals[name];
    assert!(total("passes") >= 1.0);
    // All that was written was verified, to the byte, as one pass is read before the next.
    assert!((total("verified_bytes") - total("written_bytes")).abs() < 0.5);
    assert!((total("read_bytes") - total("verified_bytes")).abs() < 0.5);
    assert!((total("writes") * 32768.0 - total("written_bytes")).abs() < 0.5);
    let last_metric = messages.iter().rev().find_map(|message| match message {
        ModuleMessage::Metric { counters, gauges, .. } => Some((counters.clone(), gauges.clone())),
        _ => None,
    });
    let (counters, gauges) = last_metric.expect("a metric");
    assert!((counters["verified_bytes"] - total("verified_bytes")).abs() < 0.5);
    assert!(gauges["write_latency_p99_seconds"] > 0.0);
    assert_eq!(names(&directory.path().join("disk")), Vec::<String>::new());
}

#[test]
fn reads_are_mixed_into_the_writing_as_asked_for_and_verified_too() {
    let directory = tempfile::tempdir().expect("directory");
    let parameters = ["file_size=1MiB", "block_size=4KiB", "duration=200ms", "read_percent=75"];
    let done = done(&messages(&high_io(directory.path(), &parameters).output().expect("run")));
    let (writes, reads) = (done.totals["writes"], done.totals["reads"]);
    // Three reads for each write of the pass, and one when it is read back.
    assert!((3.5..=4.0).contains(&(reads / writes)), "{reads} {writes}");
    assert_eq!(done.result, Outcome::Pass);
    assert!((done.totals["verified_bytes"] - reads * 4096.0).abs() < 0.5);
}

#[test]
fn each_injected_class_is_found_classified_saved_and_fails_the_test() {
    let classes = ["BITFLIP", "STALE", "MISDIRECTED", "FOREIGN", "WRONG_FORM", "ZERO", "TORN", "SHIFTED", "UNKNOWN"];
    for class in classes {
        let directory = tempfile::tempdir().expect("directory");
        let inject = format!("inject={class}");
        let parameters = ["file_size=256KiB", "block_size=16KiB", "duration=30s", &inject];
        let output = high_io(directory.path(), &parameters).output().expect("run");
        let messages = messages(&output);
        let (corruption, done) = (corruption(&messages), done(&messages));
        assert_eq!((corruption.class.as_str(), corruption.persistence.as_str()), (class, "STORED"));
        assert_eq!((output.status.code(), done.status, done.result), (Some(1), Status::Complete, Outcome::Fail));
        assert!(done.reason.contains(class), "{}", done.reason);
        assert_eq!((corruption.expected.len(), corruption.actual.len()), (1024, 1024));
        assert_ne!(corruption.expected, corruption.actual);
        assert_eq!(corruption.owner_dpid.is_empty(), class != "FOREIGN", "{corruption:?}");
        let saved = names(&directory.path().join("results"));
        assert_eq!(saved.len(), 3, "{saved:?}");
        // The evidence stays where it is.
        assert_eq!(names(&directory.path().join("disk")).len(), 1);
    }
}

/// A running process and its stdout.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("stdout"));
        Self { child, lines }
    }

    fn hear_until(&mut self, wanted: impl Fn(&ModuleMessage) -> bool) -> ModuleMessage {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut line = Vec::new();
            self.lines.read_until(b'\n', &mut line).expect("a line");
            assert!(!line.is_empty() && Instant::now() < deadline, "the process ended or is late");
            let message = decode_line(&line).expect("a message").expect("a known type");
            if wanted(&message) {
                return message;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn corruption_from_outside_is_reported() {
    let directory = tempfile::tempdir().expect("directory");
    let mut running = Running::start(high_io(directory.path(), &["file_size=64KiB", "block_size=4KiB"]));
    running.hear_until(|message| matches!(message, ModuleMessage::Metric { .. }));
    let disk = directory.path().join("disk");
    let file = fs::OpenOptions::new().write(true).open(disk.join(&names(&disk)[0])).expect("open the file under test");
    // A write of the test may overwrite it before it is read: so again, until it is found.
    let writer = std::thread::spawn(move || {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && fs::read_dir(&disk).is_ok_and(|mut entries| entries.next().is_some()) {
            file.write_all_at(&[0x55; 8], 20_480 + 128).expect("corrupt");
            file.sync_data().expect("sync");
            if Path::new(&disk).join("found").exists() {
                return;
            }
        }
    });
    let ModuleMessage::Corruption(found) =
        running.hear_until(|message| matches!(message, ModuleMessage::Corruption(_)))
    else {
        unreachable!("it is a corruption");
    };
    fs::write(directory.path().join("disk/found"), "").expect("tell the writer");
    writer.join().expect("writer");
    assert_eq!(found.offset, 20_480);
    assert!(found.actual.contains("5555555555555555"));
    running.hear_until(|message| matches!(message, ModuleMessage::Done { result: Outcome::Fail, .. }));
    assert_eq!(running.child.wait().expect("exit").code(), Some(1));
}

#[test]
fn a_stop_ends_it_with_pass_and_removes_the_file() {
    let directory = tempfile::tempdir().expect("directory");
    let mut running = Running::start(high_io(directory.path(), &["file_size=1MiB", "iops_max=100"]));
    running.hear_until(|message| matches!(message, ModuleMessage::Metric { .. }));
    running.signal("-TERM");
    let done = running.hear_until(|message| matches!(message, ModuleMessage::Done { .. }));
    let ModuleMessage::Done { result: Outcome::Pass, r#final: totals, .. } = done else { panic!("{done:?}") };
    assert_eq!(running.child.wait().expect("exit").code(), Some(0));
    assert_eq!(names(&directory.path().join("disk")), Vec::<String>::new());
    // The limit held: 100 transfers a second, and what is verified after the end without one.
    assert!(totals["writes"] + totals["reads"] <= 100.0 * totals["seconds"] + 20.0, "{totals:?}");
}

#[test]
fn what_can_not_be_tested_is_an_error_in_one_clear_line() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("file");
    let cases: [(&[&str], &str); 7] = [
        (&["--param", "read_percent=91"], "parameter `read_percent` can not be `91`: it must be at most 90"),
        (&["--param", "block_size=1000"], "parameter `block_size` can not be `1000`: it must be a multiple of 512"),
        (&["--param", "file_size=4KiB"], "parameter `file_size` can not be `4096`: it is smaller than a transfer"),
        (&["--param", "inject=NONE"], "parameter `inject` can not be `NONE`: write one of BITFLIP"),
        (&["--param", "file_size=1024PiB"], "creation of"),
        (&["--disk", "/dev/null"], "is no directory"),
        (&["--disk", "/nowhere"], "opening of /nowhere failed: No such file"),
    ];
    for (arguments, text) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster-high-io"));
        command.env_remove("MUSTER_SOCKET").current_dir(directory.path()).args(arguments);
        if !arguments.contains(&"--disk") {
            command.arg("--disk").arg(directory.path());
        }
        let output = command.output().expect("run");
        let done = done(&messages(&output));
        assert_eq!((output.status.code(), done.status, done.result), (Some(2), Status::Error, Outcome::Na));
        assert!(done.reason.contains(text) && done.reason.lines().count() == 1, "{}", done.reason);
        assert_eq!(names(directory.path()), ["file"]);
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    // A file system of one MiB, where this user may mount one.
    let directory = tempfile::tempdir().expect("directory");
    let script = format!(
        "mount -t tmpfs -o size=1m none {0} && exec {1} --disk {0} --param file_size=4MiB",
        directory.path().display(),
        env!("CARGO_BIN_EXE_muster-high-io"),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]).env_remove("MUSTER_SOCKET");
    let output = command.output().expect("run unshare");
    if String::from_utf8_lossy(&output.stderr).contains("unshare") {
        return;
    }
    let done = done(&messages(&output));
    assert_eq!((output.status.code(), done.status), (Some(2), Status::Error));
    assert!(done.reason.starts_with("disk full: no room for creation of"), "{}", done.reason);
}
