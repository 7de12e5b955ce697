//! A test that takes its own machine away: it is awaited, and goes on where it was. A lab's host stays up, its agents pretend to boot.

use muster_e2e::{SETTLE_LIMIT, lab, start, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

fn process(lab: &Lab, job: u64) -> Value {
    lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).unwrap_or_default()[0].clone()
}

/// Boots that nobody had ordered or announced, and other trouble, by what machine-lifecycle remembers.
fn trouble(lab: &Lab) -> String {
    lab.muster_json(&["machine", "list"]).unwrap_or_default()[0]["recent_failures"].to_string()
}

#[test]
fn a_test_reboots_its_machine_three_times_and_goes_on_while_agents_and_services_restart() {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let before = trouble(&lab);
    let parameters = ["--param", "away=reboot", "--param", "rounds=3", "--param", "back_within=90s"];
    let job = start(&lab, "idle", 1, &parameters).expect("a job runs");
    wait_until("it came back once", SETTLE_LIMIT, || process(&lab, job)["attempt"].as_u64() > Some(1))
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", process(&lab, job), lab.tails()));
    // In whatever state it is: what was announced is in the log, and on the agent's disk.
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    wait_state(&lab, job, "finished", 1).expect("it goes on to its end");
    let ended = process(&lab, job);
    assert_eq!((&ended["attempt"], &ended["verdict"]), (&4.into(), &"pass".into()), "{ended}");
    assert_eq!(trouble(&lab), before, "what was announced is nobody's trouble");
    let kept = lab.directory().join("node-1/state/kept");
    wait_until("what it kept is removed with it", SETTLE_LIMIT, || {
        std::fs::read_dir(&kept).map_or(true, |mut entries| entries.next().is_none())
    })
    .expect("nothing is left");
    lab.down().expect("nothing is left running");
}

#[test]
fn only_the_sole_user_of_a_machine_takes_it_away() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let other = start(&lab, "trivial", 1, &[]).expect("another job runs");
    let job = start(&lab, "idle", 1, &["--param", "away=reboot"]).expect("a job runs");
    wait_until("it was refused", SETTLE_LIMIT, || process(&lab, job)["verdict"] == "error")
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", process(&lab, job), lab.tails()));
    let reason = process(&lab, job)["reason"].to_string();
    assert!(reason.contains(&format!("job {other} runs on the machine as well")), "{reason}");
    lab.muster_ok(&["stop", &other.to_string(), "--wait"]).expect("it stops");

    lab.down().expect("nothing is left running");
}
