//! What a crash leaves behind comes to the firing that asked for it, and what ran then is known.

use muster_e2e::{SETTLE_LIMIT, lab, start};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

use crate::triggers::{arm, permit};

/// Rows of a listing of files.
fn files(lab: &Lab, limits: &[&str]) -> Vec<Value> {
    let rows = lab.muster_json(&[&["artifact", "list"], limits].concat()).unwrap_or_default();
    rows.as_array().cloned().unwrap_or_default()
}

/// Plays what kdump leaves on a machine.
fn leave(lab: &Lab, machine: &str, name: &str, content: &str) {
    let directory = lab.directory().join(machine).join("crash");
    std::fs::create_dir_all(&directory).expect("the folder is made");
    std::fs::write(directory.join(name), content).expect("the dump is written");
}

#[test]
fn a_dump_is_attached_to_the_firing_that_crashed_its_machine() {
    let (lab, scratch) = lab(2, 1).expect("the lab comes up");
    permit(&lab, 1..=2);
    leave(&lab, "node-2", "vmcore", "nobody fired");
    wait_until("a crash that nobody asked for is known", SETTLE_LIMIT, || files(&lab, &["--crash-files"]).len() == 1)
        .expect("its file is kept");
    lab.muster_ok(&["pulse", "set", "3", "--block", "1ms", "--free", "1h"]).expect("a pulse");
    let io = start(&lab, "high-io", 2, &["--param", "file_size=1MiB", "--pulse", "3"]).expect("high-io runs");
    lab.muster_ok(&["set", &io.to_string(), "iops_max=50"]).expect("it is changed");
    arm(&lab, &["7", "--on", "node-1,node-2", "--action", "crash"]);
    let fired =
        lab.muster_json(&["trigger", "fire", "7", "--note", "look at it", "--yes", "--wait"]).expect("it fires");
    let firing = fired[0]["firing"].as_str().expect("a firing").to_owned();
    for machine in ["node-1", "node-2"] {
        leave(&lab, machine, "dmesg-efi_pstore-1", &format!("panic on {machine}"));
    }
    wait_until("both dumps are kept", SETTLE_LIMIT, || files(&lab, &["--firing", &firing]).len() == 2)
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", files(&lab, &["--crash-files"]), lab.tails()));

    let told = lab.muster_json(&["report", "triggers", "7"]).expect("it is told");
    let row =
        |row: &Value| (row["machine"].clone(), row["outcome"].clone(), row["files"].clone(), row["firing"].clone());
    let rows: Vec<_> = told.as_array().expect("rows").iter().map(row).collect();
    let wanted = ["node-1", "node-2"].map(|machine| (machine.into(), "acted".into(), 1.into(), firing.clone().into()));
    assert_eq!(rows, wanted, "{told}");
    assert!(told[0]["latency_seconds"].as_f64().is_some_and(|latency| latency > 0.0), "{told}");
    assert!(
        lab.muster_ok(&["report", "triggers", "7"])
            .expect("it is told")
            .contains("fired 1 times, 2 of 2 armed machines acted")
    );

    let to = scratch.path().join("fetched");
    lab.muster_ok(&["artifact", "get", "--firing", &firing, "--to", &to.to_string_lossy()]).expect("they are fetched");
    for machine in ["node-1", "node-2"] {
        let mut there = std::fs::read_dir(to.join(machine)).expect("a folder for each machine");
        let file = there.next().expect("a file").expect("it can be listed").path();
        assert_eq!(std::fs::read_to_string(file).expect("it is read"), format!("panic on {machine}"));
    }

    let together =
        lab.muster_json(&["report", "together", "--firing", &firing, "--machine", "node-1"]).expect("it is told");
    let first = &together[0];
    assert_eq!(
        (&first["job"], &first["processes"], &first["here"]),
        (&Value::from(io), &2.into(), &1.into()),
        "{together}"
    );
    assert_eq!((first["pulses"].as_str(), first["gate"].as_str()), (Some("3"), Some("free")), "{together}");
    let parameters = first["parameters"].as_str().unwrap_or_default();
    assert!(parameters.contains("file_size=1MiB") && parameters.contains("iops_max=50"), "{together}");
    lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("the rest stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn what_ran_together_with_a_job_is_told_with_its_settings() {
    let (lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let early = start(&lab, "idle", 1, &["--on", "node-1"]).expect("it runs");
    lab.muster_ok(&["stop", &early.to_string(), "--wait"]).expect("it stops");
    let memory = start(&lab, "memory", 1, &["--on", "node-1", "--param", "size=64KiB", "--param", "rate_max=1MiB"])
        .expect("it runs");
    let idle = start(&lab, "idle", 2, &[]).expect("it runs");
    lab.muster_ok(&["set", &memory.to_string(), "rate_max=2MiB"]).expect("it is changed");
    lab.muster_ok(&["stop", &idle.to_string(), "--wait"]).expect("it stops");
    let rows = lab.muster_json(&["report", "together", "--job", &idle.to_string()]).expect("it is told");
    let jobs: Vec<_> = rows.as_array().expect("rows").iter().map(|row| row["job"].clone()).collect();
    assert_eq!(jobs, [memory], "{rows}");
    assert_eq!(rows[0]["machines_shared"], 1, "{rows}");
    assert!(rows[0]["together_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{rows}");
    assert_eq!(rows[0]["parameters"], "rate_max=2MiB size=64KiB", "{rows}");
    let refused = lab.muster(&["report", "together"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    lab.down().expect("nothing is left running");
}

#[test]
fn the_memory_of_a_machine_that_a_driver_wrote_is_a_file_like_those_of_crashes() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let switches = lab.directory().join("switches");
    std::fs::create_dir(&switches).expect("a folder for the driver");
    let setting = format!("power=simulated directory={}", switches.display());
    lab.muster_ok(&["machine", "set", "node-1", &setting]).expect("its power can be switched");
    lab.muster_ok(&["machine", "power", "node-1", "dump", "--yes"]).expect("it is dumped");
    wait_until("its memory is kept", SETTLE_LIMIT, || files(&lab, &["--crash-files"]).len() == 1).unwrap_or_else(
        |error| panic!("{error}: {:?}\n{}", lab.muster_json(&["machine", "show", "node-1"]), lab.tails()),
    );
    let row = files(&lab, &["--crash-files"]).remove(0);
    let name = row["name"].as_str().expect("a name");
    assert!(row["machine"] == "node-1" && name.starts_with("crash/node-1/dump-"), "{row}");
    let to = lab.directory().join("got");
    let got = lab.muster_ok(&["artifact", "get", name, "--to", &to.to_string_lossy()]).expect("it is fetched");
    let written = std::fs::read(switches.join("node-1.memory")).expect("the driver wrote it");
    assert_eq!(std::fs::read(got.trim()).expect("it is there"), written);
    lab.down().expect("nothing is left running");
}
