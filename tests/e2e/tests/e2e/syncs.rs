//! Processes on three machines wait for each other, whatever is restarted meanwhile, and go on where one of them does not come.

use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, job_number, lab, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// So often one of the three machines reboots.
const REBOOTS: &str = "50";

fn start(lab: &Lab, parameters: &[&str]) -> u64 {
    let mut arguments = vec!["start", "idle", "--per-machine", "1", "--wait", "--timeout", "90s"];
    parameters.iter().for_each(|parameter| arguments.extend(["--param", parameter]));
    let started = lab.muster_json(&arguments).expect("a job runs");
    job_number(&started).expect("it has a number")
}

fn processes(lab: &Lab, job: u64) -> Vec<Value> {
    let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).unwrap_or_default();
    rows.as_array().cloned().unwrap_or_default()
}

fn all_passed(lab: &Lab, job: u64) {
    wait_state(lab, job, "finished", 3).unwrap_or_else(|error| panic!("{error:#}: {:?}", processes(lab, job)));
    assert!(processes(lab, job).iter().all(|row| row["verdict"] == "pass"), "{:?}", processes(lab, job));
}

#[test]
fn rounds_survive_the_scheduler_the_bus_and_agents_and_a_dead_participant_releases_the_others() {
    let (mut lab, _scratch) = lab(3, 1).expect("the lab comes up");
    let job = start(&lab, &["sync=true", "rounds=6", "sync_pause=1s"]);
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    lab.agent("node-2").expect("it is a part").kill9();
    lab.agent("node-2").and_then(|agent| agent.restart()).expect("it starts again");
    lab.nats.restart().expect("nats-server starts");
    all_passed(&lab, job);

    let waits = start(&lab, &["sync=true", "rounds=2", "sync_pause=20s"]);
    wait_until("somebody waits, and why names who is awaited", SETTLE_LIMIT, || {
        lab.muster_ok(&["why", &waits.to_string()]).is_ok_and(|why| why.contains("sync point iteration round 1: "))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", lab.muster_ok(&["why", &waits.to_string()])));
    let last = processes(&lab, waits)[2]["dpid"].as_str().expect("it has a DPID").to_owned();
    let pid = test_processes(&lab)[&last][0].0;
    let killed = Instant::now();
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it is killed");
    wait_until("the first goes on", SETTLE_LIMIT, || processes(&lab, waits)[0]["verdict"] == "error")
        .unwrap_or_else(|error| panic!("{error}: {:?}", processes(&lab, waits)));
    let (took, reason) = (killed.elapsed(), processes(&lab, waits)[0]["reason"].to_string());
    assert!(reason.contains("Released") && reason.contains(&last) && reason.contains("dead"), "{reason}");
    assert!(took < Duration::from_secs(15), "released at once, and not by its time: {took:?}");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_machine_that_reboots_fifty_times_joins_the_others_again_each_time() {
    let (lab, _scratch) = lab(3, 1).expect("the lab comes up");
    let rounds = format!("rounds={REBOOTS}");
    let job = start(&lab, &["sync=true", "away=reboot", "away_process=1", &rounds, "back_within=120s"]);
    wait_until("all rounds are over", SETTLE_LIMIT * 4, || {
        processes(&lab, job).iter().all(|row| row["state"] == "finished" || row["state"] == "dead")
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", processes(&lab, job), lab.tails()));
    all_passed(&lab, job);
    let attempts: Vec<u64> = processes(&lab, job).iter().filter_map(|row| row["attempt"].as_u64()).collect();
    assert_eq!(attempts, [51, 1, 1], "one boot, one attempt");
    lab.down().expect("nothing is left running");
}
