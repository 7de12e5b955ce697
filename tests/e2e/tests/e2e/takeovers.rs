//! A person gives commands all the while; the server that leads the log of jobs, or the scheduler that leads, is killed or stopped. What
//! was answered is in the log once and runs once, and nobody waits long.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_bus::{Bus, streams};
use muster_e2e::{SETTLE_LIMIT, job_number, options, stream, test_processes};
use muster_testkit::lab::{Lab, LabOptions};

use muster_testkit::{NatsServer, wait_until};
use rustix::process::Signal;
use tokio::runtime::Runtime;

/// No command waits longer for another scheduler. For another server it may: they vote after 4 to 9 s, and again when nobody wins.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A server that was just killed is not waited for longer.
const LOOK_MAX: Duration = Duration::from_millis(200);
/// Time between two commands of the person, so that two cores have room for what is tested.
const PAUSE: Duration = Duration::from_millis(200);

/// Who starts one job after another.
struct Person {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Answered>>>,
}

/// A start that was answered.
struct Answered {
    job: u64,
    took: Duration,
}

impl Person {
    fn begin(lab: &Lab) -> Self {
        let (program, environment) = (lab.muster_program(), lab.environment());
        let ended = Arc::new(AtomicBool::new(false));
        let asked_to_end = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut answered = Vec::new();
            while !asked_to_end.load(Ordering::Relaxed) {
                answered.push(start_one(&program, &environment));
                std::thread::sleep(PAUSE);
            }
            answered
        });
        Self { ended, thread: Some(thread) }
    }

    /// Everything that was answered; nothing was refused.
    fn end(mut self) -> Vec<Answered> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("every start is answered")
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn start_one(program: &Path, environment: &BTreeMap<String, String>) -> Answered {
    let asked = Instant::now();
    let arguments = ["start", "idle", "--processes", "1", "--timeout", "30s", "--output", "json"];
    let output = Command::new(program).args(arguments).envs(environment).output().expect("muster runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "after {:?}: {told}", asked.elapsed());
    let started = serde_json::from_slice(&output.stdout).expect("it is JSON");
    Answered { job: job_number(&started).expect("a number"), took: asked.elapsed() }
}

fn rounds() -> u32 {
    std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Every answered start is a job of its own, and its process runs once. Gives the longest wait for an answer.
fn everything_runs_once(lab: &Lab, answered: &[Answered]) -> Duration {
    let slowest = answered.iter().map(|one| one.took).max().expect("something was answered");
    eprintln!("{} starts, the slowest answered after {slowest:?}", answered.len());
    let mut jobs: Vec<u64> = answered.iter().map(|one| one.job).collect();
    jobs.sort_unstable();
    let given = jobs.len();
    jobs.dedup();
    assert_eq!(jobs.len(), given, "no number was given twice");
    let all_run = || test_processes(lab).len() == given;
    wait_until("all that was answered runs", SETTLE_LIMIT, all_run)
        .unwrap_or_else(|error| panic!("{error}: {} of {given}\n{}", test_processes(lab).len(), lab.tails()));
    assert!(test_processes(lab).values().all(|found| found.len() == 1), "and once");
    let listed = lab.muster_json(&["jobs", "--all"]).expect("jobs answers");
    let listed = listed.as_array().expect("it is a list").iter().filter_map(|row| row["job"].as_u64());
    let mut listed: Vec<u64> = listed.collect();
    listed.sort_unstable();
    assert_eq!(listed, jobs, "the log has what was answered and nothing else");
    slowest
}

fn end(lab: Lab) {
    lab.muster_ok(&["stop", "--all", "--yes"]).expect("everything stops");
    wait_until("the test processes are gone", SETTLE_LIMIT, || test_processes(&lab).is_empty()).expect("none is left");
    lab.down().expect("nothing is left running");
}

#[test]
fn the_server_that_leads_the_log_is_killed_again_and_again() {
    let (options, _scratch) = options(2, 2).expect("a folder");
    let mut lab = Lab::up(LabOptions { nats: 3, ..options }, &|_| ()).expect("the lab comes up");
    let (runtime, bus) = connect(&lab);
    let person = Person::begin(&lab);
    for round in 0..rounds() {
        std::thread::sleep(Duration::from_secs(2));
        let before = runtime.block_on(place(&bus)).expect("the log has a leader");
        server(&mut lab, &before.leader).kill9();
        let killed = Instant::now();
        let follows = || runtime.block_on(place(&bus)).is_some_and(|now| now.leader != before.leader);
        wait_until("another server leads", SETTLE_LIMIT, follows).expect("two of three are enough");
        eprintln!("round {round}: {} was killed, another leads after {:?}", before.leader, killed.elapsed());
        server(&mut lab, &before.leader).restart().expect("it comes back");
        let is_whole = || runtime.block_on(place(&bus)).is_some_and(|now| now.is_whole);
        wait_until("all three have the log", SETTLE_LIMIT, is_whole).expect("it catches up");
    }
    let answered = person.end();
    everything_runs_once(&lab, &answered);
    end(lab);
}

#[test]
fn the_scheduler_that_leads_is_killed_and_stopped_again_and_again() {
    let (options, _scratch) = options(2, 2).expect("a folder");
    let mut lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    let (runtime, bus) = connect(&lab);
    let holder = || runtime.block_on(holder(&bus));
    let person = Person::begin(&lab);
    for round in 0..rounds() {
        std::thread::sleep(Duration::from_secs(2));
        let first = holder().expect("somebody leads");
        let name = format!("scheduler-{}", first.split(' ').next().expect("an instance"));
        let signal = if round % 2 == 0 { Signal::KILL } else { Signal::STOP };
        lab.service(&name).expect("it is a part").signal(signal).expect("it takes the signal");
        let begun = Instant::now();
        wait_until("another leads", WAIT_MAX, || holder().is_some_and(|now| now != first)).expect("it takes over");
        eprintln!("round {round}: {signal:?} for {name}, another leads after {:?}", begun.elapsed());
        let service = lab.service(&name).expect("it is a part");
        if signal == Signal::STOP {
            service.signal(Signal::CONT).expect("it goes on");
        } else {
            service.restart().expect("it comes back");
        }
    }
    let answered = person.end();
    assert!(everything_runs_once(&lab, &answered) < WAIT_MAX, "a command waited too long");
    end(lab);
}

fn connect(lab: &Lab) -> (Runtime, Bus) {
    let runtime = Runtime::new().expect("a runtime");
    let bus = runtime.block_on(stream::connect(lab)).expect("the bus answers");
    (runtime, bus)
}

/// The instance that has the scheduler's lease, and which life of it.
async fn holder(bus: &Bus) -> Option<String> {
    let looking = async { bus.jetstream().get_key_value(streams::LEASES).await.ok()?.get("scheduler").await.ok()? };
    let value = tokio::time::timeout(LOOK_MAX, looking).await.ok()??;
    String::from_utf8(value.to_vec()).ok()
}

/// Where the log of jobs is.
struct Place {
    leader: String,
    /// The other servers are there and have all of it.
    is_whole: bool,
}

async fn place(bus: &Bus) -> Option<Place> {
    let looking = async { bus.jetstream().get_stream(streams::JOBS).await.ok()?.cached_info().cluster.clone() };
    let cluster = tokio::time::timeout(LOOK_MAX, looking).await.ok()??;
    let is_whole =
        cluster.replicas.len() == 2 && cluster.replicas.iter().all(|replica| replica.current && !replica.offline);
    Some(Place { leader: cluster.leader?, is_whole })
}

/// The server of this name.
fn server<'a>(lab: &'a mut Lab, name: &str) -> &'a mut NatsServer {
    let index: usize = name.strip_prefix("lab-").and_then(|index| index.parse().ok()).expect("a server of the lab");
    if index == 0 { &mut lab.nats } else { &mut lab.nats_others[index - 1] }
}
