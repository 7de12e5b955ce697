//! Processes that a test has started on other machines of its job: through kills of the scheduler and of an agent, and to their ends.

use muster_e2e::{SETTLE_LIMIT, job_number, lab, states, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn start(lab: &Lab, parameters: &[&str]) -> u64 {
    let mut arguments = vec!["start", "idle", "--per-machine", "1", "--wait", "--timeout", "90s"];
    arguments.extend(["--param", "errands=node-2,node-3"]);
    parameters.iter().for_each(|parameter| arguments.extend(["--param", parameter]));
    let started = lab.muster_json(&arguments).expect("a job runs");
    job_number(&started).expect("it has a number")
}

fn processes(lab: &Lab, job: u64) -> Vec<Value> {
    let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).unwrap_or_default();
    rows.as_array().cloned().unwrap_or_default()
}

/// Waits until both errands of a job run, each where it was asked for.
fn both_run(lab: &Lab, job: u64) -> [u64; 2] {
    let errands = [job + 1, job + 2];
    errands.iter().for_each(|errand| wait_state(lab, *errand, "running", 1).expect("it runs"));
    let machines = errands.map(|errand| processes(lab, errand)[0]["machine"].clone());
    assert_eq!(machines, [Value::from("node-2"), Value::from("node-3")]);
    errands
}

fn restart(lab: &mut Lab) {
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.agent("node-2").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    lab.agent("node-2").and_then(|agent| agent.restart()).expect("it starts again");
}

#[test]
fn errands_are_started_awaited_and_end_with_their_process_through_kills_of_the_parts() {
    let (mut lab, _scratch) = lab(3, 1).expect("the lab comes up");
    let awaited = start(&lab, &["errand_exit_after=8s"]);
    both_run(&lab, awaited);
    restart(&mut lab);
    wait_until("their ends were awaited", SETTLE_LIMIT, || processes(&lab, awaited)[0]["state"] == "finished")
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", processes(&lab, awaited), lab.tails()));
    assert_eq!(processes(&lab, awaited)[0]["verdict"], "pass", "{:?}", processes(&lab, awaited));
    lab.muster_ok(&["stop", &awaited.to_string(), "--yes", "--wait"]).expect("the others stop");

    let bound = start(&lab, &[]);
    let errands = both_run(&lab, bound);
    let first = processes(&lab, bound)[0]["dpid"].as_str().expect("it has a DPID").to_owned();
    let pid = test_processes(&lab)[&first][0].0;
    kill_process(Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid"), Signal::KILL)
        .expect("it is killed");
    restart(&mut lab);
    errands.iter().for_each(|errand| wait_state(&lab, *errand, "finished", 1).expect("it ends with its process"));
    let why = lab.muster_ok(&["why", &errands[0].to_string()]).expect("it is explained");
    assert!(why.contains(&first) && why.contains("errand"), "{why}");
    lab.muster_ok(&["stop", &bound.to_string(), "--yes"]).expect("the others stop");

    let free = start(&lab, &["errand_detached=true"]);
    let errands = both_run(&lab, free);
    lab.muster_ok(&["stop", &free.to_string(), "--yes", "--wait"]).expect("it stops");
    wait_state(&lab, free, "finished", 3).expect("all of it has ended");
    let lives = |errand: &u64| states(&lab, *errand).is_ok_and(|states| states.get("running") == Some(&1));
    assert!(errands.iter().all(lives), "who is detached goes on");
    lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("everything stops");
    lab.down().expect("nothing is left running");
}
