//! What comes first when real processes find real wrong data, and what is left of it.

use muster_e2e::{SETTLE_LIMIT, lab, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

use crate::triggers::{arm, keys, outcomes, permit};

/// Starts a job that makes a corruption itself; its number.
fn start_wrong(lab: &Lab, module: &str, processes: &str, more: &[&str]) -> u64 {
    let started = lab.muster_json(&[&["start", module, "--processes", processes], more].concat());
    muster_e2e::job_number(&started.expect("it is started")).expect("it has a number")
}

/// Corruptions that processes of a job reported.
fn corruptions(lab: &Lab, job: u64) -> Vec<Value> {
    let rows = lab.muster_json(&["report", "corruption", "--job", &job.to_string()]).unwrap_or_default();
    rows.as_array().cloned().unwrap_or_default()
}

/// Waits until a job has reported a corruption; the row.
fn wait_corruption(lab: &Lab, job: u64) -> Value {
    wait_until("the corruption is in the store", SETTLE_LIMIT, || !corruptions(lab, job).is_empty())
        .unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));
    corruptions(lab, job)[0].clone()
}

fn iterations(lab: &Lab, job: u64) -> u64 {
    let rows = lab.muster_json(&["ps", "--job", &job.to_string()]).unwrap_or_default();
    rows.as_array().map_or(0, |rows| rows.iter().filter_map(|row| row["iterations"].as_u64()).sum())
}

#[test]
fn who_is_to_go_on_does_and_fails_in_the_end_with_evidence_that_can_be_fetched() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let high_io = ["--param", "file_size=1MiB", "--param", "iops_max=200", "--param", "inject=BITFLIP"];
    let memory = ["--param", "size=64KiB", "--param", "rate_max=4MiB", "--param", "inject=FOREIGN"];
    let tcp = ["--param", "packet_size=4KiB", "--param", "rate_max=1MiB", "--param", "inject=DROPPED"];
    for (module, processes, class, files, given) in [
        ("high-io", 1, "BITFLIP", 4, high_io),
        ("memory", 1, "FOREIGN", 4, memory),
        // Both ends fail, and the one that received tells of it.
        ("tcp", 2, "DROPPED", 3, tcp),
    ] {
        let job =
            start_wrong(&lab, module, &processes.to_string(), &[&given[..], &["--on-error", "continue"]].concat());
        let corruption = wait_corruption(&lab, job);
        assert_eq!(corruption["class"], class, "{corruption}");
        let before = iterations(&lab, job);
        wait_until("it goes on", SETTLE_LIMIT, || iterations(&lab, job) > before + 200).expect("it does");
        wait_state(&lab, job, "running", processes).expect("nothing ended");

        let number = corruption["id"].to_string();
        let to = lab.directory().join(format!("evidence-{module}"));
        let get = ["artifact", "get", "--corruption", &number, "--to", &to.to_string_lossy()];
        let fetched = || std::fs::read_dir(&to).map_or(0, Iterator::count);
        wait_until("its files are fetched", SETTLE_LIMIT, || lab.muster_ok(&get).is_ok() && fetched() == files)
            .unwrap_or_else(|error| panic!("{error}: {:?}", lab.muster(&get)));
        let names = || std::fs::read_dir(&to).expect("it is there").flatten().map(|entry| entry.path());
        let read = |what: &str| {
            let path = names().find(|path| path.to_string_lossy().contains(what)).expect("it was fetched");
            std::fs::read(path).expect("it is readable")
        };
        let (expected, actual) = (read("expected.bin"), read("actual.bin"));
        assert!(expected.len() == actual.len() && expected != actual, "{module}: what is wrong is there, whole");
        assert!(!read("explained.txt").is_empty());

        lab.muster_ok(&["stop", &job.to_string(), "--wait", "--timeout", "90s"]).expect("it stops");
        wait_state(&lab, job, "dead", processes).expect("it failed");
        assert_eq!(corruptions(&lab, job).len(), 1, "it was told once");
        let rows = lab.muster_json(&["ps", "--all", "--job", &job.to_string()]).expect("the processes are listed");
        assert!(rows.as_array().is_some_and(|rows| rows.iter().all(|row| row["verdict"] == "fail")), "{rows}");
    }
}

#[test]
fn a_real_mismatch_fires_what_the_start_named() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    permit(&lab, 1..=2);
    arm(&lab, &["3", "--on", "node-2", "--action", "crash"]);
    arm(&lab, &["4", "--on", "node-1,node-2", "--action", "sysrq", "w"]);
    let acted = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "acted".to_owned())).collect::<Vec<_>>();
    let given =
        ["--on", "node-1", "--param", "file_size=1MiB", "--param", "inject=STALE", "--on-error", "trigger", "3"];
    let high_io = start_wrong(&lab, "high-io", "1", &given);
    wait_until("node-2 acted", SETTLE_LIMIT, || outcomes(&lab, 3) == acted(&["node-2"]))
        .unwrap_or_else(|error| panic!("{error}: {:?}", outcomes(&lab, 3)));
    let given = ["--param", "packet_size=4KiB", "--param", "inject=REORDERED", "--on-error", "trigger", "4,5"];
    let tcp = start_wrong(&lab, "tcp", "2", &given);
    wait_until("both acted", SETTLE_LIMIT, || outcomes(&lab, 4) == acted(&["node-1", "node-2"]))
        .unwrap_or_else(|error| panic!("{error}: {:?}", outcomes(&lab, 4)));
    assert_eq!(std::fs::read_to_string(keys(&lab, 1)).expect("the keys are read"), "w");
    assert_eq!(std::fs::read_to_string(keys(&lab, 2)).expect("the keys are read"), "cw");
    for (job, processes, class) in [(high_io, 1, "STALE"), (tcp, 2, "REORDERED")] {
        assert_eq!(wait_corruption(&lab, job)["class"], class);
        wait_state(&lab, job, "dead", processes).expect("it was reported, and they ended");
    }
}

#[test]
fn a_machine_crashes_for_a_process_where_its_policy_permits_it() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let start =
        ["start", "memory", "-n", "1", "--param", "size=64KiB", "--param", "inject=ZERO", "--on-error", "crash"];
    let refused = lab.muster(&start).expect("muster runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("it may not crash node-1") && said.contains("--trigger-policy"), "{said}");
    permit(&lab, 1..=1);
    wait_until("it may", SETTLE_LIMIT, || lab.muster(&start).is_ok_and(|output| output.status.success()))
        .expect("it does");
    wait_until("the machine crashes", SETTLE_LIMIT, || outcomes(&lab, 0) == [("node-1".into(), "acted".into())])
        .unwrap_or_else(|error| panic!("{error}: {:?}", outcomes(&lab, 0)));
    assert_eq!(std::fs::read_to_string(keys(&lab, 1)).expect("the keys are read"), "c");
    let fired = lab.muster_json(&["trigger", "list", "--fired"]).expect("it is listed").to_string();
    assert!(fired.contains("crash on error: wrong data"), "{fired}");
    // What pressed the key here is a file: the machine lives, and so what was found is told after all.
    wait_corruption(&lab, 1);
    wait_state(&lab, 1, "dead", 1).expect("it ended");
    for (given, why) in [(&["stop"][..], "`stop` is none of"), (&["trigger", "256"], "numbers from 0 to 255")] {
        let output = lab.muster(&[&["start", "idle", "-n", "1", "--on-error"], given].concat()).expect("muster runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
