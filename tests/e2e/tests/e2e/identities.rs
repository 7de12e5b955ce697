//! A lab in which everybody has a key: what is needed goes on, and nobody can be somebody else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use muster_bus::{Access, Authority, Bus, BusOptions, Credentials, RequestError, subjects};
use muster_model::MachineId;
use muster_proto::v1::{AgentCommand, Heartbeat, envelope::Body};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::{Process, wait_until};

/// Who is revoked is off the bus within this.
const CUT_LIMIT: Duration = Duration::from_secs(5);

fn lab(machines: u32) -> (Lab, tempfile::TempDir) {
    let (options, scratch) = muster_e2e::options(machines, 1).expect("a folder");
    let lab = Lab::up(LabOptions { secured: true, ..options }, &|_| ()).expect("it comes up with keys");
    (lab, scratch)
}

async fn bus(lab: &Lab, credentials: &Path) -> Bus {
    let access = Access::Credentials(Credentials::open(credentials).expect("in order"));
    Bus::connect(&BusOptions::new(&lab.nats.url(), "e2e/test", access)).await.expect("it is let in")
}

fn of_agent(lab: &Lab, machine: &str) -> PathBuf {
    lab.directory().join(machine).join("state/credentials")
}

fn of_person(lab: &Lab, name: &str) -> PathBuf {
    lab.directory().join("keys").join(format!("user-{name}.key"))
}

/// `muster` as another person than the lab's administrator.
fn muster_as(lab: &Lab, name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(lab.muster_program());
    command.args(arguments).envs(lab.environment()).env("MUSTER_CREDENTIALS", of_person(lab, name));
    command.stdin(Stdio::null()).output().expect("muster runs")
}

/// What the server refused, as its log has it.
fn violations(lab: &Lab) -> Vec<String> {
    let log = std::fs::read_to_string(lab.directory().join("nats/nats.log")).expect("the server has a log");
    log.lines().filter(|line| line.contains("Violation") || line.contains("Authorization")).map(str::to_owned).collect()
}

fn machine(name: &str) -> MachineId {
    MachineId::new(name).expect("valid")
}

#[test]
fn with_keys_everything_goes_on_and_the_server_refuses_nothing() {
    let (lab, _scratch) = lab(2);
    let disks = muster_e2e::start(&lab, "high-io", 4, &["--param", "file_size=4MiB"]).expect("disks are tested");
    let pairs = muster_e2e::start(&lab, "tcp", 2, &[]).expect("machines talk to each other");
    for job in [disks, pairs] {
        lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
    }
    for line in [
        "logs 00010001",
        "trigger arm 7 --on node-1 --action packet",
        "trigger fire 7 --yes",
        "reserve node-2 --for 10m --wait",
        "checkin 1",
        "resource list node-1",
        "report summary",
        "report perf --by module",
        "events --log jobs",
        "machine maintenance node-2",
        "admin status",
        "admin identities",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        lab.muster_ok(&words).unwrap_or_else(|error| panic!("muster {line}: {error:#}"));
    }
    assert_eq!(violations(&lab), Vec::<String>::new());
    lab.down().expect("it goes down");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_no_other_agent_and_commands_none() {
    let (lab, _scratch) = tokio::task::spawn_blocking(|| lab(2)).await.expect("a lab");
    let (one, people) = (bus(&lab, &of_agent(&lab, "node-1")).await, bus(&lab, &of_person(&lab, "lab")).await);
    let mut heard = people.subscribe(&subjects::heartbeat(&machine("node-2")), None).await.expect("people hear that");
    people.settled().await.expect("connected");
    let forged = Heartbeat { machine: "node-2".into(), ..Heartbeat::default() };
    let forged = one.envelope(Body::Heartbeat(forged), Authority::default());
    for _ in 0..50 {
        one.publish(&subjects::heartbeat(&machine("node-2")), &forged).await.expect("it is sent");
    }
    one.settled().await.expect("connected");
    for verb in ["jobs", "machine", "inventory", "install", "reboot", "storage", "logs"] {
        let envelope = one.envelope(Body::AgentCommand(AgentCommand::default()), Authority::default());
        let asked = one.request(&subjects::command(&machine("node-2"), verb), &envelope, Duration::from_secs(5)).await;
        assert!(matches!(asked, Err(RequestError::Forbidden { .. })), "{verb}: {asked:?}");
    }
    for _ in 0..3 {
        let heartbeat =
            tokio::time::timeout(CUT_LIMIT, heard.next()).await.expect("node-2 lives").expect("it is heard");
        let source = heartbeat.envelope.expect("decodable").source;
        assert_eq!(source, "agent/node-2", "none of the forged ones is among those of node-2 itself");
    }
    tokio::task::spawn_blocking(move || lab.down()).await.expect("done").expect("it goes down");
}

#[test]
fn a_viewer_looks_and_changes_nothing_and_a_tester_starts_tests_alone() {
    let (lab, _scratch) = lab(1);
    for (name, role) in [("vera", "viewer"), ("tess", "tester")] {
        lab.muster_ok(&["admin", "user", "add", name, "--role", role]).expect("they are let in at once");
    }
    assert!(muster_as(&lab, "vera", &["machine", "list"]).status.success(), "a viewer looks");
    for arguments in
        [&["start", "idle", "--processes", "1"][..], &["machine", "maintenance", "node-1"], &["reserve", "node-1"]]
    {
        let begun = Instant::now();
        let refused = muster_as(&lab, "vera", arguments);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{arguments:?}: {error}");
        assert!(error.contains("your role does not permit") && error.contains("administrator"), "{error}");
        assert!(begun.elapsed() < CUT_LIMIT, "it is said at once");
    }
    assert_eq!(lab.muster_json(&["jobs"]).expect("jobs").as_array().map(Vec::len), Some(0));
    let started = muster_as(&lab, "tess", &["start", "idle", "--processes", "1", "--wait"]);
    assert!(started.status.success(), "a tester starts: {}", String::from_utf8_lossy(&started.stderr));
    assert_eq!(muster_as(&lab, "tess", &["machine", "maintenance", "node-1"]).status.code(), Some(3));
    let other = Command::new(lab.muster_program())
        .args(["jobs", "--user", "lab"])
        .envs(lab.environment())
        .env("MUSTER_CREDENTIALS", of_person(&lab, "tess"))
        .output()
        .expect("muster runs");
    assert_eq!(other.status.code(), Some(2), "whose credentials they are, that is who they are");
    lab.muster_ok(&["admin", "revoke", "user/tess"]).expect("revoked");
    assert!(!of_person(&lab, "tess").exists());
    let last = lab.muster(&["admin", "revoke", "user/lab"]).expect("muster runs");
    assert_eq!(last.status.code(), Some(3), "the last administrator stays");
    lab.down().expect("it goes down");
}

/// A token for a machine, given and waited upon in the background.
fn enrolling(lab: &Lab, name: &str, token: &Path) -> std::process::Child {
    let token = token.to_string_lossy().into_owned();
    let mut command = Command::new(lab.muster_program());
    command.args(["admin", "enroll", name, "--yes", "--valid", "2m", "--token", &token]).envs(lab.environment());
    let child = command.stdin(Stdio::null()).spawn().expect("muster runs");
    wait_until("the token is there", muster_e2e::SETTLE_LIMIT, || Path::new(&token).exists()).expect("it is written");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_once_with_its_token_and_is_cut_off_when_it_is_revoked() {
    let (lab, scratch) = tokio::task::spawn_blocking(|| lab(1)).await.expect("a lab");
    let token = scratch.path().join("node-9.token");
    let mut enrolling = enrolling(&lab, "node-9", &token);
    let stolen = scratch.path().join("stolen");
    std::fs::copy(&token, &stolen).expect("somebody copies it");
    let mut spawn = lab.agent_spawn("node-9").expect("folders");
    spawn.arguments.extend(["--join".into(), token.to_string_lossy().into_owned()]);
    spawn.environment.remove("MUSTER_SIGNERS").expect("other machines of the lab are given the keys of its services");
    let agent = Process::start(spawn).expect("the agent runs");
    assert!(enrolling.wait().expect("it ends").success(), "it was approved");
    lab.wait_machines("up", 2).expect("it is up with its own key");
    let own = of_agent(&lab, "node-9");
    assert!(lab.directory().join("node-9/state/signers").exists(), "the token brought the keys of its services");
    assert!(own.exists() && !token.exists() && !own.with_extension("presented").exists());
    let access = Access::Credentials(Credentials::open(&stolen).expect("in order"));
    let again = Bus::connect(&BusOptions::new(&lab.nats.url(), "thief", access)).await;
    assert!(matches!(again, Err(muster_bus::BusError::NotAdmitted { .. })), "a token is good once");

    let people = bus(&lab, &of_person(&lab, "lab")).await;
    let mut heard = people.subscribe(&subjects::heartbeat(&machine("node-9")), None).await.expect("people hear that");
    tokio::time::timeout(CUT_LIMIT, heard.next()).await.expect("it lives").expect("it is heard");
    let begun = Instant::now();
    lab.muster_ok(&["admin", "revoke", "agent/node-9"]).expect("revoked");
    let mut last = begun;
    while tokio::time::timeout(CUT_LIMIT, heard.next()).await.is_ok() {
        last = Instant::now();
        assert!(last - begun < CUT_LIMIT, "it is still heard after {:?}", last - begun);
    }
    eprintln!("last heard {:?} after it was revoked", last - begun);
    lab.wait_machines("up", 1).expect("the other one stays");
    drop(agent);
    tokio::task::spawn_blocking(move || lab.down()).await.expect("done").expect("it goes down");
}

#[test]
fn a_service_goes_on_with_the_key_that_it_was_given_in_place_of_its_old_one() {
    let (mut lab, _scratch) = lab(1);
    let job = muster_e2e::start(&lab, "idle", 2, &[]).expect("a job runs");
    let old = std::fs::read_to_string(lab.directory().join("keys/service-scheduler.key")).expect("readable");
    for identity in ["service/scheduler", "operator/servers"] {
        lab.muster_ok(&["admin", "rotate", identity]).unwrap_or_else(|error| panic!("{identity}: {error:#}"));
    }
    let new = std::fs::read_to_string(lab.directory().join("keys/service-scheduler.key")).expect("readable");
    assert_ne!(old, new);
    lab.muster_ok(&["admin", "user", "add", "vera", "--role", "viewer"]).expect("the operator's new key works");
    lab.muster_ok(&["stop", &job.to_string(), "--wait", "--timeout", "60s"]).expect("the scheduler answers again");
    assert!(lab.service("scheduler-a").expect("it is there").is_running(), "without having been started again");
    lab.down().expect("it goes down");
}
