//! Bad input: one clear line (what, why, what next), the documented exit code, and nothing changed.

use std::time::{Duration, Instant};

use muster_e2e::lab;
use muster_testkit::lab::Lab;

use crate::unchanged::WhatIsThere;

/// A call that must be refused: arguments, exit code, words that its message must have.
struct Refused(&'static [&'static str], i32, &'static [&'static str]);

const REFUSED: &[Refused] = &[
    Refused(&["start", "nothing-like-it", "--processes", "1"], 4, &["nothing-like-it", "muster module list"]),
    Refused(&["start", "hihg-io", "--processes", "1"], 4, &["high-io"]),
    Refused(&["start", "high-io", "--processes", "0"], 2, &["1"]),
    Refused(&["start", "high-io", "--processes", "65536"], 2, &["65"]),
    Refused(&["start", "high-io", "--processes=-1"], 2, &["-1 is not in 1..=65535"]),
    Refused(&["start", "high-io", "-n", "-5"], 2, &["-5 is not in 1..=65535"]),
    Refused(&["start", "high-io", "--per-disk", "0"], 2, &["0 is not in 1..=65535"]),
    Refused(&["start", "high-io", "--processes", "99999999999"], 2, &["65"]),
    Refused(&["start", "high-io", "--processes", "one"], 2, &["one"]),
    Refused(&["start", "high-io", "--processes", "1", "--param", "block_size=1"], 2, &["block_size", "512"]),
    Refused(&["start", "high-io", "--processes", "1", "--param", "no_such=1"], 2, &["no_such"]),
    Refused(&["start", "high-io", "--processes", "1", "--on", "cpus>=abc and"], 2, &["^"]),
    Refused(&["start", "high-io", "--processes", "1", "--on", "cpus>=4096"], 3, &["machine", "node-1"]),
    // Two conditions that no machine can meet together: the nearest one is named.
    Refused(&["start", "high-io", "--processes", "1", "--on", "cpus>=1 and cpus<1"], 3, &["node-1"]),
    Refused(&["start", "high-io", "--processes", "1", "--on", "node-1 and not node-1"], 3, &["machine"]),
    Refused(&["stop", "4711"], 4, &["4711"]),
    Refused(&["show", "4711"], 4, &["4711"]),
    Refused(&["logs", "12FF0001"], 4, &["12FF0001"]),
    Refused(&["machine", "show", "no-such-machine"], 4, &["no-such-machine"]),
    Refused(&["reserve", "no-such-machine", "--for", "1h"], 3, &["no-such-machine"]),
    Refused(&["reserve", "*", "--for", "0s"], 2, &["0"]),
    Refused(&["checkin", "4711"], 4, &["4711"]),
    Refused(&["module", "remove", "nothing-like-it", "--yes"], 4, &["nothing-like-it"]),
    Refused(&["no-such-command"], 2, &["no-such-command"]),
];

/// Calls each, and checks its exit code and its one message.
fn each_is_refused(lab: &Lab, calls: &[Refused]) {
    for Refused(arguments, code, words) in calls {
        let output = lab.muster(arguments).expect("muster runs");
        let error = String::from_utf8_lossy(&output.stderr);
        let line = format!("`muster {}`: {:?}\n{error}", arguments.join(" "), output.status.code());
        assert_eq!(output.status.code(), Some(*code), "{line}");
        assert!(output.stdout.is_empty(), "nothing on stdout: {line}");
        assert!(words.iter().all(|word| error.contains(word)), "it says {words:?}: {line}");
    }
}

#[test]
fn bad_input_is_refused_with_what_why_and_next_and_changes_nothing() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let before = WhatIsThere::quiet(&lab);
    each_is_refused(&lab, REFUSED);
    assert_eq!(WhatIsThere::now(&lab), before, "nothing was changed");
    lab.down().expect("nothing is left running");
}

/// A pool of one machine without disks: what needs a disk, or a second machine, is refused with the nearest that would fit.
const REFUSED_BY_A_SMALL_POOL: &[Refused] = &[
    Refused(&["start", "high-io", "--processes", "1"], 3, &["0 of 1 disk", "node-1"]),
    Refused(&["start", "high-io", "--per-disk", "1"], 3, &["0 of 1 disk", "node-1"]),
    Refused(&["start", "idle", "--per-disk", "1"], 3, &["disk", "--processes"]),
    Refused(&["start", "tcp", "--processes", "2"], 3, &["gang", "1 machine"]),
    Refused(&["start", "tcp", "--processes", "3"], 2, &["gang", "2", "4"]),
];

#[test]
fn what_a_pool_has_no_place_for_is_refused_with_the_nearest_that_fits_and_changes_nothing() {
    let (mut options, _scratch) = muster_e2e::options(1, 1).expect("a folder is made");
    options.disks = 0;
    let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let before = WhatIsThere::quiet(&lab);
    each_is_refused(&lab, REFUSED_BY_A_SMALL_POOL);
    assert_eq!(WhatIsThere::now(&lab), before, "nothing was changed");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_nats_url_that_answers_nothing_is_said_in_one_line() {
    let start = Instant::now();
    let output = std::process::Command::new(muster_e2e::programs().expect("built").join("muster"))
        .args(["ps", "--timeout", "2s"])
        .env("MUSTER_NATS", "nats://127.0.0.1:9")
        .env("MUSTER_INSECURE_LOCAL", "true")
        .output()
        .expect("muster runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(error.contains("127.0.0.1:9") && error.contains("MUSTER_NATS"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20), "it does not hang");
}

/// A small file system of its own, mounted over a folder until dropped.
struct SmallFileSystem(std::path::PathBuf);

impl SmallFileSystem {
    fn mount(path: &std::path::Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("the folder is made");
        let options = format!("size={size}");
        let mounted =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &options, "muster-e2e"]).arg(path).status();
        assert!(mounted.is_ok_and(|status| status.success()), "a small file system needs root");
        Self(path.to_owned())
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until there is no room left.
fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("the file is made");
    for size in [65_536, 512, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_full_work_directory_starts_nothing_says_why_and_goes_on_by_itself() {
    let (options, _scratch) = muster_e2e::options(1, 1).expect("a folder is made");
    let state = options.directory.join("node-1/state");
    let _small = SmallFileSystem::mount(&state, "64m");
    let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let filler = state.join("filler");
    fill(&filler);
    let started = lab.muster_json(&["start", "idle", "--processes", "2"]).expect("the start is taken");
    let job = muster_e2e::job_number(&started).expect("it has a number");
    let full = Instant::now();
    while full.elapsed() < Duration::from_secs(5) {
        assert!(muster_e2e::test_processes(&lab).is_empty(), "nothing starts that can not be written down");
    }
    let why = lab.muster_ok(&["why", &job.to_string()]).expect("why answers");
    assert!(why.contains("space"), "it says what is waited for: {why}");
    std::fs::remove_file(&filler).expect("there is room again");
    muster_e2e::wait_state(&lab, job, "running", 2).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(muster_e2e::test_processes(&lab).len(), 2, "each was started once");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
    lab.down().expect("nothing is left running");
}
