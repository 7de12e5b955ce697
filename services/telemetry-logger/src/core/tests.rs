use bytes::Bytes;
use muster_model::{PoolTime, TaskState, Verdict};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_telemetry::records::{Origin, Records, TaskChange};
use prost::Message as _;

use super::{Batch, Decoder, Kind, Message, Repeats};

const STORED: i64 = 1_700_000_000_000_000_000;

fn message(sequence: u64, subject: &str, incarnation: u64, body: Body) -> Message {
    let envelope = v1::Envelope { lineage: 1, term: 3, incarnation, body: Some(body), ..Default::default() };
    raw(sequence, subject, envelope.encode_to_vec().into())
}

fn raw(sequence: u64, subject: &str, payload: Bytes) -> Message {
    let machine = muster_bus::subjects::machine_of(subject);
    Message { sequence, stored: PoolTime(STORED), subject: subject.into(), machine, payload }
}

fn id(process: u32) -> v1::ProcessId {
    v1::ProcessId { run: 1, dpid: Some(v1::Dpid { job: 1, process }), attempt: 1 }
}

fn samples(batch: u64, rows: Vec<v1::SampleRow>) -> Body {
    let metric =
        |name: &str, kind: v1::MetricKind| v1::Metric { name: name.into(), kind: kind.into(), unit: "1".into() };
    let metrics = vec![metric("a", v1::MetricKind::Gauge), metric("b", v1::MetricKind::Counter)];
    let layout = v1::Layout { id: Some(id(1)), module: "high-io".into(), metrics, ..Default::default() };
    Body::SampleBatch(v1::SampleBatch { machine: "m1".into(), batch, layouts: vec![layout], rows })
}

fn row(time_ns: i64, values: &[f64]) -> v1::SampleRow {
    v1::SampleRow { time_ns, layout: 0, values: values.into() }
}

fn log(sequence: u64, events: Vec<v1::job_event::Kind>) -> Message {
    let events = events.into_iter().map(|kind| v1::JobEvent { kind: Some(kind) }.encode_to_vec().into()).collect();
    let cause = v1::Cause { kind: Some(v1::cause::Kind::Command(Bytes::from_static(&[7; 16]))) };
    let entry =
        v1::Entry { cause: Some(cause), actor: "user:anna".into(), events, time_ns: STORED, ..v1::Entry::default() };
    let block = v1::TurnBlock { entries: vec![entry] }.encode_to_vec();
    let turn = v1::Turn {
        previous_hash: Bytes::from_static(&[0; 32]),
        event_type: "muster.v1.JobEvent".into(),
        compression: v1::Compression::Zstd.into(),
        block: zstd::encode_all(block.as_slice(), 3).expect("compresses").into(),
    };
    message(sequence, "muster.v1.log.scheduler.turn", 0, Body::Turn(turn))
}

/// Rows of messages that follow position 0, of agents that were not met yet.
fn check(kind: Kind, messages: Vec<Message>) -> Records {
    let (mut batch, mut decoder) = (Batch::new(kind, "STREAM", 0), Decoder::new(kind));
    for message in messages {
        batch.push(message, &mut decoder);
    }
    batch.records(&Repeats::new())
}

const TEL: &str = "muster.v1.agent.m1.tel";

#[test]
fn a_batch_that_is_not_newer_is_dropped() {
    let body = |batch| samples(batch, vec![row(STORED, &[1.0, 2.0])]);
    let messages = vec![message(1, TEL, 4, body(1)), message(2, TEL, 4, body(1)), message(3, TEL, 5, body(1))];
    let records = check(Kind::Samples, messages);
    let sequences: Vec<u64> = records.samples.iter().map(|sample| sample.sequence).collect();
    assert_eq!(sequences, [1, 3], "another incarnation counts from the beginning");
    assert_eq!(records.layouts.len(), 1);
}

#[test]
fn a_batch_that_the_store_knows_is_dropped() {
    let mut batch = Batch::new(Kind::Samples, "TEL", 0);
    batch.push(message(1, TEL, 4, samples(7, vec![row(STORED, &[1.0, 2.0])])), &mut Decoder::new(Kind::Samples));
    let origin = Origin { machine: "m1".into(), incarnation: 4 };
    assert!(batch.records(&Repeats::from([(origin.clone(), 7)])).samples.is_empty());
    assert_eq!(batch.records(&Repeats::from([(origin, 6)])).samples.len(), 1);
}

#[test]
fn missing_sequences_are_a_gap() {
    let records =
        check(Kind::Samples, vec![raw(3, TEL, Bytes::new()), raw(4, TEL, Bytes::new()), raw(9, TEL, Bytes::new())]);
    let gaps: Vec<(u64, u64)> = records.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(gaps, [(1, 2), (5, 8)]);
}

#[test]
fn rows_that_can_not_be_taken_are_rejected_with_their_reason_and_the_others_stay() {
    let minutes = |count: i64| STORED + count * 60_000_000_000;
    let rows = vec![
        row(minutes(4), &[1.0, f64::NAN]),
        row(minutes(6), &[1.0, 2.0]),
        row(minutes(7), &[1.0, 2.0]),
        row(0, &[1.0, 2.0]),
        row(STORED, &[1.0]),
        row(STORED, &[1.0, f64::INFINITY]),
        v1::SampleRow { layout: 1, ..row(STORED, &[1.0]) },
    ];
    let records = check(Kind::Samples, vec![message(1, TEL, 1, samples(1, rows))]);
    assert_eq!(records.samples.len(), 1);
    let rejects: Vec<(&str, u32)> =
        records.rejects.iter().map(|reject| (reject.reason.as_str(), reject.items)).collect();
    let expected = [
        ("a value is infinite", 1),
        ("it has another number of values than its layout", 1),
        ("it has no time", 1),
        ("its layout is not in the batch", 1),
        ("its time is more than 5 minutes ahead", 2),
    ];
    assert_eq!(rejects, expected);
}

#[test]
fn what_can_not_be_decoded_is_a_reject_on_every_kind_of_stream() {
    for kind in [Kind::Samples, Kind::Reports, Kind::Log] {
        let wrong_body = message(2, TEL, 1, Body::Refusal(v1::Refusal::default()));
        let records = check(kind, vec![raw(1, TEL, Bytes::from_static(b"\xff\xff")), wrong_body]);
        assert_eq!(records.rejects.len(), 2, "{kind:?}");
    }
    let of_another = message(1, "muster.v1.agent.m2.tel", 1, samples(1, vec![]));
    assert_eq!(check(Kind::Samples, vec![of_another]).rejects.len(), 1);
}

#[test]
fn the_same_metric_is_the_same_series_in_every_layout() {
    let one = samples(1, vec![]);
    let Body::SampleBatch(mut other) = samples(2, vec![]) else { unreachable!("made above") };
    other.layouts[0].metrics.reverse();
    let records = check(Kind::Samples, vec![message(1, TEL, 1, one), message(2, TEL, 1, Body::SampleBatch(other))]);
    let layouts: Vec<Vec<i64>> =
        records.layouts.values().map(|layout| layout.series.iter().map(|series| series.id).collect()).collect();
    let reversed: Vec<i64> = layouts[1].iter().rev().copied().collect();
    assert_eq!(layouts[0], reversed);
}

#[test]
fn a_turn_is_archived_and_decoded() {
    let placement = v1::MachinePlacement {
        machine: "m1".into(),
        first: 1,
        count: 2,
        resources: vec!["disk-a".into(), "disk-b".into()],
        resources_each: 1,
        ..Default::default()
    };
    let module = v1::Module { name: "high-io".into(), version: "1".into(), ..Default::default() };
    let spec = v1::StartSpec { module: Some(module), run: 1, job: 1, ..Default::default() };
    let started =
        v1::JobStarted { spec: Some(spec), selector: String::new(), placements: vec![placement], ..Default::default() };
    let change = |to: v1::ProcessState| v1::ProcessChange { id: Some(id(2)), to: to.into(), ..Default::default() };
    let changes = vec![change(v1::ProcessState::Running), change(v1::ProcessState::Finished)];
    let changed = v1::ProcessesChanged { changes };
    let message =
        log(1, vec![v1::job_event::Kind::JobStarted(started), v1::job_event::Kind::ProcessesChanged(changed)]);
    let hash = *blake3::hash(&message.payload).as_bytes();
    let records = check(Kind::Log, vec![message]);
    assert_eq!(records.archived[0].hash, hash);
    assert_eq!((records.archived[0].position.lineage.0, records.archived[0].term), (1, 3));
    let kinds: Vec<(&str, &str)> =
        records.events.iter().map(|event| (event.kind.as_str(), event.cause.as_str())).collect();
    assert_eq!(kinds, [("job_started", "command"), ("processes_changed", "command")]);
    assert_eq!(records.events[0].subject, "1");
    assert_eq!(records.events[0].detail["placements"][0]["machine"], "m1");
    let processes: Vec<_> = records.processes.values().collect();
    assert_eq!(processes[0].resources.as_deref(), Some(["disk-a".to_owned()].as_slice()));
    assert_eq!((processes[0].state, processes[1].state), (Some("starting"), Some("finished")));
    assert!(processes[1].running.is_some() && processes[1].ended.is_some() && processes[1].placed.is_some());
    assert_eq!(records.states.len(), 2);
}

#[test]
fn a_plan_is_a_job_and_each_attempt_of_its_tasks_has_processes() {
    let started =
        v1::PlanStarted { run: 1, job: 1, name: "nightly".into(), actor: "anna".into(), ..Default::default() };
    let placed = |process_attempt| v1::PlanTaskPlaced {
        run: 1,
        job: 1,
        attempt: process_attempt,
        process_attempt,
        parts: vec![v1::PartPlacement {
            placements: vec![v1::MachinePlacement { machine: "m1".into(), first: 2, count: 1, ..Default::default() }],
            module: "high-io".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let events = vec![
        v1::job_event::Kind::PlanStarted(started),
        v1::job_event::Kind::PlanTaskPlaced(placed(1)),
        v1::job_event::Kind::PlanTaskPlaced(placed(2)),
    ];
    let records = check(Kind::Log, vec![log(1, events)]);
    assert_eq!((records.jobs[0].module.as_str(), records.jobs[0].module_version.as_str()), ("plan", "nightly"));
    let attempts: Vec<(u32, u32, Option<&str>)> = records
        .processes
        .iter()
        .map(|(id, process)| (id.dpid.process.0, id.attempt.0, process.module.as_deref()))
        .collect();
    assert_eq!(attempts, [(2, 1, Some("high-io")), (2, 2, Some("high-io"))]);
    assert!(records.events.iter().all(|event| event.subject == "1"));
}

#[test]
fn tasks_of_a_plan_are_followed_to_their_ends_and_a_replaced_process_keeps_its_module() {
    let task = |name: &str| v1::PlannedTask { name: name.into(), ..Default::default() };
    let steps = vec![v1::PlannedStep { name: "s".into(), tasks: vec![task("a"), task("b")], ..Default::default() }];
    let started = v1::PlanStarted { run: 1, job: 1, steps, ..Default::default() };
    let placement = v1::MachinePlacement { machine: "m1".into(), first: 2, count: 1, ..Default::default() };
    let parts =
        vec![v1::PartPlacement { placements: vec![placement.clone()], module: "high-io".into(), ..Default::default() }];
    let placed =
        v1::PlanTaskPlaced { run: 1, job: 1, task: 1, attempt: 1, process_attempt: 1, parts, ..Default::default() };
    let moved = v1::MachinePlacement { machine: "m2".into(), ..placement };
    let replaced = v1::ProcessReplaced { id: Some(id(2)), placement: Some(moved), reason: "it refused".into() };
    let queued = v1::PlanTaskQueued { run: 1, job: 1, task: 1, attempt: 1, reason: "m2 rebooted".into() };
    let end = v1::PlanTaskEnd {
        task: 0,
        state: v1::TaskState::Failed.into(),
        verdict: v1::Verdict::Fail.into(),
        reason: "it failed".into(),
    };
    let ended = |run| v1::PlanTasksEnded { run, job: 1, ends: vec![end.clone()] };
    let events = vec![
        v1::job_event::Kind::PlanStarted(started),
        v1::job_event::Kind::PlanTaskPlaced(placed),
        v1::job_event::Kind::ProcessReplaced(replaced),
        v1::job_event::Kind::PlanTaskQueued(queued),
        v1::job_event::Kind::PlanTasksEnded(ended(1)),
        v1::job_event::Kind::PlanTasksEnded(ended(0)),
    ];
    let records = check(Kind::Log, vec![log(1, events)]);
    let modules: Vec<_> = records.processes.values().map(|process| process.module.as_deref()).collect();
    assert_eq!(modules, [Some("high-io"), Some("high-io")]);
    let told: Vec<_> = records.tasks.values().collect();
    assert_eq!(told.len(), 2, "what says no run is about no task");
    let ends =
        |task: &TaskChange| (task.name.clone(), task.state, task.attempt, task.placed.is_some(), task.ended.is_some());
    assert_eq!(ends(told[0]), (Some("a".into()), Some(TaskState::Failed), Some(1), false, true));
    assert_eq!(ends(told[1]), (Some("b".into()), Some(TaskState::Queued), Some(2), true, false));
    assert_eq!((told[0].verdict, told[1].reason.as_deref()), (Some(Verdict::Fail), Some("m2 rebooted")));
}

#[test]
fn a_turn_that_can_not_be_decoded_is_archived_all_the_same() {
    let turn =
        v1::Turn { compression: v1::Compression::Zstd.into(), block: Bytes::from_static(b"no"), ..Default::default() };
    let records = check(Kind::Log, vec![message(1, "muster.v1.log.scheduler.turn", 0, Body::Turn(turn))]);
    assert_eq!((records.archived.len(), records.rejects.len(), records.events.len()), (1, 1, 0));
}

#[test]
fn a_reject_by_the_store_keeps_the_link_of_the_chain() {
    let mut batch = Batch::new(Kind::Log, "JOBS", 0);
    batch.push(log(1, vec![v1::job_event::Kind::RunStarted(v1::RunStarted { run: 1 })]), &mut Decoder::new(Kind::Log));
    let records = batch.rejected("because").records(&Repeats::new());
    assert_eq!((records.archived.len(), records.rejects.len(), records.runs.len()), (1, 1, 0));
    assert_eq!(records.rejects[0].reason, "the store can not hold it: because");
}

#[test]
fn reports_go_to_their_tables_and_an_unknown_kind_is_a_reject() {
    let report = |kind| v1::Report { time_ns: 5, kind };
    let process = v1::ProcessReport { id: Some(id(1)), state: v1::ProcessState::Running.into(), ..Default::default() };
    let no_state = v1::ProcessReport { id: Some(id(1)), ..Default::default() };
    let gap = v1::GapReport { place: "spool".into(), from: 3, to: 5, reason: "full".into() };
    let reports = vec![
        report(Some(v1::report::Kind::Process(process))),
        report(Some(v1::report::Kind::Process(no_state))),
        report(Some(v1::report::Kind::Gap(gap))),
        report(None),
    ];
    let batch = v1::ReportBatch { machine: "m1".into(), batch: 1, reports };
    let records = check(Kind::Reports, vec![message(1, "muster.v1.agent.m1.rpt", 2, Body::ReportBatch(batch))]);
    assert_eq!((records.reports.len(), records.gaps.len(), records.rejects.len()), (1, 1, 2));
    assert_eq!(records.reports[0].said.at, PoolTime(5));
}
