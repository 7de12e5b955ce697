//! Processes and what they run on: work that stands still, a disk that vanishes under them, a disk that is protected under them.

use muster_e2e::{SETTLE_LIMIT, lab, start, states, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

fn processes(lab: &Lab, job: u64) -> Vec<Value> {
    let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).unwrap_or_default();
    rows.as_array().cloned().unwrap_or_default()
}

/// State and reason of the one process of a job on a resource of a machine.
fn on(lab: &Lab, job: u64, machine: &str, resource: &str) -> Option<(String, String)> {
    let is_there = |row: &&Value| {
        let resources = row["resources"].as_array();
        row["machine"] == machine && resources.is_some_and(|ids| ids.iter().any(|id| id == resource))
    };
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    processes(lab, job).iter().find(is_there).map(|row| (text(row, "state"), text(row, "reason")))
}

#[test]
fn work_that_stands_still_shows_as_stalled_and_waiting_for_a_pulse_does_not() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    lab.muster_ok(&["pulse", "set", "7", "--block", "1h", "--free", "1s"]).expect("a pulse blocks for an hour");
    let waits = start(&lab, "idle", 1, &["--pulse", "7"]).expect("one waits for the pulse");
    let works = start(&lab, "idle", 1, &[]).expect("one works");
    let stuck = start(&lab, "idle", 1, &["--param", "stuck=true"]).expect("one is stuck");
    let is_stalled = |job| processes(&lab, job).iter().any(|row| row["stalled"] == true);
    wait_until("the stuck one shows as stalled", SETTLE_LIMIT, || is_stalled(stuck))
        .unwrap_or_else(|error| panic!("{error}: {:?}", processes(&lab, stuck)));
    let unchanged = processes(&lab, stuck)[0]["unchanged_seconds"].as_f64();
    assert!(unchanged.is_some_and(|seconds| seconds >= 2.0), "as long as its module allows: {unchanged:?}");
    assert_eq!(states(&lab, stuck).expect("its state is told").get("running"), Some(&1), "it is still running");
    let why = lab.muster_ok(&["why", &stuck.to_string()]).expect("it is explained");
    assert!(why.contains("stalled"), "{why}");
    assert!(!is_stalled(works) && !is_stalled(waits), "neither who works nor who has to wait");
    lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("they stop");
    wait_state(&lab, stuck, "finished", 1).expect("a stuck one can be stopped");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_disk_that_vanishes_or_is_protected_ends_what_runs_on_it_and_nothing_else() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let started =
        ["start", "high-io", "--per-disk", "1", "--param", "file_size=1MiB", "--param", "iops_max=50", "--wait"];
    let job = muster_e2e::job_number(&lab.muster_json(&started).expect("high-io runs")).expect("it has a number");
    wait_state(&lab, job, "running", 4).expect("one runs on each disk");
    let disk = lab.directory().join("node-1/disk2");
    let away = lab.directory().join("node-1/unplugged");
    std::fs::rename(&disk, &away).expect("the disk is pulled");
    wait_until("who ran on it is ended", SETTLE_LIMIT, || {
        on(&lab, job, "node-1", "disk-disk2")
            .is_some_and(|(state, reason)| state == "dead" && reason.contains("disk-disk2 is gone"))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", processes(&lab, job)));

    lab.muster_ok(&["resource", "protect", "node-2", "disk-disk1", "--yes"]).expect("it is protected");
    wait_until("who ran on it is finished", SETTLE_LIMIT, || {
        on(&lab, job, "node-2", "disk-disk1")
            .is_some_and(|(state, reason)| state == "finished" && reason.contains("protected"))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", processes(&lab, job)));
    assert_eq!(states(&lab, job).expect("their states are told").get("running"), Some(&2), "the others go on");

    // What is gone or protected is not used again, until it is back.
    let per_disk = |lab: &Lab| {
        let placed = lab.muster_json(&["start", "high-io", "--per-disk", "1", "--dry-run"]).unwrap_or_default();
        let rows = placed.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().filter(|row| row["kind"] == "disk" && row["processes"].as_u64() > Some(0)).count()
    };
    wait_until("two disks are left", SETTLE_LIMIT, || per_disk(&lab) == 2).expect("the others are not used");
    std::fs::rename(&away, &disk).expect("the disk is plugged in");
    lab.muster_ok(&["resource", "release", "node-2", "disk-disk1", "--yes"]).expect("it is released");
    wait_until("four disks are back", SETTLE_LIMIT, || per_disk(&lab) == 4).expect("they are used again");
    lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("the rest stops");
    lab.down().expect("nothing is left running");
}
