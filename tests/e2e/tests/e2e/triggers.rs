//! Triggers, from a test process that finds something to machines that act.

use std::path::PathBuf;

use muster_e2e::{SETTLE_LIMIT, lab, start, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

/// Where the magic SysRq of a machine of a lab goes.
pub(crate) fn keys(lab: &Lab, machine: u32) -> PathBuf {
    lab.directory().join(format!("node-{machine}/sysrq"))
}

/// Lets the machines of a lab be crashed: into a file.
pub(crate) fn permit(lab: &Lab, machines: std::ops::RangeInclusive<u32>) {
    for machine in machines {
        let path = keys(lab, machine);
        std::fs::write(&path, "").expect("the keys are written");
        let text = format!(
            "crash = true\nsysrq = \"w\"\nsysrq_trigger = \"{}\"\npacket_to = \"127.0.0.1:9\"\n",
            path.display()
        );
        std::fs::write(path.with_file_name("triggers.toml"), text).expect("the policy is written");
    }
}

/// Arms once its machines have said that they permit it.
pub(crate) fn arm(lab: &Lab, arguments: &[&str]) {
    wait_until("it can be armed", SETTLE_LIMIT, || {
        lab.muster(&[&["trigger", "arm"], arguments].concat()).is_ok_and(|output| output.status.success())
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", lab.muster(&[&["trigger", "arm"], arguments].concat())));
}

/// Machines that acted on firings of a trigger, sorted, with what came of it.
pub(crate) fn outcomes(lab: &Lab, trigger: u64) -> Vec<(String, String)> {
    let rows = lab.muster_json(&["trigger", "list", "--fired"]).unwrap_or_default();
    let rows = rows.as_array().cloned().unwrap_or_default();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let own = rows.iter().filter(|row| row["trigger"] == trigger && row["machine"].is_string());
    let mut found: Vec<_> = own.map(|row| (text(row, "machine"), text(row, "outcome"))).collect();
    found.sort();
    found
}

/// How often a machine's agent was granted one; a new agent hears nothing before.
fn incarnation(lab: &Lab, machine: &str) -> u64 {
    let machines = lab.muster_json(&["machine", "show", machine]).unwrap_or_default();
    let row = machines.get(0).unwrap_or(&machines);
    row["incarnation"].as_u64().unwrap_or_default()
}

#[test]
fn a_test_process_fires_and_four_machines_act_once_each() {
    let (mut lab, _scratch) = lab(4, 1).expect("the lab comes up");
    permit(&lab, 1..=4);
    let io = start(&lab, "high-io", 4, &["--param", "file_size=1MiB"]).expect("high-io runs");
    // Named one by one, each has to permit it.
    arm(&lab, &["3", "--on", "node-1,node-2,node-3,node-4", "--from", "node-1", "--action", "crash"]);
    arm(&lab, &["4", "--on", "node-2", "--from", "node-1", "--action", "dump-history"]);
    // Not from node-1: nobody acts.
    arm(&lab, &["5", "--on", "node-1,node-2,node-3,node-4", "--from", "node-4", "--action", "sysrq", "w"]);
    start(&lab, "idle", 1, &["--on", "node-1", "--param", "trigger=3,4,5", "--param", "fire_after=3s"])
        .expect("idle runs, and fires");
    let all: Vec<_> = (1..=4).map(|machine| (format!("node-{machine}"), "acted".to_owned())).collect();
    wait_until("all four acted", SETTLE_LIMIT, || outcomes(&lab, 3) == all)
        .unwrap_or_else(|error| panic!("{error}: {:?}", outcomes(&lab, 3)));
    wait_until("node-2 acted", SETTLE_LIMIT, || outcomes(&lab, 4) == [("node-2".to_owned(), "acted".to_owned())])
        .unwrap_or_else(|error| panic!("{error}: {:?}", outcomes(&lab, 4)));
    for machine in 1..=4 {
        let pressed = std::fs::read_to_string(keys(&lab, machine)).expect("the keys are read");
        assert_eq!(pressed, "c", "node-{machine} crashed once");
    }
    assert!(outcomes(&lab, 5).is_empty(), "who is not named can not fire");
    let armed = lab.muster_json(&["trigger", "list"]).expect("it is listed");
    let numbers: Vec<_> = armed.as_array().expect("an array").iter().map(|row| row["trigger"].clone()).collect();
    assert_eq!(numbers, [4, 5], "what crashed disarmed itself");

    // The history of high-io on node-2 is among its results, and told as an artifact.
    let told = || muster_e2e::stream::messages(&lab, "REPORTS").expect("the stream is read");
    wait_until("the history is kept", SETTLE_LIMIT, || {
        told().iter().any(|message| String::from_utf8_lossy(message).contains("/history-4-"))
    })
    .expect("it is told");

    // A person fires; an agent that was killed between does not act again on what it did.
    let before = incarnation(&lab, "node-3");
    lab.agent("node-3").expect("node-3 is there").kill9();
    let spawn = lab.agent_spawn("node-3").expect("node-3 can be started");
    let agent = muster_testkit::Process::start(spawn).expect("node-3 starts");
    *lab.agent("node-3").expect("node-3 is there") = agent;
    wait_until("node-3 said hello", SETTLE_LIMIT, || incarnation(&lab, "node-3") > before).expect("it says hello");
    arm(&lab, &["6", "--on", "*", "--action", "stop-job", &io.to_string()]);
    let fired = lab.muster_json(&["trigger", "fire", "6", "--note", "enough", "--wait"]).unwrap_or_else(|error| {
        panic!("{error}: {:?}\n{}", lab.muster_json(&["trigger", "list", "--fired"]), lab.tails())
    });
    assert_eq!(fired.as_array().map(Vec::len), Some(4), "{fired}");
    wait_state(&lab, io, "finished", 4).expect("high-io stops everywhere");
    assert_eq!(std::fs::read_to_string(keys(&lab, 3)).expect("the keys are read"), "c");
    lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("the rest stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn what_may_not_be_armed_or_fired_is_refused() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = lab.muster(arguments).expect("muster runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{arguments:?} says {words:?}: {error}");
    };
    refused(&["trigger", "arm", "256", "--on", "*", "--action", "packet"], 2, &["256", "0 to 255"]);
    refused(&["trigger", "arm", "3", "--on", "*", "--action", "boom"], 2, &["boom", "dump-history"]);
    refused(&["trigger", "arm", "3", "--on", "node-1", "--action", "crash"], 3, &["node-1", "policy file"]);
    refused(&["trigger", "arm", "3", "--on", "node-9", "--action", "packet"], 4, &["node-9"]);
    refused(&["trigger", "fire", "3"], 3, &["no machine is armed"]);
    refused(&["trigger", "fire", "256"], 2, &["0 to 255"]);
    lab.muster_ok(&["resource", "protect", "node-1", "--machine"]).expect("node-1 is protected");
    wait_until("a protected machine is refused", SETTLE_LIMIT, || {
        let output = lab.muster(&["trigger", "arm", "3", "--on", "node-1", "--action", "packet"]);
        output.is_ok_and(|output| {
            output.status.code() == Some(3) && String::from_utf8_lossy(&output.stderr).contains("protected")
        })
    })
    .expect("it is refused");
    lab.muster_ok(&["trigger", "arm", "3", "--on", "node-2", "--action", "packet"]).expect("node-2 is armed");
    let reserved = lab.muster_json(&["reserve", "node-2", "--for", "1h"]).expect("node-2 is reserved");
    wait_until("its arm is gone with its epoch", SETTLE_LIMIT, || {
        lab.muster_json(&["trigger", "list"]).is_ok_and(|rows| rows.as_array().is_some_and(Vec::is_empty))
    })
    .unwrap_or_else(|error| panic!("{error}: {reserved}"));
    wait_until("another one's machine is refused", SETTLE_LIMIT, || {
        let output = lab.muster(&["trigger", "arm", "3", "--on", "node-2", "--action", "packet"]);
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("held by reservation"))
    })
    .expect("it is refused");
    lab.down().expect("nothing is left running");
}
