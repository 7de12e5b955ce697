//! Check-out through the full path: drain, epoch, fence, hand-over, deadline, return.

use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, lab, machine, start, test_processes, wait_state};
use muster_testkit::wait_until;

#[test]
fn a_check_out_drains_fences_and_comes_back_at_its_deadline() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let job = start(&lab, "idle", 4, &[]).expect("the pool's job starts");
    let epoch = machine(&lab, "node-1")["epoch"].as_u64().expect("it has an epoch");
    lab.muster_ok(&["reserve", "node-1", "--for", "8s", "--wait", "--timeout", "60s"]).expect("it is handed over");
    let ready = Instant::now();
    let held = machine(&lab, "node-1");
    assert_eq!(held["tenure"], "held", "{held}");
    assert!(held["epoch"].as_u64().expect("it has an epoch") > epoch, "the epoch rose: {held}");
    assert_eq!(test_processes(&lab).len(), 2, "what ran on it was stopped; the other machine was not touched");

    let refused = lab.muster(&["start", "idle", "--processes", "1", "--on", "node-1"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(3), "the pool can not use it: {refused:?}");
    let own = start(&lab, "idle", 2, &["--on", "node-1", "--reservation", "1"]).expect("the holder can");
    wait_until("the machine is the pool's again", SETTLE_LIMIT, || machine(&lab, "node-1")["tenure"] == "pool")
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", machine(&lab, "node-1"), lab.tails()));
    assert!(ready.elapsed() < Duration::from_secs(8 + 10 + 10), "it came back soon after its deadline");
    wait_state(&lab, own, "finished", 2).expect("what the holder ran was stopped");
    assert_eq!(test_processes(&lab).len(), 2, "only the pool's job on the other machine is left");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_check_in_returns_a_machine_early_and_twice_is_refused() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    lab.muster_ok(&["reserve", "node-1", "--for", "1h", "--wait", "--timeout", "60s"]).expect("it is handed over");
    lab.muster_ok(&["extend", "1", "--by", "30m"]).expect("it is extended");
    lab.muster_ok(&["checkin", "1"]).expect("it is given back");
    let twice = lab.muster(&["checkin", "1"]).expect("muster runs");
    assert_eq!(twice.status.code(), Some(3), "{twice:?}");
    wait_until("the machine is the pool's again", SETTLE_LIMIT, || machine(&lab, "node-1")["tenure"] == "pool")
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", machine(&lab, "node-1"), lab.tails()));
    let job = start(&lab, "idle", 1, &[]).expect("the pool can use it again");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    lab.down().expect("nothing is left running");
}
