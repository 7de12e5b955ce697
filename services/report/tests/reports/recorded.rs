//! Two runs on twelve machines of one type. Run 1: `high-io` everywhere, `tcp` on two of them, a plan; one machine is slow, one was
//! lent out and broke. Run 2: `high-io` again, a fifth slower; one process is
//! still running, and has sent nothing for five minutes.

use std::collections::BTreeMap;

use muster_model::{Attempt, Dpid, JobNumber, PoolTime, Position, ProcessId, ProcessNumber, RunId, Verdict};
use muster_telemetry::records::{
    Corruption, Job, Layout, LogEvent, MetricKind, Origin, ProcessChange, Records, Report, ReportKind, Said, Sample,
    Series, StateChange,
};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const MACHINES: u32 = 12;
/// Run 2 begins so many seconds after run 1.
const SECOND_RUN: i64 = 7_200;
/// The machine that is slow.
const SLOW: u32 = 4;
/// The machine whose process is quiet in run 2.
const QUIET: u32 = 6;

pub(crate) fn at(second: i64) -> PoolTime {
    PoolTime(START + second * SECOND)
}

/// What each stream brings.
pub(crate) fn streams() -> Vec<(&'static str, Records)> {
    let events = |events| Records { events, ..Records::default() };
    vec![
        ("MACHINES", events(machine_events())),
        ("RESERVATIONS", events(reservation_events())),
        ("JOBS", Records { events: job_events(), ..jobs() }),
        ("TEL", samples()),
        ("REPORTS", Records { reports: reports(), ..Records::default() }),
    ]
}

fn id(run: u32, job: u32, process: u32, attempt: u32) -> ProcessId {
    let dpid = Dpid { job: JobNumber(job), process: ProcessNumber(process) };
    ProcessId { run: RunId(run), dpid, attempt: Attempt(attempt) }
}

fn machine(number: u32) -> String {
    format!("m{number}")
}

fn event(sequence: usize, second: i64, kind: &str, subject: &str, detail: Value) -> LogEvent {
    LogEvent {
        position: Position::new(1, sequence as u64 + 1),
        ordinal: 0,
        at: at(second),
        actor: "user:anna".into(),
        cause: "command".into(),
        kind: kind.into(),
        subject: subject.into(),
        detail,
    }
}

fn in_order(told: Vec<(i64, &'static str, String, Value)>) -> Vec<LogEvent> {
    let told = told.into_iter().enumerate();
    told.map(|(sequence, (second, kind, subject, detail))| event(sequence, second, kind, &subject, detail)).collect()
}

fn machine_events() -> Vec<LogEvent> {
    let mut told = Vec::new();
    for number in 1..=MACHINES {
        let inventory = json!({"inventory": {"architecture": "x86_64", "kernel_release": "6.1.0-test", "kernel_build_id": "abcd",
            "machine_type": "type-x", "resources": [
                {"id": "disk-a", "kind": "RESOURCE_KIND_DISK", "device_type": "SSD", "path": "/dev/sda"},
                {"id": "nic-a", "kind": "RESOURCE_KIND_NIC", "device_type": "10G"}]}});
        told.push((-60, "added", machine(number), json!({})));
        told.push((-59, "inventory_changed", machine(number), inventory));
        told.push((-58, "flag_changed", machine(number), json!({"flag": "MACHINE_FLAG_ACTIVE", "value": true})));
    }
    let holder = json!({"epoch": 2, "holder": {"reservation": 1, "user": "user:anna"}});
    told.push((1_000, "epoch_raised", machine(8), holder));
    told.push((1_600, "health_changed", machine(8), json!({"health": "HEALTH_DOWN"})));
    told.push((1_700, "boot_observed", machine(8), json!({"boot_id": "b2"})));
    told.push((1_800, "health_changed", machine(8), json!({"health": "HEALTH_UP"})));
    told.push((2_800, "epoch_raised", machine(8), json!({"epoch": 3, "holder": {}})));
    told.push((3_600, "flag_changed", machine(7), json!({"flag": "MACHINE_FLAG_MAINTENANCE", "value": true})));
    in_order(told)
}

fn reservation_events() -> Vec<LogEvent> {
    let of = |second, kind, detail| (second, kind, "1".to_owned(), detail);
    in_order(vec![
        of(900, "queued", json!({"user": "user:anna", "selector": "m8", "count": 1, "comment": "a look"})),
        of(990, "granted", json!({"machines": ["m8"]})),
        of(1_020, "ready", json!({})),
        of(2_700, "ended", json!({"end": "RESERVATION_END_RELEASED", "reason": "checked in"})),
    ])
}

fn job(run: u32, number: u32, module: &str, processes: u32, second: i64) -> Job {
    Job {
        run,
        job: number,
        module: module.into(),
        module_version: if module == "plan" { "nightly".into() } else { "1".into() },
        selector: String::new(),
        actor: "user:anna".into(),
        seed: 7,
        reservation: 0,
        parameters: BTreeMap::new(),
        processes,
        started: at(second),
    }
}

fn ended(module: &str, machine: &str, state: &'static str, verdict: Verdict, seconds: (i64, i64)) -> ProcessChange {
    ProcessChange {
        module: Some(module.into()),
        machine: Some(machine.into()),
        resources: Some(vec![if module == "tcp" { "nic-a".into() } else { "disk-a".into() }]),
        state: Some(state),
        verdict: Some(verdict),
        placed: Some(at(seconds.0)),
        running: Some(at(seconds.0 + 1)),
        ended: Some(at(seconds.1)),
        exit_status: Some(0),
        reason: (state == "dead").then(|| "it was killed".to_owned()),
        ..ProcessChange::default()
    }
}

/// Jobs and processes as JOBS has them.
fn jobs() -> Records {
    let mut records = Records { runs: BTreeMap::from([(1, at(0)), (2, at(SECOND_RUN))]), ..Records::default() };
    for (run, begin) in [(1, 10), (2, SECOND_RUN + 10)] {
        records.jobs.push(job(run, 1, "high-io", MACHINES, begin));
        for number in 1..=MACHINES {
            let (state, verdict) = if number == 3 { ("dead", Verdict::Error) } else { ("finished", Verdict::Pass) };
            let change = ended("high-io", &machine(number), state, verdict, (begin, begin + 600));
            let quiet = ProcessChange {
                state: Some("running"),
                verdict: None,
                ended: None,
                exit_status: None,
                ..change.clone()
            };
            records.processes.insert(id(run, 1, number, 1), if (run, number) == (2, QUIET) { quiet } else { change });
        }
    }
    records.jobs.push(job(1, 2, "tcp", 2, 100));
    for number in 1..=2 {
        let change = ended("tcp", &machine(number), "finished", Verdict::Pass, (100, 400));
        records.processes.insert(id(1, 2, number, 1), change);
    }
    records.jobs.push(job(1, 3, "plan", 0, 700));
    let replaced = ProcessChange {
        state: Some("replaced"),
        reason: Some("stale".into()),
        ..ended("memory", "m1", "dead", Verdict::None, (710, 711))
    };
    records.processes.insert(id(1, 3, 1, 1), ProcessChange { verdict: None, ended: None, ..replaced });
    records.processes.insert(
        id(1, 3, 1, 2),
        ProcessChange { module: None, ..ended("memory", "m2", "finished", Verdict::Fail, (712, 760)) },
    );
    for (ordinal, (second, from, to)) in
        [(11, "starting", "running"), (300, "running", "mia"), (304, "mia", "running"), (610, "running", "dead")]
            .into_iter()
            .enumerate()
    {
        records.states.push(StateChange {
            id: id(1, 1, 3, 1),
            position: Position::new(1, 100 + ordinal as u64),
            ordinal: 0,
            at: at(second),
            from,
            to,
            machine: machine(3),
            reason: if to == "dead" { "it was killed".into() } else { String::new() },
        });
    }
    records
}

fn job_events() -> Vec<LogEvent> {
    let process = json!({"run": 1, "dpid": {"job": 1, "process": 3}, "attempt": 1});
    let of = |second, kind, subject: &str, detail| (second, kind, subject.to_owned(), detail);
    let plan = json!({"run": 1, "job": 3, "name": "nightly", "steps": [
        {"name": "first", "tasks": [{"name": "memory"}]}, {"name": "second", "tasks": [{"name": "never"}]}]});
    in_order(vec![
        of(10, "job_started", "1", json!({"spec": {"run": 1, "job": 1}})),
        of(20, "pulse_set", "", json!({"pulse": {"number": 1, "block_ns": SECOND, "free_ns": SECOND}})),
        of(200, "job_changed", "1", json!({"job": 1, "parameters": [{"key": "depth", "value": "8"}]})),
        of(
            305,
            "trigger_fired",
            "m3",
            json!({"firing": "AQEBAQEBAQEBAQEBAQEBAQ==", "number": 3, "fired_ns": at(305).0,
            "machine": "m3", "process": process, "note": "wrong data"}),
        ),
        of(700, "plan_started", "3", plan),
        of(
            710,
            "plan_task_placed",
            "3",
            json!({"job": 3, "run": 1, "attempt": 1, "process_attempt": 1,
            "parts": [{"module": "memory", "placements": [{"machine": "m1", "first": 1, "count": 1}]}]}),
        ),
        of(
            770,
            "plan_tasks_ended",
            "3",
            json!({"job": 3, "ends": [
            {"state": "TASK_STATE_FAILED", "verdict": "VERDICT_FAIL", "reason": "1 failed"},
            {"task": 1, "state": "TASK_STATE_SKIPPED", "reason": "first failed"}]}),
        ),
        of(SECOND_RUN + 10, "job_started", "1", json!({"spec": {"run": 2, "job": 1}})),
    ])
}

/// Bytes that were written each second, and a latency.
fn samples() -> Records {
    let mut records = Records::default();
    for (run, begin, factor) in [(1_u32, 10, 1.0), (2, SECOND_RUN + 10, 0.8)] {
        for number in 1..=MACHINES {
            let layout = i64::from(run * 100 + number);
            let series = |nth: i64, metric: &str, kind, unit: &str| Series {
                id: layout * 10 + nth,
                machine: machine(number),
                machine_type: "type-x".into(),
                process: Some(id(run, 1, number, 1)),
                module: "high-io".into(),
                device: "disk-a".into(),
                device_type: "SSD".into(),
                metric: metric.into(),
                kind,
                unit: unit.into(),
            };
            let written = series(0, "written_bytes", MetricKind::Counter, "bytes");
            let latency = series(1, "latency_seconds", MetricKind::Gauge, "seconds");
            records.layouts.insert(layout, Layout { id: layout, series: [written, latency].into() });
            let slow = if number == SLOW { 0.2 } else { 1.0 };
            let rate = (1_000_000.0 + f64::from(number) * 1_000.0) * factor * slow;
            let steps = if (run, number) == (2, QUIET) { 5 } else { 10 };
            for step in 1..=steps {
                let second = begin + 1 + i64::from(step) * 60;
                let seconds = f64::from(step) * 60.0;
                records.samples.push(Sample {
                    at: at(second),
                    received: at(second),
                    sequence: second.unsigned_abs(),
                    layout,
                    values: vec![rate * seconds, 0.001 * f64::from(number % 4 + 1) / slow],
                });
            }
        }
    }
    records
}

fn reports() -> Vec<Report> {
    let said = |machine_number: u32, ordinal: u32, second: i64| Said {
        origin: Origin { machine: machine(machine_number), incarnation: 1 },
        batch: u64::from(ordinal) + 1,
        ordinal,
        sequence: u64::from(ordinal) + 1,
        at: at(second),
    };
    let (module, text, resources) = ("high-io".to_owned(), "all verified".to_owned(), vec!["disk-a".to_owned()]);
    let totals = BTreeMap::from([("verified_bytes".to_owned(), 600e6)]);
    let corruption = Corruption {
        id: id(1, 1, 3, 1),
        target: "/data/muster-1".into(),
        resource: "disk-a".into(),
        offset: 4_096,
        class: "BITFLIP".into(),
        persistence: "STORED".into(),
        owner: None,
        expected: vec![1].into(),
        actual: vec![2].into(),
        detail: "one bit".into(),
    };
    let ring = ReportKind::Artifact {
        id: id(1, 1, 3, 1),
        bucket: "artifacts".into(),
        name: "1-00010003-1/history-3-01010101010101010101010101010101.csv".into(),
        size_bytes: 512,
        sha256: "a".repeat(64),
        path: String::new(),
        firing: None,
    };
    let final_report = |process| ReportKind::Final {
        id: id(1, 1, process, 1),
        module: module.clone(),
        totals: totals.clone(),
        text: text.clone(),
        resources: resources.clone(),
    };
    let kinds = [
        (3, 304, ReportKind::Error { id: id(1, 1, 3, 1), message: "wrong data on disk-a".into() }),
        (3, 304, ReportKind::Corruption(Box::new(corruption))),
        (3, 306, ring),
        (1, 610, final_report(1)),
        (2, 50, ReportKind::Error { id: ProcessId::default(), message: "the clock was set".into() }),
    ];
    (0..)
        .zip(kinds)
        .map(|(ordinal, (number, second, kind))| Report { said: said(number, ordinal, second), kind })
        .collect()
}
