//! Questions about a synthetic run, asked over the bus as the command line asks them.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Parser;
use muster_bus::streams::InitOptions;
use muster_bus::{Bus, BusOptions};
use muster_model::{Attempt, Dpid, FiringId, JobNumber, PoolTime, Position, ProcessId, ProcessNumber, RunId, Verdict};
use muster_pattern::{Class, Expectation, Owner, SECTOR_BYTES, Stamp, expected_sector, fill, spoil};
use muster_proto::v1;
use muster_proto::v1::report_query::Kind;
use muster_store::{Access, Store, StoreOptions};
use muster_telemetry::records::{
    Corruption, Job, Layout, LogEvent, MetricKind, Offset, Origin, ProcessChange, Records, Report, ReportKind, Said,
    Sample, Series,
};
use muster_telemetry::write::{KnownLayouts, Outcome, commit, load_offset};
use muster_telemetry::{Format, render};
use muster_testkit::{NatsServer, Postgres, until};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Whatever is waited for comes within this.
const LIMIT: Duration = Duration::from_secs(20);
const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn at(second: i64) -> PoolTime {
    PoolTime(START + second * SECOND)
}

fn id(process: u32, attempt: u32) -> ProcessId {
    let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(process) };
    ProcessId { run: RunId(1), dpid, attempt: Attempt(attempt) }
}

fn series(id: i64, process: Option<ProcessId>, machine: &str, metric: &str, kind: MetricKind, unit: &str) -> Series {
    let (module, device, device_type) = if process.is_some() { ("high-io", "disk-a", "SSD") } else { ("", "", "") };
    Series {
        id,
        machine: machine.into(),
        machine_type: "x".into(),
        process,
        module: module.into(),
        device: device.into(),
        device_type: device_type.into(),
        metric: metric.into(),
        kind,
        unit: unit.into(),
    }
}

/// A process's layout: a counter of bytes, and a gauge.
fn process_layout(number: i64, process: ProcessId, machine: &str) -> Layout {
    let written = series(number * 10, Some(process), machine, "written_bytes", MetricKind::Counter, "bytes");
    let latency = series(number * 10 + 1, Some(process), machine, "latency_seconds", MetricKind::Gauge, "seconds");
    Layout { id: number, series: [written, latency].into() }
}

fn sample(layout: i64, second: i64, values: &[f64]) -> Sample {
    Sample { at: at(second), received: at(second), sequence: second.unsigned_abs(), layout, values: values.into() }
}

/// Two processes on two machines: one passes after a reset of its counter, the other's first attempt never started, and it dies.
fn synthetic_run() -> Records {
    let mut records = Records { runs: BTreeMap::from([(1, at(0))]), ..Records::default() };
    records.jobs.push(Job {
        run: 1,
        job: 1,
        module: "high-io".into(),
        module_version: "1".into(),
        selector: String::new(),
        actor: "user:anna".into(),
        seed: u64::MAX,
        reservation: 0,
        parameters: BTreeMap::new(),
        processes: 2,
        started: at(1),
    });
    let ended = |machine: &str, state, verdict, running, ended| ProcessChange {
        module: Some("high-io".into()),
        machine: Some(machine.into()),
        resources: Some(vec!["disk-a".into()]),
        state: Some(state),
        verdict: Some(verdict),
        placed: Some(at(1)),
        running: Some(at(running)),
        ended: Some(at(ended)),
        exit_status: Some(0),
        ..ProcessChange::default()
    };
    records.processes.insert(id(1, 1), ended("m1", "finished", Verdict::Pass, 2, 62));
    records.processes.insert(id(2, 1), ProcessChange { state: Some("replaced"), ..ProcessChange::default() });
    records.processes.insert(id(2, 2), ended("m2", "dead", Verdict::Error, 4, 30));
    let layouts = [
        process_layout(1, id(1, 1), "m1"),
        process_layout(2, id(2, 2), "m2"),
        Layout { id: 3, series: [series(30, None, "m1", "read_bytes", MetricKind::Counter, "bytes")].into() },
    ];
    records.layouts = layouts.into_iter().map(|layout| (layout.id, layout)).collect();
    records.samples = vec![
        sample(1, 12, &[1024.0, 0.25]),
        sample(1, 22, &[3072.0, f64::NAN]),
        sample(1, 32, &[512.0, 0.75]),
        sample(2, 14, &[4096.0, 0.5]),
        sample(2, 24, &[f64::NAN, f64::NAN]),
        sample(3, 10, &[1_000_000.0]),
        sample(3, 20, &[1_002_048.0]),
        sample(3, -10, &[1.0]),
    ];
    let said =
        Said { origin: Origin { machine: "m1".into(), incarnation: 1 }, batch: 1, ordinal: 0, sequence: 1, at: at(62) };
    let totals = BTreeMap::from([("verified_bytes".to_owned(), 3584.0), ("nothing".to_owned(), f64::NAN)]);
    let (module, text, resources) = ("high-io".into(), String::new(), vec![]);
    let report = |kind| Report { said: said.clone(), kind };
    records.reports.push(report(ReportKind::Final { id: id(1, 1), module, totals, text, resources }));
    records.reports.push(report(ReportKind::Error { id: id(2, 2), message: "no space".into() }));
    records.reports.extend(corruptions(&said));
    records.reports.push(Report {
        said: Said { ordinal: 40, sequence: 40, ..said },
        kind: ReportKind::Artifact {
            id: ProcessId::default(),
            bucket: "artifacts".into(),
            name: format!("crash/m1/{FIRING}/var-crash-1-vmcore"),
            size_bytes: 9,
            sha256: "d".repeat(64),
            path: "/var/crash/1/vmcore".into(),
            firing: Some(FIRING),
        },
    });
    records
}

const FIRING: FiringId = FiringId([1; 16]);

/// What JOBS says of job 1, of its pulses, and of two firings: one by process 1 that two machines were armed for, and one by a person.
fn events() -> Vec<LogEvent> {
    let process = json!({"run": 1, "dpid": {"job": 1, "process": 1}, "attempt": 1});
    let fired = |byte: u8, second: i64, more: serde_json::Value| {
        let id = base64_of([byte; 16]);
        let mut fired = json!({"firing": id, "number": 3, "fired_ns": at(second).0});
        fired.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        fired
    };
    let acted = |byte: u8, second: i64, machine: &str, outcome: &str, latency_ns: i64| {
        let (action, outcome) = ("TRIGGER_ACTION_CRASH", format!("TRIGGER_OUTCOME_{outcome}"));
        fired(byte, second, json!({"machine": machine, "action": action, "outcome": outcome, "latency_ns": latency_ns}))
    };
    let spec = json!({"job": 1, "pulses": [1], "parameters": [{"key": "depth", "value": "2"}, {"key": "size", "value": "4KiB"}],
        "module": {"parameters": [{"name": "depth", "default": "1"}, {"name": "size", "default": "4KiB"}]}});
    let pulse = |block: i64| json!({"pulse": {"number": 1, "block_ns": block * SECOND, "free_ns": SECOND}});
    let all = [
        (1, "job_started", "1", json!({"spec": spec})),
        (2, "pulse_set", "", pulse(1)),
        (10, "trigger_fired", "m1", fired(1, 10, json!({"machine": "m1", "process": process, "note": "wrong data"}))),
        (11, "trigger_acted", "m1", acted(1, 10, "m1", "BROKEN_OFF", 2_000_000)),
        (11, "trigger_acted", "m2", acted(1, 10, "m2", "ACTED", 3_000_000)),
        (
            15,
            "job_changed",
            "1",
            json!({"job": 1, "parameters": [{"key": "depth", "value": "1"}, {"key": "size", "value": "8KiB"}]}),
        ),
        (15, "job_changed", "1", json!({"job": 1, "pulses": {"numbers": [1, 2]}})),
        (16, "pulse_set", "", pulse(7)),
        (20, "trigger_fired", "", fired(2, 20, json!({"actor": "user:anna"}))),
        (40, "pulse_cleared", "", json!({"numbers": [1]})),
    ];
    let event = |(sequence, (second, kind, subject, detail)): (u64, (i64, &str, &str, serde_json::Value))| LogEvent {
        position: Position::new(1, sequence),
        ordinal: 0,
        at: at(second),
        actor: "user:anna".into(),
        cause: "command".into(),
        kind: kind.into(),
        subject: subject.into(),
        detail,
    };
    (1..).zip(all).map(event).collect()
}

/// As protobuf JSON has sixteen equal bytes.
fn base64_of(bytes: [u8; 16]) -> &'static str {
    match bytes[0] {
        1 => "AQEBAQEBAQEBAQEBAQEBAQ==",
        2 => "AgICAgICAgICAgICAgICAg==",
        other => panic!("nobody wrote {other} down"),
    }
}

/// Process 1 finds what process 2's second attempt wrote, a complemented sector of its own, words of a process that only a tag
/// names, a packet, and what a module in another language takes for a corruption. Of the first the files were stored.
fn corruptions(said: &Said) -> Vec<Report> {
    let owner = |process, attempt| Owner { run: 1, job: 1, process, attempt };
    let expectation = Expectation { owner: owner(1, 1), target: 7, machine: 8, sequence: 2, offset: 20_480 };
    let of = |class: Class| {
        let mut sector = [0; SECTOR_BYTES];
        fill(&mut sector, &Stamp { expectation, time: 9 });
        spoil(&mut sector, class, &expectation, 5);
        sector
    };
    let foreign = |header: bool| {
        let mut sector = [0; SECTOR_BYTES];
        fill(&mut sector, &Stamp { expectation: Expectation { owner: owner(2, 2), ..expectation }, time: 9 });
        if !header {
            sector[..8].fill(0x77);
        }
        sector
    };
    let found = |class: &str, owner: Option<ProcessId>, actual: [u8; SECTOR_BYTES]| Corruption {
        id: id(1, 1),
        target: "/data of m1/muster-1-00010001-1.dat".into(),
        resource: "disk-a".into(),
        offset: expectation.offset,
        class: class.into(),
        persistence: "STORED".into(),
        owner,
        expected: expected_sector(&expectation, &actual).to_vec().into(),
        actual: actual.to_vec().into(),
        detail: format!("{class}: as found\nand more"),
    };
    let all = [
        found("FOREIGN", Some(id(2, 0)), foreign(true)),
        found("WRONG_FORM", None, of(Class::WrongForm)),
        found("FOREIGN", None, foreign(false)),
        found("FOREIGN", Some(ProcessId { run: RunId(77), ..id(9, 0) }), of(Class::Bitflip)),
        Corruption {
            persistence: "PASSED".into(),
            target: "client-to-server/0".into(),
            ..found("DROPPED", None, of(Class::Bitflip))
        },
        Corruption { expected: vec![1].into(), actual: vec![2].into(), ..found("UNKNOWN", None, of(Class::Zero)) },
    ];
    let kinds = all.map(|corruption| ReportKind::Corruption(Box::new(corruption))).into_iter();
    let artifact = |name: &str, sha: &str| ReportKind::Artifact {
        id: id(1, 1),
        bucket: "artifacts".into(),
        name: format!("1-00010001-1/{name}"),
        size_bytes: 4096,
        sha256: sha.repeat(64),
        path: String::new(),
        firing: None,
    };
    let files = [
        artifact("corruption-20480-2-actual.bin", "0"),
        artifact("corruption-20480-2-actual.bin", "a"),
        artifact("corruption-20480-21-actual.bin", "b"),
        artifact("other.txt", "c"),
    ];
    let said = |ordinal: u32| Said { ordinal: 10 + ordinal, sequence: 1 + u64::from(ordinal), ..said.clone() };
    (0..).zip(kinds.chain(files)).map(|(ordinal, kind)| Report { said: said(ordinal), kind }).collect()
}

struct World {
    _nats: NatsServer,
    postgres: Postgres,
    bus: Bus,
    stop: CancellationToken,
}

impl World {
    async fn start() -> Self {
        let servers =
            || (NatsServer::start().expect("nats-server starts"), Postgres::start().expect("PostgreSQL starts"));
        let (nats, postgres) = tokio::task::spawn_blocking(servers).await.expect("no panic");
        let bus = Bus::connect(&BusOptions::insecure_local(&nats.url(), "test")).await.expect("connects");
        bus.init_streams(InitOptions { replicas: 1, size_divisor: 1_000 }).await.expect("streams");
        let arguments = ["report", "--insecure-local", "--nats", &nats.url(), "--postgres", &postgres.url()];
        let arguments = muster_report::Arguments::parse_from(arguments);
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move { muster_report::run(&arguments, token).await.expect("no error") });
        Self { _nats: nats, postgres, bus, stop }
    }

    async fn fill(&self) {
        let options = StoreOptions {
            application: "test".into(),
            access: Access::Write,
            connections_max: 2,
            statement_timeout: Duration::from_secs(10),
        };
        let store = Store::open(&self.postgres.url(), &options).expect("a URL");
        let start = Instant::now();
        let applied = loop {
            match store.migrate().await {
                Ok(applied) => break applied,
                Err(error) => assert!(error.is_unavailable() && start.elapsed() < Duration::from_secs(20), "{error}"),
            }
        };
        assert!(!applied.is_empty());
        assert!(store.migrate().await.expect("migrates again").is_empty(), "a second time nothing is missing");
        let offset: Offset = load_offset(&store, "TEL", 1).await.expect("reads").offset;
        let mut known = KnownLayouts::default();
        let committed = commit(&store, &mut known, &offset, 9, &synthetic_run()).await.expect("commits");
        assert_eq!(committed, Outcome::Committed);
        let again = commit(&store, &mut known, &offset, 9, &synthetic_run()).await.expect("answers");
        assert_eq!(again, Outcome::Moved, "from the same position it is stored once");
        let offset: Offset = load_offset(&store, "JOBS", 1).await.expect("reads").offset;
        let log = Records { events: events(), ..Records::default() };
        let committed = commit(&store, &mut known, &offset, 9, &log).await.expect("commits");
        assert_eq!(committed, Outcome::Committed);
    }

    async fn ask(&self, kind: Kind) -> Result<v1::ReportReply, v1::Refusal> {
        common::ask(&self.bus, kind, LIMIT).await
    }

    async fn perf(&self, by: v1::Dimension, filter: v1::ReportFilter) -> String {
        let query = v1::PerfQuery { filter: Some(filter), by: by.into(), ..Default::default() };
        render(&self.ask(Kind::Perf(query)).await.expect("an answer"), Format::Table)
    }
}

fn summary(run: u32) -> Kind {
    Kind::Summary(v1::SummaryQuery { filter: Some(v1::ReportFilter { run, ..Default::default() }) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_summarised_and_measured() {
    let world = World::start().await;
    world.fill().await;
    let reply = world.ask(summary(0)).await.expect("an answer");
    insta::assert_snapshot!("summary_table", render(&reply, Format::Table));
    insta::assert_snapshot!("summary_json", render(&reply, Format::Json));
    insta::assert_snapshot!("summary_csv", render(&reply, Format::Csv));
    let all = v1::ReportFilter::default;
    insta::assert_snapshot!("perf_by_module", world.perf(v1::Dimension::Module, all()).await);
    insta::assert_snapshot!("perf_by_machine", world.perf(v1::Dimension::Machine, all()).await);
    insta::assert_snapshot!("perf_by_device", world.perf(v1::Dimension::Device, all()).await);
    insta::assert_snapshot!("perf_by_process", world.perf(v1::Dimension::Process, all()).await);
    insta::assert_snapshot!("perf_by_time", world.perf(v1::Dimension::Time, all()).await);
    insta::assert_snapshot!("perf_by_machine_type", world.perf(v1::Dimension::MachineType, all()).await);
    insta::assert_snapshot!("perf_by_device_type", world.perf(v1::Dimension::DeviceType, all()).await);
    let span = v1::ReportFilter { from_ns: at(20).0, to_ns: at(30).0, job: 1, ..all() };
    insta::assert_snapshot!("perf_of_a_span", world.perf(v1::Dimension::Process, span).await);
    let status = world.ask(Kind::Status(v1::StoreStatusQuery {})).await.expect("an answer");
    let names: Vec<_> = status.rows.iter().map(|row| row.cells[1].value.clone().expect("a name")).collect();
    for name in ["TEL", "JOBS", "archive", "sample", "final_report"] {
        assert!(names.contains(&v1::cell::Value::Text(name.into())), "{name} in {names:?}");
    }
    world.stop.cancel();
}

/// Two processes on two machines share one type of device: their increases add up, over the time from the first one's start to
/// the last sample of any, and a reset of one takes nothing away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_one_type_add_up_over_the_whole_span() {
    let world = World::start().await;
    world.fill().await;
    let metrics = vec!["written_bytes".to_owned()];
    for (by, key) in [(v1::Dimension::DeviceType, "SSD"), (v1::Dimension::MachineType, "x")] {
        let query = v1::PerfQuery { by: by.into(), metrics: metrics.clone(), ..Default::default() };
        let reply = world.ask(Kind::Perf(query)).await.expect("an answer");
        let [row] = &reply.rows[..] else { panic!("one row: {reply:?}") };
        let numbers = |column: usize| match row.cells[column].value {
            Some(v1::cell::Value::Number(number)) => number,
            ref other => panic!("{other:?} in column {column}"),
        };
        assert_eq!(row.cells[0].value, Some(v1::cell::Value::Text(key.into())));
        let increases = 1024.0 + 2048.0 + 512.0 + 4096.0;
        let (first_start, last_sample) = (2.0, 32.0);
        assert_eq!(numbers(5), increases);
        assert_eq!(numbers(6), increases / (last_sample - first_start));
    }
    world.stop.cancel();
}

fn corruption(number: u64) -> Kind {
    Kind::Corruption(v1::CorruptionQuery { number, ..Default::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corruptions_are_listed_and_explained_with_their_owners() {
    let world = World::start().await;
    world.fill().await;
    let table = async |kind| render(&world.ask(kind).await.expect("an answer"), Format::Table);
    insta::assert_snapshot!("corruption_list", table(corruption(0)).await);
    insta::assert_snapshot!("corruption_foreign", table(corruption(1)).await);
    insta::assert_snapshot!("corruption_complemented", table(corruption(2)).await);
    for (number, texts) in [
        (3, &["owner: tag ", "which these of the run carry: 1/00010002#2 high-io on m2: disk-a"][..]),
        (4, &["owner: 77/00010009, which this store does not know", "  F     "]),
        (5, &["read again: it passed once"]),
        (6, &["the sector is not one of Muster's pattern", "files: none was stored"]),
    ] {
        let text = table(corruption(number)).await;
        assert!(texts.iter().all(|wanted| text.contains(wanted)), "{texts:?} of {number}: {text}");
    }
    let csv = render(&world.ask(corruption(1)).await.expect("an answer"), Format::Csv);
    assert!(csv.starts_with("offset,word,expected,actual,difference,flag,meaning\n20488,1,"), "{csv}");
    let other_machine = v1::ReportFilter { machine: "m2".into(), ..Default::default() };
    let none = world.ask(Kind::Corruption(v1::CorruptionQuery { filter: Some(other_machine), number: 0 })).await;
    assert_eq!(none.expect("an answer").rows, []);
    let refusal = world.ask(corruption(99)).await.expect_err("unknown");
    assert_eq!(refusal.why, "the store does not know corruption 99");
    assert_eq!(refusal.code(), v1::RefusalCode::NotFound);
    world.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_found_by_process_by_corruption_and_by_name() {
    let world = World::start().await;
    world.fill().await;
    let ask = async |query: v1::ArtifactQuery| {
        let reply = world.ask(Kind::Artifact(query)).await.expect("an answer");
        render(&reply, Format::Csv)
            .lines()
            .skip(1)
            .map(|line| line.split_once(",artifacts,").expect("a bucket").1.to_owned())
            .collect::<Vec<_>>()
    };
    let file = |name: &str, sha: &str| format!("1-00010001-1/{name},4096,{},", sha.repeat(64));
    let all = [
        file("corruption-20480-2-actual.bin", "a"),
        file("corruption-20480-21-actual.bin", "b"),
        file("other.txt", "c"),
    ];
    assert_eq!(ask(v1::ArtifactQuery::default()).await, all);
    let of_process = |process| v1::ArtifactQuery {
        filter: Some(v1::ReportFilter { job: 1, ..Default::default() }),
        process,
        ..Default::default()
    };
    assert_eq!(ask(of_process(1)).await, all);
    assert_eq!(ask(of_process(2)).await, [""; 0]);
    assert_eq!(ask(v1::ArtifactQuery { corruption: 1, ..Default::default() }).await, all[..1]);
    assert_eq!(ask(v1::ArtifactQuery { name: "1-00010001-1/other.txt".into(), ..Default::default() }).await, all[2..]);
    let unknown = Kind::Artifact(v1::ArtifactQuery { corruption: 99, ..Default::default() });
    assert_eq!(world.ask(unknown).await.expect_err("unknown").code(), v1::RefusalCode::NotFound);
    world.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firings_are_told_with_latencies_and_what_they_left() {
    let world = World::start().await;
    world.fill().await;
    let ask =
        async |query: v1::FiringQuery| render(&world.ask(Kind::Firing(query)).await.expect("an answer"), Format::Table);
    insta::assert_snapshot!("firings", ask(v1::FiringQuery::default()).await);
    let rows = async |query: v1::FiringQuery| world.ask(Kind::Firing(query)).await.expect("an answer").rows.len();
    let filtered = |machine: &str, job| {
        let filter = v1::ReportFilter { machine: machine.into(), job, ..Default::default() };
        v1::FiringQuery { filter: Some(filter), ..Default::default() }
    };
    assert_eq!(rows(filtered("m2", 0)).await, 1);
    assert_eq!(rows(filtered("", 1)).await, 2);
    assert_eq!(rows(v1::FiringQuery { triggers: vec![4], ..Default::default() }).await, 0);
    assert_eq!(rows(v1::FiringQuery { firing: vec![2; 16].into(), ..Default::default() }).await, 1);
    let files = Kind::Artifact(v1::ArtifactQuery { firing: FIRING.0.to_vec().into(), ..Default::default() });
    let crashes = Kind::Artifact(v1::ArtifactQuery { crash_files: true, ..Default::default() });
    for kind in [files, crashes] {
        let csv = render(&world.ask(kind).await.expect("an answer"), Format::Csv);
        assert_eq!(csv.lines().count(), 2, "{csv}");
        assert!(csv.contains(&format!(",0,,m1,artifacts,crash/m1/{FIRING}/var-crash-1-vmcore,9,")), "{csv}");
        assert!(csv.trim_end().ends_with(",/var/crash/1/vmcore"), "{csv}");
    }
    world.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ran_together_is_told_as_it_was_then() {
    let world = World::start().await;
    world.fill().await;
    let ask = async |query: v1::TogetherQuery| {
        render(&world.ask(Kind::Together(query)).await.expect("an answer"), Format::Table)
    };
    let when = |second: i64| v1::TogetherQuery { at_ns: at(second).0, ..Default::default() };
    insta::assert_snapshot!("together_at_first", ask(when(14)).await);
    let changed = v1::TogetherQuery { firing: vec![2; 16].into(), ..Default::default() };
    insta::assert_snapshot!("together_when_a_person_fired", ask(changed).await);
    // Process 2 ended after 30 s, and pulse 1 is not defined any more when the corruption is found.
    let found = ask(v1::TogetherQuery { corruption: 1, ..Default::default() }).await;
    insta::assert_snapshot!("together_when_corruption_was_found", found);
    let later = world.ask(Kind::Together(when(100))).await.expect("an answer");
    assert_eq!(later.rows, []);
    let with =
        |job| v1::TogetherQuery { filter: Some(v1::ReportFilter { job, ..Default::default() }), ..Default::default() };
    assert_eq!(world.ask(Kind::Together(with(1))).await.expect("an answer").rows, []);
    for (query, code) in [
        (v1::TogetherQuery::default(), v1::RefusalCode::Invalid),
        (v1::TogetherQuery { corruption: 99, ..Default::default() }, v1::RefusalCode::NotFound),
        (v1::TogetherQuery { firing: vec![9; 16].into(), ..Default::default() }, v1::RefusalCode::NotFound),
        (when(-5), v1::RefusalCode::NotFound),
    ] {
        assert_eq!(world.ask(Kind::Together(query)).await.expect_err("a refusal").code(), code);
    }
    world.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_answered_is_refused_with_what_to_do() {
    let mut world = World::start().await;
    let refusal = world.ask(summary(0)).await.expect_err("there is no schema");
    assert_eq!(refusal.code(), v1::RefusalCode::Unavailable, "{refusal:?}");
    world.fill().await;
    let refusal = world.ask(summary(9)).await.expect_err("unknown");
    assert_eq!((refusal.code(), refusal.why.as_str()), (v1::RefusalCode::NotFound, "the store does not know run 9"));
    assert!(!refusal.next.is_empty());
    let refusal = world.ask(Kind::Perf(v1::PerfQuery::default())).await.expect_err("no dimension");
    assert_eq!(refusal.code(), v1::RefusalCode::Invalid);
    world.postgres.kill9();
    // The children of a killed PostgreSQL answer until they notice.
    let asked = until("nobody answers", LIMIT, async || Ok(world.ask(summary(0)).await), Result::is_err).await;
    let refusal = asked.expect("a killed PostgreSQL is silent").expect_err("a refusal");
    assert_eq!(refusal.code(), v1::RefusalCode::Unavailable);
    tokio::task::block_in_place(|| world.postgres.restart().expect("restarts"));
    let asked = until("it answers", LIMIT, async || Ok(world.ask(summary(0)).await), Result::is_ok).await;
    asked.expect("it is back").expect("an answer");
    world.stop.cancel();
}
