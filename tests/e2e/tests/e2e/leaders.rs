//! Two schedulers: a stopped leader does nothing twice when it goes on.

use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, job_number, lab, states, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use rustix::process::Signal;

/// How long the leader is stopped: longer than its lease.
const STOPPED: Duration = Duration::from_secs(15);

/// Instance that leads now, and its term.
fn leader(lab: &Lab) -> Option<(String, u64)> {
    let rows = lab.muster_json(&["admin", "status"]).ok()?;
    let row = rows.as_array()?.iter().find(|row| row["service"] == "scheduler")?.clone();
    Some((row["instance"].as_str()?.to_owned(), row["term"].as_u64()?))
}

fn start_one(lab: &Lab) -> Option<u64> {
    let started = lab.muster_json(&["start", "idle", "--processes", "1", "--timeout", "30s"]).ok()?;
    job_number(&started).ok()
}

#[test]
fn a_leader_stopped_under_load_does_nothing_twice_when_it_goes_on() {
    let (mut lab, _scratch) = lab(1, 2).expect("the lab comes up");
    let (first, term) = leader(&lab).expect("somebody leads");
    let name = format!("scheduler-{first}");
    lab.service(&name).expect("it is a part").signal(Signal::STOP).expect("it stops");
    let stopped = Instant::now();
    let mut jobs = Vec::new();
    while stopped.elapsed() < STOPPED {
        jobs.extend(start_one(&lab));
    }
    lab.service(&name).expect("it is a part").signal(Signal::CONT).expect("it goes on");
    jobs.extend(start_one(&lab));
    let (second, later) = leader(&lab).expect("somebody leads");
    assert_ne!(first, second, "the other one leads");
    assert!(later > term);

    let numbers: std::collections::BTreeSet<u64> = jobs.iter().copied().collect();
    assert_eq!(numbers.len(), jobs.len(), "no number was given twice: {jobs:?}");
    assert!(jobs.len() > 1, "commands were taken while it was stopped");
    for job in &jobs {
        wait_state(&lab, *job, "running", 1).expect("every answered start runs");
    }
    let processes = test_processes(&lab);
    assert!(processes.values().all(|found| found.len() == 1), "nothing was started twice: {processes:?}");
    let listed = lab.muster_json(&["jobs", "--all"]).expect("jobs answers");
    let listed = listed.as_array().expect("it is a list").len();
    assert!(listed >= jobs.len(), "everything that was answered is in the log");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    wait_until("everything has ended", SETTLE_LIMIT, || {
        jobs.iter().all(|job| states(&lab, *job).is_ok_and(|found| found.get("finished") == Some(&1)))
    })
    .expect("all finish");
    lab.down().expect("nothing is left running");
}
