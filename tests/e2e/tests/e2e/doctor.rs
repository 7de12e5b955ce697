//! `muster doctor`: a lab that is well is found to be, and what differs is named, with what is done about it.

use std::time::Duration;

use muster_e2e::{SETTLE_LIMIT, lab, start, states, test_processes};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Exit code and checks of an examination.
fn doctor(lab: &Lab, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut arguments = vec!["doctor", "--output", "json"];
    arguments.extend(more);
    let output = lab.muster(&arguments).expect("muster runs");
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), checks.as_array().cloned().expect("it is a list"))
}

fn named<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name} is checked: {checks:#?}"))
}

fn says(check: &Value, field: &str, text: &str) -> bool {
    check[field].as_str().is_some_and(|said| said.contains(text))
}

/// Until everything is well: a lab that has just come up has yet to be heard and archived.
fn wait_well(lab: &Lab) -> Vec<Value> {
    let mut found = (None, Vec::new());
    wait_until("the doctor finds everything well", SETTLE_LIMIT, || {
        found = doctor(lab, &["--strict"]);
        found.0 == Some(0)
    })
    .unwrap_or_else(|error| panic!("{error}: {:#?}\n{}", found.1, lab.tails()));
    found.1
}

#[test]
fn a_lab_that_is_well_gives_ok_and_its_standbys_have_the_leaders_state() {
    let (lab, _scratch) = lab(2, 2).expect("the lab comes up");
    start(&lab, "idle", 4, &[]).expect("a job starts");
    let checks = wait_well(&lab);
    assert!(checks.iter().all(|check| check["state"] == "ok"), "{checks:#?}");
    for service in ["scheduler", "machine-lifecycle", "reservation"] {
        let standby = named(&checks, &format!("{service} replicas"));
        assert!(says(standby, "found", "has the leader's state"), "{standby}");
        assert!(says(named(&checks, service), "found", "leads, term"), "{checks:#?}");
    }
    for log in ["JOBS", "MACHINES", "RESERVATIONS"] {
        assert!(says(named(&checks, log), "found", "its archive agrees"), "{checks:#?}");
    }
    let people = lab.muster_ok(&["doctor"]).expect("it is well");
    assert!(people.contains("nats-server") && !people.contains("why:"), "{people}");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn what_an_agent_lost_is_named_and_repaired_once_it_is_heard() {
    let (mut lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let job = start(&lab, "idle", 4, &[]).expect("a job starts");
    wait_well(&lab);
    let rows = lab.muster_json(&["ps", "--job", &job.to_string()]).expect("ps answers");
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["machine"] == "node-1").cloned());
    let dpid = row.expect("one is there")["dpid"].as_str().expect("it has one").to_owned();

    // The agent is deaf and dumb, one of its processes is killed behind its back, and it misses the order to stop.
    lab.agent("node-1").expect("it is a part").signal(Signal::STOP).expect("it stops");
    let killed = test_processes(&lab)[&dpid][0].0;
    let killed = Pid::from_raw(i32::try_from(killed).expect("a pid")).expect("a pid");
    kill_process(killed, Signal::KILL).expect("it is killed");
    wait_until("its silence is noticed", SETTLE_LIMIT, || {
        let (_, checks) = doctor(&lab, &["--wait", "0s"]);
        says(named(&checks, "agents"), "found", "node-1 is")
    })
    .expect("it is silent");
    lab.muster_ok(&["stop", &job.to_string()]).expect("it is asked to stop");
    let (code, checks) = doctor(&lab, &["--wait", "1s"]);
    assert_eq!(code, Some(0), "a warning alone is no failure");
    let differs = named(&checks, "scheduler node-1");
    assert!(differs["state"] == "warn" && says(differs, "found", "processes live by the log"), "{differs}");
    assert!(says(differs, "why", "hello") && says(differs, "next", "node-1"), "{differs}");
    assert_eq!(doctor(&lab, &["--wait", "0s", "--strict"]).0, Some(1), "unless it is asked for");

    // It hears again while the doctor waits for what differs.
    let program = lab.muster_program();
    let mut waiting = std::process::Command::new(program);
    waiting.args(["doctor", "--wait", "60s", "--output", "json"]).envs(lab.environment());
    let waiting = waiting.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn();
    let waiting = waiting.expect("muster runs");
    std::thread::sleep(Duration::from_millis(1_500));
    lab.agent("node-1").expect("it is a part").signal(Signal::CONT).expect("it goes on");
    let output = waiting.wait_with_output().expect("muster ends");
    let checks: Value = serde_json::from_slice(&output.stdout).expect("it prints checks");
    let repaired = named(checks.as_array().expect("it is a list"), "scheduler node-1");
    assert!(repaired["state"] == "ok" && says(repaired, "found", "done within"), "{repaired}");
    assert!(says(repaired, "found", "JOBS 1/"), "it says what was decided: {repaired}");
    wait_until("all processes have ended", SETTLE_LIMIT, || {
        states(&lab, job).is_ok_and(|found| !found.contains_key("running") && !found.contains_key("fip"))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", states(&lab, job)));
    wait_well(&lab);
    lab.down().expect("nothing is left running");
}

#[test]
fn a_service_that_is_gone_and_a_store_that_is_away_are_named() {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    wait_well(&lab);
    lab.service("telemetry-logger-a").expect("it is a part").kill9();
    lab.service("reservation-a").expect("it is a part").kill9();
    let (code, checks) = doctor(&lab, &[]);
    assert_eq!(code, Some(1), "{checks:#?}");
    for (name, state) in [("reservation", "fail"), ("telemetry-logger", "fail"), ("JOBS", "warn")] {
        let check = named(&checks, name);
        assert_eq!(check["state"], state, "{check}");
        assert!(!check["why"].as_str().unwrap_or_default().is_empty(), "{check}");
        assert!(!check["next"].as_str().unwrap_or_default().is_empty(), "{check}");
    }
    assert_eq!(named(&checks, "scheduler")["state"], "ok");
    let people = lab.muster(&["doctor"]).expect("muster runs");
    let text = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(text.contains("why:") && text.contains("next:"), "{text}");
    lab.down().expect("nothing is left running");
}
