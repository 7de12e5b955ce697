//! Events of tests: waited for from outside of the pool, found afterwards, and lost by no restart.

use std::process::{Command, Stdio};

use muster_e2e::{SETTLE_LIMIT, lab, start};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

#[test]
fn an_event_of_a_test_ends_a_wait_outside_of_the_pool_and_survives_the_scheduler() {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let mut waits = Command::new(lab.muster_program());
    waits.args(["wait-event", "load.begun", "--within", "90s", "--output", "json"]).envs(lab.environment());
    let mut waiting = waits.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it waits");
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    // Nobody knows when the wait has begun: whichever event comes after that ends it.
    let job = start(&lab, "idle", 1, &["--param", "emit=load.begun"]).expect("a job runs");
    let asked = ["wait-event", "load.begun", "--job", &job.to_string(), "--since", "5m"];
    let found = |lab: &Lab| lab.muster_json(&asked);
    let event = found(&lab).unwrap_or_else(|error| panic!("{error:#}\n{}", lab.tails()));
    assert_eq!((&event[0]["name"], &event[0]["data"]), (&"load.begun".into(), &event[0]["dpid"]), "{event}");

    wait_until("the wait ends", SETTLE_LIMIT, || {
        let ended = waiting.try_wait().expect("it is a child").is_some();
        // Refused where too many were said just before, which changes nothing for who waits.
        if !ended {
            lab.muster(&["emit", "load.begun", "by hand"]).expect("it runs");
        }
        ended
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));
    let output = waiting.wait_with_output().expect("it has ended");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("load.begun"), "{printed}");

    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    assert_eq!(found(&lab).expect("no restart loses it"), event);
    let never = lab.muster(&["wait-event", "never", "--since", "5m", "--within", "1s"]).expect("it runs");
    assert_eq!(never.status.code(), Some(5), "{}", String::from_utf8_lossy(&never.stderr));
    let refused = lab.muster(&["emit", "No Name"]).expect("it runs");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let log = lab.muster_ok(&["events", "--log", "jobs"]).expect("the log is read");
    assert!(log.contains("test_event") && log.contains("load.begun"), "{log}");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    lab.down().expect("nothing is left running");
}
