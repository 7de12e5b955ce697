//! Full disks, one at a time: what is refused says why, nothing that was acknowledged is lost, and all goes on by itself once there is
//! room. The disks are small file systems of their own.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, job_number, number, options, start, states, stream, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::{SmallDisk, tools, wait_until};

/// All goes on within this, once there is room.
const ROOM_LIMIT: Duration = Duration::from_secs(30);

/// The last page of a journal, or of a log, is full by then.
const STARTS_MAX: u32 = 40;

/// A lab of one machine, one of whose directories is a small disk.
fn lab_on(place: &str, size_mib: u32) -> (Lab, SmallDisk, tempfile::TempDir) {
    let (options, scratch) = options(1, 1).expect("a folder is made");
    let disk = SmallDisk::mount(&options.directory.join(place), size_mib).expect("it is mounted");
    (Lab::up(options, &|_| ()).expect("the lab comes up"), disk, scratch)
}

/// Waits for what is to go on by itself, and says how long it took.
fn goes_on(lab: &Lab, disk: &str, what: &str, room: Instant, holds: impl FnMut() -> bool) {
    wait_until(what, ROOM_LIMIT.saturating_sub(room.elapsed()), holds)
        .unwrap_or_else(|error| panic!("{disk}: {error}\n{}", lab.tails()));
    eprintln!("full disk of {disk}: {what} {:.1} s after there was room", room.elapsed().as_secs_f64());
}

/// Samples that are stored, and those that are acknowledged.
fn samples(lab: &Lab) -> (u64, u64) {
    let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
    let rows = summary.as_array().into_iter().flatten();
    (
        rows.filter_map(|row| number(row, "samples").ok()).sum(),
        stream::acknowledged(lab).map_or(0, |(samples, _)| samples),
    )
}

/// The store has every sample that is acknowledged.
fn is_stored(lab: &Lab) -> bool {
    let (stored, acknowledged) = samples(lab);
    acknowledged > 0 && stored == acknowledged
}

/// Every sample that was acknowledged is stored, and no other.
fn none_is_lost(lab: &Lab) {
    wait_until("every acknowledged sample is stored", SETTLE_LIMIT, || is_stored(lab))
        .unwrap_or_else(|error| panic!("{error}: {:?} stored and acknowledged\n{}", samples(lab), lab.tails()));
}

fn runs(lab: &Lab, job: u64, state: &str, count: usize) -> bool {
    states(lab, job).is_ok_and(|found| found.get(state) == Some(&count))
}

/// Starts until the agent can not even write down that it begins: that one waits. Those before it, for which there was a rest of the
/// journal's last page, end with the reason.
fn start_until_one_waits(lab: &Lab) -> u64 {
    for _ in 0..STARTS_MAX {
        let started = lab.muster_json(&["start", "idle", "--processes", "1"]).expect("it is taken");
        let job = job_number(&started).expect("it has a number");
        let mut why = String::new();
        let told = || {
            why = lab.muster_ok(&["why", &job.to_string()]).unwrap_or_default();
            why.contains("No space left")
        };
        wait_until("it is told why it does not start", SETTLE_LIMIT, told).unwrap_or_else(|error| {
            panic!("{error}: {:?}\n{}", lab.muster_ok(&["why", &job.to_string()]), lab.tails())
        });
        if runs(lab, job, "starting", 1) {
            return job;
        }
        assert!(runs(lab, job, "dead", 1) && why.contains("verdict error"), "{why}");
    }
    panic!("every start was begun");
}

#[test]
fn an_agent_with_a_full_disk_starts_nothing_ends_nothing_and_goes_on_with_room() {
    let (lab, disk, _scratch) = lab_on("node-1/state", 96);
    let job = start(&lab, "idle", 2, &["--param", "metrics=50ms"]).expect("it starts");
    none_is_lost(&lab);
    let before = test_processes(&lab);
    disk.fill().expect("it is filled");

    let waiting = start_until_one_waits(&lab);
    assert_eq!(test_processes(&lab), before, "nothing has ended, and nothing was begun");
    lab.muster_ok(&["stop", &job.to_string()]).expect("it is taken");
    wait_until("a stop needs no disk", SETTLE_LIMIT, || test_processes(&lab).is_empty())
        .unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));

    disk.free().expect("it is freed");
    let room = Instant::now();
    goes_on(&lab, "an agent", "what waited runs", room, || runs(&lab, waiting, "running", 1));
    goes_on(&lab, "an agent", "what ended is reported", room, || runs(&lab, job, "finished", 2));
    lab.muster_ok(&["stop", &waiting.to_string(), "--wait"]).expect("it stops");
    none_is_lost(&lab);
    lab.down().expect("nothing is left running");
}

#[test]
fn a_test_whose_disk_is_full_says_so_and_another_one_runs_once_there_is_room() {
    let (lab, disk, _scratch) = lab_on("node-1/disk1", 16);
    disk.fill().expect("it is filled");
    let given = ["start", "high-io", "--processes", "1", "--resources=disk-disk1", "--param", "file_size=1MiB"];
    let full = job_number(&lab.muster_json(&given).expect("it is taken")).expect("it has a number");
    let over = || states(&lab, full).is_ok_and(|found| found.contains_key("dead") || found.contains_key("finished"));
    wait_until("it ends by itself", SETTLE_LIMIT, over).expect("it does");
    let rows = lab.muster_json(&["ps", "--all", "--job", &full.to_string()]).expect("ps answers");
    assert_eq!(rows[0]["verdict"], "error", "no fault of the product: {rows}");
    assert!(rows[0]["reason"].to_string().contains("disk full"), "{rows}");
    disk.free().expect("it is freed");
    let room = Instant::now();
    let job = job_number(&lab.muster_json(&given).expect("it is taken")).expect("it has a number");
    goes_on(&lab, "a test", "the next one runs", room, || runs(&lab, job, "running", 1));
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
    wait_state(&lab, job, "finished", 1).expect("it finishes");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_store_with_a_full_disk_stops_no_job_and_takes_every_sample_once_there_is_room() {
    let (lab, disk, _scratch) = lab_on("postgres", 128);
    let job = start(&lab, "idle", 2, &["--param", "metrics=50ms"]).expect("it starts");
    none_is_lost(&lab);
    disk.fill().expect("it is filled");
    let log = lab.directory().join("telemetry-logger-a.log");
    let refused = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("No space left"));
    wait_until("the logger says why it takes nothing", SETTLE_LIMIT, refused)
        .unwrap_or_else(|error| panic!("{error}: {}", lab.tails()));
    // Jobs do not need the store.
    let other = start(&lab, "idle", 1, &[]).expect("it starts");
    lab.muster_ok(&["stop", &other.to_string(), "--wait"]).expect("it stops");
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
    disk.free().expect("it is freed");
    let room = Instant::now();
    goes_on(&lab, "PostgreSQL", "every acknowledged sample is stored", room, || is_stored(&lab));
    lab.down().expect("nothing is left running");
}

/// Restarts nats-server as `deploy/nats/muster-nats-watch` does where it is installed; here the server ends, and its supervisor, which is
/// this test, starts it again.
fn watch(lab: &Lab, url: &str, store: &Path) -> Child {
    let program = tools::root().join("deploy/nats/muster-nats-watch");
    tools::packaged("curl").expect("curl is there");
    let pid = lab.nats.pid().expect("it runs").to_string();
    let mut command = Command::new(program);
    command.arg(url).arg(store).args(["kill", &pid]).env("MUSTER_NATS_WATCH_EVERY", "2");
    command.spawn().expect("it is watched")
}

/// Starts until nothing more fits into the log's last page; gives what is said then.
fn refused(lab: &Lab) -> String {
    for _ in 0..STARTS_MAX {
        let started = lab.muster(&["start", "idle", "--processes", "1", "--timeout", "5s"]).expect("muster runs");
        if !started.status.success() {
            return String::from_utf8_lossy(&started.stderr).into_owned();
        }
    }
    panic!("every start was taken");
}

#[test]
fn a_bus_with_a_full_disk_ends_no_test_loses_nothing_and_goes_on_with_room() {
    let (mut lab, disk, _scratch) = lab_on("nats/jetstream", 256);
    let url = lab.nats.monitor().expect("it starts again");
    let job = start(&lab, "idle", 2, &["--param", "metrics=200ms"]).expect("it starts");
    let before = test_processes(&lab);
    disk.fill().expect("it is filled");
    let said = refused(&lab);
    assert!(said.contains("scheduler did not answer") && said.contains("look before trying again"), "{said}");
    assert!(before.keys().all(|dpid| test_processes(&lab).get(dpid) == before.get(dpid)), "nothing has ended");
    let doctor = lab.muster(&["doctor", "--wait", "1s"]).expect("muster runs");
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.code() == Some(1) && found.contains("scheduler did not answer"), "{found}");
    let log = std::fs::read_to_string(lab.directory().join("scheduler-a.log")).expect("it has a log");
    assert!(
        log.contains("the log does not answer an append") && log.contains("is the disk of nats-server full?"),
        "{log}"
    );
    let mut watching = watch(&lab, &url, &lab.directory().join("nats/jetstream"));
    disk.free().expect("it is freed");
    let room = Instant::now();
    let restarted = wait_until("the server is told to end", ROOM_LIMIT, || !lab.nats.is_running());
    let _ = watching.kill().and_then(|()| watching.wait());
    restarted.unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));
    lab.nats.restart().expect("its supervisor starts it again");
    let client = lab.client();
    goes_on(&lab, "nats-server", "a job starts", room, || {
        client
            .run(&["start", "idle", "--processes", "1", "--wait", "--timeout", "5s"])
            .is_ok_and(|output| output.status.success())
    });
    goes_on(&lab, "nats-server", "every process runs", room, || runs(&lab, job, "running", 2));
    assert!(before.keys().all(|dpid| test_processes(&lab).get(dpid) == before.get(dpid)), "the same processes run");
    lab.muster_ok(&["stop", "--all", "--yes", "--wait"]).expect("all stop");
    none_is_lost(&lab);
    lab.down().expect("nothing is left running");
}
