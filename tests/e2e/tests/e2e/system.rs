//! The life of a system: new runs, a second system refused, empty and damaged logs refused, recovery from the archive.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_e2e::{SETTLE_LIMIT, lab, options, start, states, stream, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::{Process, wait_until};

#[test]
fn a_new_run_is_refused_while_anything_runs_and_begins_at_job_1() {
    let (lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let job = start(&lab, "idle", 1, &[]).expect("a job starts");
    let refused = lab.muster(&["run-id", "new", "--yes"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
    lab.muster_ok(&["run-id", "new", "--yes"]).expect("a new run begins");
    assert_eq!(start(&lab, "idle", 1, &[]).expect("a job starts"), 1, "job numbers start again");
    let second = lab.muster(&["admin", "init", "--new-system"]).expect("muster runs");
    assert_eq!(second.status.code(), Some(3), "a second system is refused: {second:?}");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("it stops");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_service_refuses_an_empty_log() {
    let (options, _scratch) = options(0, 1).expect("a folder is made");
    let lab = Lab::servers(options, &|_| ()).expect("the servers start");
    lab.muster_ok(&["admin", "init"]).expect("streams are made, and no system");
    let mut process = Process::start(lab.service_spawn("scheduler", 0).expect("it can be started")).expect("it starts");
    wait_until("it ends by itself", SETTLE_LIMIT, || !process.is_running()).expect("it refuses");
    let log = process.log_tail();
    assert!(log.contains("init --new-system"), "it says what to do: {log}");
    lab.down().expect("nothing is left running");
}

/// Messages of JOBS now.
fn last_sequence(lab: &Lab) -> u64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let bus = stream::connect(lab).await.expect("the bus answers");
        let mut handle = bus.jetstream().get_stream("JOBS").await.expect("JOBS is there");
        handle.info().await.expect("it can be looked at").state.last_sequence
    })
}

/// Waits until the archive has everything of JOBS.
fn wait_archived(lab: &Lab) {
    let archived = || {
        let rows = lab.muster_json(&["report", "status"]).unwrap_or_default();
        let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == "JOBS").cloned());
        row.is_some_and(|row| row["last_seq"].as_u64() == Some(last_sequence(lab)))
    };
    wait_until("JOBS is archived", SETTLE_LIMIT, archived).unwrap_or_else(|error| {
        panic!("{error}: {:?} of {}", lab.muster_json(&["report", "status"]), last_sequence(lab))
    });
}

/// Finds the newest block of JOBS below the server's store.
fn newest_block(lab: &Lab) -> PathBuf {
    let mut folders = vec![lab.nats.directory().join("jetstream")];
    let mut blocks = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the store is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "blk")
                && path.to_string_lossy().contains("/JOBS/")
            {
                blocks.push(path);
            }
        }
    }
    blocks.sort();
    blocks.pop().expect("JOBS has a block")
}

#[test]
fn a_log_with_a_flipped_bit_is_refused_and_rebuilt_from_the_archive() {
    a_damaged_log_is_refused_and_rebuilt(flip_a_bit);
}

#[test]
fn a_log_with_a_truncated_block_is_refused_and_rebuilt_from_the_archive() {
    a_damaged_log_is_refused_and_rebuilt(cut_in_half);
}

fn a_damaged_log_is_refused_and_rebuilt(damage: fn(&Path)) {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    let job = start(&lab, "idle", 3, &[]).expect("a job starts");
    for _ in 0..5 {
        let other = start(&lab, "idle", 1, &[]).expect("a job starts");
        lab.muster_ok(&["stop", &other.to_string(), "--wait"]).expect("it stops");
    }
    wait_archived(&lab);
    let before = test_processes(&lab);
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.nats.stop();
    damage(&newest_block(&lab));
    lab.nats.restart().expect("nats-server starts");

    let mut process = Process::start(lab.service_spawn("scheduler", 0).expect("it can be started")).expect("it starts");
    wait_until("the scheduler refuses the damaged log", SETTLE_LIMIT, || !process.is_running())
        .unwrap_or_else(|error| panic!("{error}: {}", process.log_tail()));
    let log = process.log_tail();
    assert!(log.contains("muster admin recover"), "it says what to do: {log}");

    lab.muster_ok(&["admin", "recover", "JOBS", "--replace", "--yes", "--timeout", "60s"]).expect("it is rebuilt");
    lab.service("scheduler-a").expect("it is a part").restart().expect("it starts");
    wait_until("the job runs as before", SETTLE_LIMIT, || {
        states(&lab, job).is_ok_and(|found| found.get("running") == Some(&3))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", states(&lab, job), lab.tails()));
    assert_eq!(test_processes(&lab), before, "no test was touched");
    let later = start(&lab, "idle", 1, &[]).expect("a job starts");
    assert!(later > job + 5, "job numbers go on above all that were: {later}");
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    wait_state(&lab, job, "finished", 3).expect("all finish");
    lab.down().expect("nothing is left running");
}

/// Flips one bit in the middle of a file.
fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).expect("the block is read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).expect("the block is written");
}

/// Takes the second half of a file away.
fn cut_in_half(path: &Path) {
    let bytes = std::fs::read(path).expect("the block is read");
    std::fs::write(path, &bytes[..bytes.len() / 2]).expect("the block is written");
}

#[test]
fn a_clean_stop_of_everything_is_quick() {
    let (mut lab, _scratch) = lab(1, 1).expect("the lab comes up");
    for name in ["scheduler-a", "machine-lifecycle-a", "reservation-a", "telemetry-logger-a", "report-a"] {
        let clean = lab.service(name).expect("it is a part").stop(Duration::from_secs(10));
        assert!(clean, "{name} ends within its grace after SIGTERM");
    }
    lab.down().expect("nothing is left running");
}
