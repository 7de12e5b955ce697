//! One identity floods the services at full speed: the others are answered as before, it is told to wait, and nothing grows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use muster_bus::subjects::Service;
use muster_bus::{Access, Authority, Bus, BusOptions, Credentials, fresh_id};
use muster_model::CommandId;
use muster_proto::v1::{JobCommand, JobQuery, ListJobs, Pulse, SetPulse, envelope::Body, job_command, job_query};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::resident_bytes;

/// Connections of who floods.
const CONNECTIONS: usize = 4;
/// How long the flood lasts in the usual run; `MUSTER_SOAK_ROUNDS` says other seconds.
const FLOOD_SECONDS: u64 = 4;
/// The others ask at this pace: people and their scripts, not a second flood.
const PACE: Duration = Duration::from_millis(20);
/// Each of the others' requests is answered within this, flood or not.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(2);
/// What an identity may ask of a verb by default: so many at once, and so many per second.
const BURST: u64 = 500;
const PER_SECOND: u64 = 100;
/// What lines may hold of one identity, with room for what the allocator keeps.
const GROWTH_MAX_KIB: u64 = 128 * 1024;

fn of_person(lab: &Lab, name: &str) -> PathBuf {
    lab.directory().join("keys").join(format!("user-{name}.key"))
}

async fn bus(url: &str, credentials: &Path, actor: &str) -> Bus {
    let access = Access::Credentials(Credentials::open(credentials).expect("in order"));
    let options = BusOptions { actor: actor.into(), ..BusOptions::new(url, "e2e/flood", access) };
    Bus::connect(&options).await.expect("it is let in")
}

fn query() -> Body {
    Body::JobQuery(JobQuery { kind: Some(job_query::Kind::Jobs(ListJobs::default())) })
}

fn command(number: u32) -> Body {
    let pulse = Pulse { number, block_ns: 1_000_000_000, free_ns: 1_000_000_000, phase_ns: 0 };
    Body::JobCommand(JobCommand {
        kind: Some(job_command::Kind::SetPulse(SetPulse { pulse: Some(pulse) })),
        ..JobCommand::default()
    })
}

/// How long requests took.
#[derive(Default)]
struct Took {
    queries: Vec<Duration>,
    commands: Vec<Duration>,
    /// Attempts without an answer.
    repeated: u32,
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Asks and commands in turn for a while; every one is to be answered. As `muster` does, what is not answered is asked again.
async fn measure(bus: &Bus, lasts: Duration) -> Took {
    let (begun, mut took) = (Instant::now(), Took::default());
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while begun.elapsed() < lasts {
        for (verb, body) in [("query", query()), ("command", command(7))] {
            pace.tick().await;
            let authority = Authority { command: Some(CommandId(fresh_id())), ..Authority::default() };
            let (envelope, asked) = (bus.envelope(body, authority), Instant::now());
            let answer = loop {
                match bus.request(&bus.service(Service::Scheduler, verb), &envelope, ATTEMPT_LIMIT).await {
                    Ok(answer) => break answer,
                    Err(error) => assert!(asked.elapsed() < ANSWER_LIMIT, "{verb} of who floods nobody: {error}"),
                }
                took.repeated += 1;
            };
            assert!(matches!(answer.body, Some(Body::JobReply(_))), "{verb}: {:?}", answer.body);
            if verb == "query" { &mut took.queries } else { &mut took.commands }.push(asked.elapsed());
        }
    }
    took
}

/// What came of a flood.
#[derive(Default)]
struct Flood {
    stop: AtomicBool,
    sent: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// Sends requests without waiting for answers, and counts those.
async fn flood(bus: Bus, verb: &'static str, flood: Arc<Flood>) {
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox, None).await.expect("subscribed");
    let subject = bus.service(Service::Scheduler, verb);
    let counting = async {
        while let Some(answer) = answers.next().await {
            match answer.envelope.ok().and_then(|envelope| envelope.body) {
                Some(Body::Refusal(refusal)) => {
                    assert!(refusal.again_after_ms > 0 && refusal.why.contains("user/flo"), "{refusal:?}");
                    flood.refused.fetch_add(1, Ordering::Relaxed);
                }
                _ => drop(flood.taken.fetch_add(1, Ordering::Relaxed)),
            }
        }
    };
    let sending = async {
        while !flood.stop.load(Ordering::Relaxed) {
            let body = if verb == "query" { query() } else { command(8) };
            let authority = Authority { command: Some(CommandId(fresh_id())), ..Authority::default() };
            bus.publish_with_reply(&subject, &inbox, &bus.envelope(body, authority)).await.expect("it is sent");
            flood.sent.fetch_add(1, Ordering::Relaxed);
            tokio::task::consume_budget().await;
        }
        // What is on its way is counted too.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        () = counting => {}
        () = sending => {}
    }
}

/// One connection that floods, in a thread of its own that yields to all others: who floods has machines of their own, and is to take from
/// the others here what the servers and services need for the flood, not what making it needs.
fn flooding(url: &str, credentials: &Path, verb: &'static str, counts: Arc<Flood>) {
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19).expect("it may yield");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { flood(bus(url, credentials, "user:flo").await, verb, counts).await });
}

fn resident_kib(pid: u32) -> u64 {
    resident_bytes(pid).expect("it lives") / 1024
}

/// CPU that a process has used until now, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields = stat.rsplit_once(") ").expect("a name").1.split(' ');
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

fn tell(when: &str, took: &mut Took) -> (Duration, Duration) {
    let (queries, commands) = (percentile(&mut took.queries, 99), percentile(&mut took.commands, 99));
    eprintln!(
        "{when}: {} asked again; {} queries, p50 {:?}, p99 {queries:?}; {} commands, p50 {:?}, p99 {commands:?}",
        took.repeated,
        took.queries.len(),
        percentile(&mut took.queries, 50),
        took.commands.len(),
        percentile(&mut took.commands, 50),
    );
    (queries, commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_floods_is_told_to_wait_and_the_others_are_answered() {
    let soak = std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok());
    let lasts = Duration::from_secs(soak.unwrap_or(FLOOD_SECONDS));
    let up = || {
        let (options, scratch) = muster_e2e::options(1, 1).expect("a folder");
        let lab = Lab::up(LabOptions { secured: true, ..options }, &|_| ()).expect("it comes up with keys");
        for name in ["flo", "anna"] {
            lab.muster_ok(&["admin", "user", "add", name, "--role", "tester"]).expect("they are let in");
        }
        (lab, scratch)
    };
    let (mut lab, _scratch) = tokio::task::spawn_blocking(up).await.expect("a lab");
    let (url, flo) = (lab.nats_url(), of_person(&lab, "flo"));
    let anna = bus(&url, &of_person(&lab, "anna"), "user:anna").await;
    let mut before = measure(&anna, lasts.min(Duration::from_secs(10))).await;
    let pid = lab.service("scheduler-a").expect("it is there").pid().expect("it runs");
    let (resident, counts) = (resident_kib(pid), Arc::new(Flood::default()));
    let mut floods = Vec::new();
    for verb in ["query", "command"].into_iter().cycle().take(CONNECTIONS) {
        let (url, flo, counts) = (url.clone(), flo.clone(), counts.clone());
        floods.push(std::thread::spawn(move || flooding(&url, &flo, verb, counts)));
    }
    let pids = [lab.nats.pid().expect("it runs"), pid];
    let used = pids.map(ticks);
    let mut during = measure(&anna, lasts).await;
    let used =
        [ticks(pids[0]) - used[0], ticks(pids[1]) - used[1]].map(|ticks| ticks as f64 / 100.0 / lasts.as_secs_f64());
    let grown = resident_kib(pid).saturating_sub(resident);
    counts.stop.store(true, Ordering::Relaxed);
    tokio::task::block_in_place(|| floods.into_iter().for_each(|flood| flood.join().expect("it ends")));
    let [sent, taken, refused] =
        [&counts.sent, &counts.taken, &counts.refused].map(|count| count.load(Ordering::Relaxed));
    eprintln!(
        "{CONNECTIONS} connections sent {sent} requests in {lasts:?}: {taken} taken, {refused} told to wait; +{grown} KiB"
    );
    eprintln!("cores of nats-server {:.2}, of the scheduler {:.2}", used[0], used[1]);
    let (first, second) = (tell("before", &mut before), tell("during", &mut during));
    let ratio = |before: Duration, during: Duration| during.as_secs_f64() / before.as_secs_f64();
    eprintln!("p99 during / before: queries {:.1}, commands {:.1}", ratio(first.0, second.0), ratio(first.1, second.1));
    // Two verbs, each with its burst and its rate; a little longer than the measurement, for the end of the flood.
    let may = 2 * (BURST + PER_SECOND * (lasts.as_secs() + 3));
    assert!(taken <= may, "{taken} of at most {may} were taken");
    assert!(taken >= BURST, "the flood reached the service: {taken}");
    assert!(refused > 0, "and it was told to wait");
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB");
    let end = move || {
        let job = muster_e2e::start(&lab, "idle", 2, &[]).expect("a job runs as ever");
        lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
        let status = lab.muster_json(&["admin", "status"]).expect("services answer");
        let scheduler = status.as_array().and_then(|rows| rows.iter().find(|row| row["service"] == "scheduler"));
        assert_eq!(scheduler.map(|row| row["term"].clone()), Some(1.into()), "the same leader all the while");
        lab.down().expect("it goes down");
    };
    tokio::task::spawn_blocking(end).await.expect("done");
}
