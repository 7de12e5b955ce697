//! Simulated machines speak the real protocol: a large job on many of them, across a restart of the bus.

use muster_e2e::{SETTLE_LIMIT, options, start, states, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

#[test]
fn a_hundred_simulated_machines_run_a_job_across_a_restart_of_the_bus() {
    let (mut options, _scratch) = options(0, 1).expect("a folder is made");
    options.simulated = 100;
    let mut lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let job = start(&lab, "idle", 1_000, &[]).expect("the job starts");
    let rows = lab.muster_json(&["machine", "list"]).expect("machine list answers");
    assert_eq!(rows.as_array().map(Vec::len), Some(100), "every machine is known");
    lab.nats.kill9();
    lab.nats.restart().expect("nats-server starts");
    wait_until("everything answers and runs as before", SETTLE_LIMIT, || {
        states(&lab, job).is_ok_and(|found| found.get("running") == Some(&1_000))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", states(&lab, job), lab.tails()));
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    wait_state(&lab, job, "finished", 1_000).expect("all finish");
    lab.down().expect("nothing is left running");
}
