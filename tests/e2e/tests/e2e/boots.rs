//! Twenty simulated machines are booted into a kernel under test, with everything going wrong that can: every one of them ends
//! proven or offline, across restarts of machine-lifecycle, and nothing runs where the ordered kernel is not proven to.

use std::collections::BTreeMap;

use muster_e2e::{SETTLE_LIMIT, options, start, wait_state};
use muster_testkit::kernel::{bzimage, vmlinux};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

const MACHINES: u32 = 20;
const KERNEL: &str = "6.12.1-muster-test";

const SCRIPT: &str = r#"
[[fault]]
machines = "sim-1, sim-2"
kind = "wrong-kernel"

[[fault]]
machines = "sim-3"
kind = "wrong-kernel"
boots = 9

[[fault]]
machines = "sim-4"
kind = "wrong-build"

[[fault]]
machines = "sim-5"
kind = "never-back"

[[fault]]
machines = "sim-6"
kind = "slow-boot"
for = "5s"

[[fault]]
machines = "sim-7"
kind = "stale-boot"

[[fault]]
machines = "sim-8"
kind = "install-fails"

[[fault]]
machines = "sim-9"
kind = "reboot"
job = 2
after = "1s"
for = "1s"
"#;

/// Who can not be helped, and the verdict on it.
const GIVEN_UP: [(&str, &str); 3] = [("sim-3", "wrong_kernel"), ("sim-4", "wrong_build"), ("sim-5", "stale_boot")];

fn machines(lab: &Lab) -> BTreeMap<String, Value> {
    let rows = lab.muster_json(&["machine", "list"]).unwrap_or_default();
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.into_iter().map(|row| (row["machine"].as_str().unwrap_or("?").to_owned(), row)).collect()
}

fn told(found: &BTreeMap<String, Value>) -> String {
    let line = |row: &Value| format!("{} {} {} {}", row["machine"], row["phase"], row["boot_verdict"], row["trouble"]);
    found.values().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_machine_ends_proven_or_offline_and_nothing_runs_on_a_wrong_kernel() {
    let (mut options, scratch) = options(0, 1).expect("a folder is made");
    let script = scratch.path().join("faults.toml");
    std::fs::write(&script, SCRIPT).expect("the script is written");
    (options.simulated, options.script) = (MACHINES, Some(script));
    let mut lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let image = scratch.path().join("vmlinuz");
    let kernel = bzimage(KERNEL, &vmlinux(KERNEL, 62, Some(&[0x5a; 20])));
    std::fs::write(&image, kernel).expect("the image is written");
    lab.muster_ok(&["kernel", "add", &image.display().to_string()]).expect("the kernel is added");
    an_order_without_a_driver_is_refused(&lab);
    let settings =
        ["machine", "set", "*", "boot=simulated", "attempts=3", "boot-within=8s", "install-within=8s", "drain=5s"];
    lab.muster_ok(&settings).expect("settings are taken");

    let before = start(&lab, "idle", 20, &["--on", "sim-1?"]).expect("a job runs before");
    lab.muster_ok(&["machine", "boot", "*", "--kernel", KERNEL, "--yes"]).expect("the order is taken");
    for _ in 0..3 {
        // In whatever phase the machines are: what is under way is finished by who leads next.
        lab.service("machine-lifecycle-a").and_then(|service| service.restart()).expect("it starts again");
        wait_until("it leads", SETTLE_LIMIT, || !machines(&lab).is_empty()).expect("it answers");
    }
    wait_until("every machine is ready or offline", SETTLE_LIMIT * 2, || {
        let found = machines(&lab);
        found.len() == MACHINES as usize
            && found.values().all(|row| row["phase"] == "ready" || row["phase"] == "offline")
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", told(&machines(&lab)), lab.tails()));
    every_end_is_the_right_one(&lab);
    wait_state(&lab, before, "finished", 20).expect("what ran was stopped before its machine went down");
    nothing_runs_where_nothing_is_proven(&lab);
    a_machine_that_crashed_is_proven_again(&lab);
    lab.down().expect("nothing is left running");
}

fn an_order_without_a_driver_is_refused(lab: &Lab) {
    let output = lab.muster(&["machine", "boot", "sim-1", "--kernel", KERNEL, "--yes"]).expect("muster runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && error.contains("no boot driver"), "{error}");
    let output = lab.muster(&["machine", "boot", "sim-1", "--kernel", "none", "--yes"]).expect("muster runs");
    assert_eq!(output.status.code(), Some(4), "there is no such kernel");
}

fn every_end_is_the_right_one(lab: &Lab) {
    let found = machines(lab);
    for (name, row) in &found {
        let given_up = GIVEN_UP.iter().find(|(machine, _)| machine == name);
        let expected = given_up.map_or(("ready", "verified"), |(_, verdict)| ("offline", *verdict));
        assert_eq!((&row["phase"], &row["boot_verdict"]), (&expected.0.into(), &expected.1.into()), "{}", told(&found));
        if given_up.is_none() {
            assert_eq!((&row["kernel_release"], &row["kernel_build_id"]), (&KERNEL.into(), &"5a".repeat(20).into()));
        }
    }
    let attempt = |name: &str| found[name]["boot_attempt"].as_u64();
    assert_eq!([attempt("sim-1"), attempt("sim-7"), attempt("sim-8")], [Some(2); 3], "a second attempt helped");
    assert_eq!(
        [attempt("sim-4"), attempt("sim-6"), attempt("sim-20")],
        [Some(1); 3],
        "another build is not tried again"
    );
}

/// Job 2: one process on each machine that may be used.
fn nothing_runs_where_nothing_is_proven(lab: &Lab) {
    lab.muster_ok(&["start", "idle", "--per-machine", "1"]).expect("it starts on those that are proven");
    let rows = lab.muster_json(&["ps", "--all", "--job", "2"]).expect("processes are listed");
    let on: Vec<&str> = rows.as_array().into_iter().flatten().filter_map(|row| row["machine"].as_str()).collect();
    assert_eq!(on.len(), MACHINES as usize - GIVEN_UP.len(), "{on:?}");
    assert!(GIVEN_UP.iter().all(|(machine, _)| !on.contains(machine)), "{on:?}");
}

/// sim-9 boots by itself, and comes back in its stock kernel.
fn a_machine_that_crashed_is_proven_again(lab: &Lab) {
    wait_until("it is proven again, in a second attempt", SETTLE_LIMIT, || {
        let row = &machines(lab)["sim-9"];
        row["phase"] == "ready"
            && row["boot_verdict"] == "verified"
            && row["boot_attempt"] == 2
            && row["health"] == "up"
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", told(&machines(lab)), lab.tails()));
    let log = lab.muster_ok(&["events", "--log", "machines"]).expect("the log is read");
    let crashed = |line: &&str| line.contains("boot_judged") && line.to_lowercase().contains("crashed_back");
    assert_eq!(log.lines().filter(crashed).count(), 1, "it is in the log");
    let back = lab.muster_json(&["machine", "boot", "sim-9", "--stock", "--yes", "--wait", "--within", "60s"]);
    let back = back.expect("it goes back to its own kernel");
    assert_eq!((&back[0]["kernel"], &back[0]["verdict"]), (&"stock".into(), &"verified".into()));
}
