//! One module with an executable for each of two architectures, on a pool with machines of both: each runs the one that is its own.

use std::path::Path;

use muster_e2e::{options, start, wait_state};
use muster_testkit::emulation::{Emulator, aarch64_compiler};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::tools::run_in;
use serde_json::Value;

/// The second machine runs what is for aarch64, under an emulator.
fn mixed(options: LabOptions) -> Lab {
    let mut lab = Lab::servers(options, &|_| ()).expect("the servers come up");
    lab.tell("node-2", "MUSTER_ARCHITECTURE", "aarch64");
    lab.fill(&|_| ()).expect("all else comes up");
    lab
}

/// The example in C, compiled for both.
fn build(source: &Path, into: &Path) {
    let source = source.join("example.c").display().to_string();
    let cross = aarch64_compiler().expect("there is a compiler for aarch64").display().to_string();
    for (compiler, architecture) in [("cc", "x86_64"), (&cross, "aarch64")] {
        let program = format!("example-{architecture}");
        run_in(into, compiler, &["-O2", "-static", "-Wall", "-Werror", "-o", &program, &source]).expect("it compiles");
    }
}

#[test]
fn each_machine_runs_the_artifact_of_its_own_architecture() {
    let (options, scratch) = options(2, 1).expect("a folder is made");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../modules/examples/c");
    build(&source, scratch.path());
    let _emulator = Emulator::aarch64().expect("the kernel starts an emulator");
    let lab = mixed(options);
    let (module, artifacts) = (source.display().to_string(), scratch.path().display().to_string());
    lab.muster_ok(&["module", "add", &module, "--artifacts", &artifacts]).expect("both artifacts are taken");

    let job = start(&lab, "example-c", 4, &[]).expect("the job starts").to_string();
    let rows = lab.muster_json(&["ps", "--job", &job]).expect("ps answers");
    for row in rows.as_array().expect("there are rows") {
        let text = |name: &str| row[name].as_str().expect("it is a text").to_owned();
        let log = lab.muster_ok(&["logs", &text("dpid")]).expect("its log is read");
        let architecture = if text("machine") == "node-2" { "aarch64" } else { "x86_64" };
        assert!(log.contains(&format!("compiled for and running on {architecture}")), "{row}: {log}");
    }
    let on_other = |row: &&Value| row["machine"] == "node-2";
    assert_eq!(rows.as_array().map(|rows| rows.iter().filter(on_other).count()), Some(2), "both are used: {rows}");
    lab.muster_ok(&["stop", &job, "--wait"]).expect("the job stops");
    wait_state(&lab, job.parse().expect("it is a number"), "finished", 4).expect("all finish");
    let rows = lab.muster_json(&["ps", "--all", "--job", &job]).expect("ps answers");
    assert!(rows.as_array().is_some_and(|rows| rows.iter().all(|row| row["verdict"] == "pass")), "{rows}");

    // What is for one architecture alone is refused where it is not.
    let refused = lab.muster(&["start", "idle", "--processes", "1", "--on", "node-2"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("of an architecture without artifact"), "{why}");
    lab.down().expect("nothing is left running");
}
