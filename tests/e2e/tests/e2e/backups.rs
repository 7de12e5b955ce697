//! A backup that is taken under load, and restored after everything that NATS kept is gone: tests are adopted, and nothing old counts.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_e2e::{SETTLE_LIMIT, lab, machine, start, states, test_processes, wait_state};
use muster_testkit::lab::{Lab, SERVICES};
use muster_testkit::{Process, wait_until};
use serde_json::Value;

const OWNERS: [&str; 3] = ["scheduler", "machine-lifecycle", "reservation"];

/// The epoch that the log says, and the one that the agent has fenced.
fn epochs(lab: &Lab, name: &str) -> (u64, u64) {
    let row = machine(lab, name);
    (row["epoch"].as_u64().expect("an epoch"), row["fenced_epoch"].as_u64().expect("a fence"))
}

/// Reserves a machine and gives it back, which raises its epoch twice.
fn raise_epochs(lab: &Lab, name: &str) {
    let reserved =
        lab.muster_json(&["reserve", name, "--for", "1h", "--wait", "--timeout", "90s"]).expect("it is free");
    let number = reserved[0]["reservation"].as_u64().expect("it has a number").to_string();
    lab.muster_ok(&["checkin", &number]).expect("it is given back");
    wait_until("the machine is back", SETTLE_LIMIT, || machine(lab, name)["tenure"] == "pool").expect("it comes back");
}

/// Everything that NATS keeps is gone, and the server starts with an empty store.
fn destroy(lab: &mut Lab) {
    for service in SERVICES {
        lab.service(&format!("{service}-a")).expect("it is a part").kill9();
    }
    lab.nats.stop();
    std::fs::remove_dir_all(lab.nats.directory().join("jetstream")).expect("the store is taken away");
    lab.nats.restart().expect("nats-server starts");
}

#[test]
fn a_backup_under_load_is_restored_with_its_tests_adopted_and_epochs_above_every_fence() {
    let (mut lab, scratch) = lab(2, 1).expect("the lab comes up");
    let backup = scratch.path().join("backup");
    let backup = backup.to_str().expect("a path");
    raise_epochs(&lab, "node-2");
    let job = start(&lab, "idle", 6, &[]).expect("a job starts");
    back_up_under_load(&lab, backup);

    // What happens after the backup is not in it: a job, and two changes of hands, which end what ran on node-2.
    let later = start(&lab, "idle", 1, &["--on", "node-1"]).expect("a job starts");
    raise_epochs(&lab, "node-2");
    let fenced = epochs(&lab, "node-2").1;
    let lived = processes_of(&lab, job);
    assert!(!lived.is_empty() && !processes_of(&lab, later).is_empty(), "tests run on without NATS");
    destroy(&mut lab);

    refused_until_there_are_streams(&lab, backup);
    lab.muster_ok(&["admin", "init"]).expect("streams are made");
    let restored = lab.muster_json(&["admin", "restore", backup, "--yes"]).expect("it is restored");
    assert!(
        restored.as_array().is_some_and(|rows| rows.iter().all(|row| row["lineage"].as_u64() > Some(1))),
        "{restored}"
    );
    let again = lab.muster_json(&["admin", "restore", backup, "--yes"]).expect("it is restored already");
    assert!(again.as_array().is_some_and(|rows| rows.iter().all(|row| row["lineage"].is_null())), "{again}");
    for service in SERVICES {
        lab.service(&format!("{service}-a")).expect("it is a part").restart().expect("it starts");
    }
    adopted(&lab, job, &lived);
    wait_until("what was started after the backup is gone", SETTLE_LIMIT, || processes_of(&lab, later).is_empty())
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", test_processes(&lab), lab.tails()));
    let (epoch, _) = epochs(&lab, "node-2");
    assert!(epoch > fenced, "the epoch {epoch} is above the fence {fenced} that the agent had");
    let next = start(&lab, "idle", 1, &["--on", "node-1"]).expect("a job starts");
    assert!(next > later, "job numbers go on above all that an agent knows: {next} after {later}");
    let in_use = lab.muster(&["admin", "restore", backup, "--yes"]).expect("muster runs");
    assert_eq!(in_use.status.code(), Some(0), "what was restored from it is not touched again");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    wait_state(&lab, next, "finished", 1).expect("it finishes");
    lab.down().expect("nothing is left running");
}

/// A backup while jobs start and stop, and another into the same folder, which is refused.
fn back_up_under_load(lab: &Lab, backup: &str) {
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for _ in 0..6 {
                let started = lab.muster_json(&["start", "trivial", "--processes", "20", "--timeout", "60s"]);
                started.expect("it is taken");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        let taken = lab.muster_json(&["admin", "backup", backup]).expect("it is taken");
        assert!(taken[0]["messages"].as_u64() > Some(10) && taken[0]["objects"].as_u64() > Some(3), "{taken}");
        load.join().expect("the load is taken");
    });
    let manifest = std::fs::read(format!("{backup}/manifest.json")).expect("it is written");
    let manifest: Value = serde_json::from_slice(&manifest).expect("it is JSON");
    assert_eq!(manifest["logs"].as_array().map(Vec::len), Some(3), "{manifest}");
    let over = lab.muster(&["admin", "backup", backup]).expect("muster runs");
    assert_eq!(over.status.code(), Some(3), "a backup is not written over: {over:?}");
}

fn refused_until_there_are_streams(lab: &Lab, backup: &str) {
    let refused = lab.muster(&["admin", "restore", backup, "--yes"]).expect("muster runs");
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && error.contains("muster admin init"), "{error}");
}

/// Test processes of a job as the operating system sees them.
fn processes_of(lab: &Lab, job: u64) -> BTreeMap<String, Vec<(u32, u64)>> {
    let prefix = format!("{job:04X}");
    test_processes(lab).into_iter().filter(|(dpid, _)| dpid.starts_with(&prefix)).collect()
}

/// The tests that lived are the same processes as before, and run by the log; those that had ended are over there, too.
fn adopted(lab: &Lab, job: u64, lived: &BTreeMap<String, Vec<(u32, u64)>>) {
    wait_until("the tests that lived run by the log", SETTLE_LIMIT, || {
        let found = states(lab, job).unwrap_or_default();
        let ended: usize = found.iter().filter(|(state, _)| state.as_str() != "running").map(|(_, count)| count).sum();
        found.get("running") == Some(&lived.len()) && ended == 6 - lived.len()
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}, {lived:?}\n{}", states(lab, job), lab.tails()));
    assert_eq!(&processes_of(lab, job), lived, "no test was touched");
}

#[test]
fn a_backup_that_was_changed_and_a_system_that_is_in_use_are_refused_and_nothing_is_written() {
    let (mut lab, scratch) = lab(1, 1).expect("the lab comes up");
    let folder = scratch.path().join("backup");
    let backup = folder.to_str().expect("a path");
    lab.muster_ok(&["admin", "backup", backup]).expect("it is taken");
    let in_use = lab.muster(&["admin", "restore", backup, "--yes"]).expect("muster runs");
    let error = String::from_utf8_lossy(&in_use.stderr).into_owned();
    assert!(in_use.status.code() == Some(3) && error.contains("in use"), "{error}");
    destroy(&mut lab);
    lab.muster_ok(&["admin", "init", "--new-system"]).expect("a new system is made");

    let file = folder.join("logs/MACHINES.envelopes");
    let whole = std::fs::read(&file).expect("it is there");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    std::fs::write(&file, &changed).expect("it is changed");
    let refused = lab.muster(&["admin", "restore", backup, "--yes"]).expect("muster runs");
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && error.contains("MACHINES.envelopes"), "{error}");
    let events = lab.muster_ok(&["events"]).expect("it reads the logs");
    assert_eq!(events.lines().count(), 3, "the new system is as it was: {events}");

    std::fs::write(&file, &whole).expect("it is mended");
    lab.muster_ok(&["admin", "restore", backup, "--yes"]).expect("a system that has only begun is taken");
    for service in OWNERS {
        let spawn = lab.service_spawn(service, 7).expect("it can be started");
        let mut process = Process::start(spawn).expect("it starts");
        wait_until("it runs on what was restored", SETTLE_LIMIT, || {
            lab.muster_json(&["admin", "status", "--timeout", "1s"]).is_ok() || process.log_tail().contains("leading")
        })
        .unwrap_or_else(|error| panic!("{error}: {}", process.log_tail()));
        assert!(process.is_running(), "{}", process.log_tail());
        process.stop(Duration::from_secs(10));
    }
    lab.down().expect("nothing is left running");
}
