//! A developer checks out the machine of a test that failed, finds everything as the test did, and starts it by hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use muster_e2e::{SETTLE_LIMIT, job_number, lab, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

fn rows(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    lab.muster_json(arguments).ok().and_then(|rows| rows.as_array().cloned()).unwrap_or_default()
}

fn script(lab: &Lab, name: &str) -> PathBuf {
    lab.directory().join("node-1").join(name)
}

/// Runs a script as who logs in to the machine would, with `muster` in its path.
fn run(lab: &Lab, script: &Path, arguments: &[&str]) -> Output {
    let programs = lab.muster_program().parent().expect("a folder").display().to_string();
    let path = format!("{programs}:/usr/bin:/bin");
    Command::new(script).args(arguments).env_clear().env("PATH", path).output().expect("it is executable")
}

#[test]
fn a_failing_tests_machine_is_checked_out_with_the_test_set_up_and_given_back_from_itself() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let parameters = ["--param", "program=/bin/sh", "--param", "arguments=-c 'echo seed {seed}; exit 3'"];
    let start = [&["start", "command", "--on", "node-1", "--processes", "1"][..], &parameters].concat();
    let job = job_number(&lab.muster_json(&start).expect("the job starts")).expect("it has a number");
    wait_state(&lab, job, "dead", 1).expect("it fails");
    let seed = rows(&lab, &["jobs", "--all"])[0]["seed"].as_u64().expect("a seed");

    let unknown = lab.muster(&["reserve", "--like", "00990001"]).expect("it runs");
    assert_eq!(unknown.status.code(), Some(4), "{}", String::from_utf8_lossy(&unknown.stderr));
    let wrong = lab.muster(&["reserve", "--module", "command", "--param", "no=1"]).expect("it runs");
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    assert!(rows(&lab, &["reservation", "list"]).is_empty(), "nothing was reserved by what was refused");

    let dpid = format!("{job:04X}0001");
    let reserved = lab.muster_json(&["reserve", "--like", &dpid, "--for", "10m", "--wait"]).expect("it is ready");
    assert_eq!(reserved[0]["machines"], serde_json::json!(["node-1"]), "the machine on which it ran");
    let names = [format!("muster-start-{:04X}0001", job + 1), format!("muster-extend-{:04X}0001", job + 1)];
    let scripts = names.map(|name| script(&lab, &name));
    wait_until("both scripts are there", SETTLE_LIMIT, || scripts.iter().all(|path| path.exists()))
        .unwrap_or_else(|error| panic!("{error}: {:?}", rows(&lab, &["ps", "--all"])));

    let by_hand = run(&lab, &scripts[0], &[]);
    let said = String::from_utf8_lossy(&by_hand.stderr);
    assert_eq!(by_hand.status.code(), Some(1), "it fails by hand too: {by_hand:?}");
    assert!(said.contains("seed "), "the program ran: {by_hand:?}");
    let again = rows(&lab, &["jobs", "--checkouts"]);
    let set_up = again.iter().find(|row| row["job"] == job + 1).expect("the job that is set up");
    assert_eq!(set_up["seed"], seed, "the same seed");
    assert!(rows(&lab, &["jobs", "--all"]).iter().all(|row| row["job"] != job + 1), "hidden unless asked for");
    let ended = rows(&lab, &["ps", "--all", "--job", &(job + 1).to_string()]);
    assert_eq!(
        (ended[0]["state"].as_str(), ended[0]["verdict"].as_str()),
        (Some("finished"), Some("skip")),
        "{ended:?}"
    );

    // The machine itself may: nobody has to be logged in to anything else.
    let deadline = || rows(&lab, &["reservation", "list"])[0]["deadline_time"].as_str().map(str::to_owned);
    let before = deadline();
    let extended = run(&lab, &scripts[1], &["30m"]);
    assert!(extended.status.success(), "{extended:?}");
    assert!(deadline() > before, "{before:?} {:?}", deadline());
    let socket = lab.directory().join("node-1/state/agent.sock").display().to_string();
    let mut back = Command::new(lab.muster_program());
    let back = back.args(["checkin", "--here"]).env_clear().env("MUSTER_SOCKET", &socket).output().expect("it runs");
    assert!(back.status.success(), "{back:?}");
    wait_until("nothing of it is left", SETTLE_LIMIT, || {
        let is_back = rows(&lab, &["machine", "list"]).iter().all(|row| row["tenure"] == "pool");
        is_back && scripts.iter().all(|path| !path.exists())
    })
    .unwrap_or_else(|error| panic!("{error}: {scripts:?} {}", lab.tails()));
    let work = std::fs::read_dir(lab.directory().join("node-1/state/work")).expect("a folder").flatten();
    let left: Vec<_> = work
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().contains(&format!("{:04X}0001", job + 1)))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let twice = Command::new(lab.muster_program()).args(["checkin", "--here"]).env("MUSTER_SOCKET", &socket).output();
    let twice = twice.expect("it runs");
    assert_eq!(twice.status.code(), Some(3), "{twice:?}");
    assert!(String::from_utf8_lossy(&twice.stderr).contains("nobody holds this machine"));
    lab.down().expect("nothing is left running");
}
