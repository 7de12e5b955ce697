//! Every fault of a script of simulated machines, against the real services: what the pool says of it, and that it settles.

use std::collections::BTreeMap;

use muster_e2e::{SETTLE_LIMIT, options, start};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

/// Each machine has its fault; the job is 1. Refusals begin with the program, because a job's first start is what they refuse.
const SCRIPT: &str = r#"
[[fault]]
machines = "sim-1"
kind = "die"
processes = 2
job = 1
after = "1s"

[[fault]]
machines = "sim-2"
kind = "mia"
processes = 2
job = 1
after = "1s"
for = "4s"

[[fault]]
machines = "sim-3"
kind = "corrupt"
processes = 1
job = 1
after = "1s"

[[fault]]
machines = "sim-4"
kind = "silent"
job = 1
after = "1s"
for = "6s"

[[fault]]
machines = "sim-5"
kind = "reboot"
job = 1
after = "1s"
for = "2s"

[[fault]]
machines = "sim-6"
kind = "refuse"
for = "10m"

[[fault]]
machines = "sim-7"
kind = "lose-report"
job = 1
after = "1s"

[[fault]]
machines = "sim-7"
kind = "die"
processes = 1
job = 1
after = "1500ms"

[[fault]]
machines = "sim-8"
kind = "slow"
job = 1
after = "0s"
for = "10m"
delay = "1500ms"
"#;

const PROCESSES: u32 = 40;

/// The job's processes by machine.
fn processes(lab: &Lab) -> BTreeMap<String, Vec<Value>> {
    let rows = lab.muster_json(&["ps", "--all", "--job", "1"]).unwrap_or_default();
    let mut by_machine: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows.as_array().cloned().unwrap_or_default() {
        by_machine.entry(row["machine"].as_str().unwrap_or("?").to_owned()).or_default().push(row);
    }
    by_machine
}

fn of<'a>(found: &'a BTreeMap<String, Vec<Value>>, machine: &str) -> &'a [Value] {
    found.get(machine).map_or(&[], Vec::as_slice)
}

fn in_state(rows: &[Value], state: &str) -> usize {
    rows.iter().filter(|row| row["state"] == state).count()
}

fn until(lab: &Lab, what: &str, mut holds: impl FnMut(&BTreeMap<String, Vec<Value>>) -> bool) {
    wait_until(what, SETTLE_LIMIT, || holds(&processes(lab))).unwrap_or_else(|error| {
        let told = |row: &Value| format!("{} {} {} {}", row["machine"], row["dpid"], row["state"], row["reason"]);
        let rows: Vec<String> = processes(lab).values().flatten().map(told).collect();
        panic!("{error}\n{}\n{}", rows.join("\n"), lab.tails())
    });
}

#[test]
fn each_fault_of_a_script_is_seen_and_settles() {
    let (mut options, scratch) = options(0, 1).expect("a folder is made");
    let script = scratch.path().join("faults.toml");
    std::fs::write(&script, SCRIPT).expect("the script is written");
    (options.simulated, options.script) = (10, Some(script));
    let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let processes = PROCESSES.to_string();
    lab.muster_json(&["start", "idle", "--processes", &processes]).expect("the start is taken");

    until(&lab, "two are mia", |found| in_state(of(found, "sim-2"), "mia") == 2);
    until(&lab, "what missed its pings runs again", |found| {
        let rows = of(found, "sim-2");
        !rows.is_empty() && in_state(rows, "running") == rows.len()
    });
    until(&lab, "two were killed by a signal", |found| {
        let dead =
            |row: &&Value| row["state"] == "dead" && row["exit_status"] == "signal 9" && row["verdict"] == "error";
        of(found, "sim-1").iter().filter(dead).count() == 2
    });
    // Whoever speaks first: the agent of the new boot says that they are dead, the scheduler sees the new boot id and calls them lost.
    until(&lab, "everything on the machine that rebooted has ended because of that", |found| {
        let lost = |row: &Value| {
            (row["state"] == "lost" || row["state"] == "dead")
                && row["reason"].as_str().is_some_and(|why| why.contains("reboot"))
        };
        let rows = of(found, "sim-5");
        !rows.is_empty() && rows.iter().all(lost)
    });
    until(&lab, "what the machine refused runs elsewhere, at the next attempt", |found| {
        let elsewhere = found.values().flatten().filter(|row| row["attempt"] == 2 && row["state"] == "running").count();
        of(found, "sim-6").is_empty() && elsewhere > 0
    });
    until(&lab, "the death whose report was lost is found by comparing", |found| {
        let dead = |row: &Value| {
            row["state"] == "dead" && row["reason"] == "killed by signal 9" && row["exit_status"] == "signal 9"
        };
        of(found, "sim-7").iter().any(dead)
    });
    the_silent_machine_is_back_with_its_processes(&lab);
    stopped_everything_has_its_one_end(&lab);
    lab.down().expect("nothing is left running");
}

fn the_silent_machine_is_back_with_its_processes(lab: &Lab) {
    wait_until("every machine is up", SETTLE_LIMIT, || {
        let rows = lab.muster_json(&["machine", "list"]).unwrap_or_default();
        rows.as_array().is_some_and(|rows| rows.iter().filter(|row| row["health"] == "up").count() == 10)
    })
    .expect("all come back");
    let found = processes(lab);
    let rows = of(&found, "sim-4");
    assert!(!rows.is_empty() && in_state(rows, "running") == rows.len(), "silence ends nothing: {rows:?}");
}

/// The slow machine answers late and does what it is told all the same; found corruption makes its process fail.
fn stopped_everything_has_its_one_end(lab: &Lab) {
    let later = start(lab, "idle", 10, &[]).expect("another job starts");
    lab.muster_ok(&["stop", "1", &later.to_string(), "--wait", "--within", "60s"]).expect("everything stops");
    let found = processes(lab);
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), PROCESSES as usize, "each process is listed once");
    let failed: Vec<&Value> = found.values().flatten().filter(|row| row["verdict"] == "fail").collect();
    assert!(matches!(failed[..], [row] if row["machine"] == "sim-3"), "{failed:?}");
    wait_until("the corruption is in the store", SETTLE_LIMIT, || {
        let summary = lab.muster_json(&["report", "summary", "--job", "1"]).unwrap_or_default();
        summary[0]["corruptions"] == 1
    })
    .expect("it is reported");
}
