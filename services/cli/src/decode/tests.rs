//! Decoding of messages made by hand.

use bytes::Bytes;
use muster_proto::v1::{self, envelope::Body};
use prost::Message;

use super::*;

fn process() -> v1::ProcessId {
    v1::ProcessId { run: 1, dpid: Some(v1::Dpid { job: 1, process: 100 }), attempt: 2 }
}

fn envelope(body: Body) -> Vec<u8> {
    let id = Bytes::from_static(&[1; 16]);
    let source = "scheduler/a".into();
    v1::Envelope { id, source, time_ns: 5, lineage: 1, sequence: 7, body: Some(body), ..Default::default() }
        .encode_to_vec()
}

fn turn() -> v1::Turn {
    let change = v1::ProcessChange {
        id: Some(process()),
        from: v1::ProcessState::Starting.into(),
        to: v1::ProcessState::Running.into(),
        machine: "node-1".into(),
        ..Default::default()
    };
    let changed = v1::ProcessesChanged { changes: vec![change] };
    let event = v1::JobEvent { kind: Some(v1::job_event::Kind::ProcessesChanged(changed)) };
    let followed = v1::Followed { stream: "REPORTS".into(), position: Some(v1::Position { lineage: 0, sequence: 9 }) };
    let entry = |cause, events| v1::Entry {
        cause: Some(v1::Cause { kind: Some(cause) }),
        events,
        time_ns: 1_763_640_000_000_000_000,
        ..Default::default()
    };
    let leader = v1::LeaderStarted { term: 3, instance: "a".into() };
    let block = v1::TurnBlock {
        entries: vec![
            entry(v1::cause::Kind::LeaderStarted(leader), vec![]),
            entry(v1::cause::Kind::Followed(followed), vec![event.encode_to_vec().into()]),
        ],
    };
    v1::Turn {
        previous_hash: Bytes::from_static(&[0xab; 32]),
        event_type: "muster.v1.JobEvent".into(),
        compression: v1::Compression::Zstd.into(),
        block: zstd::bulk::compress(&block.encode_to_vec(), 3).unwrap().into(),
    }
}

#[test]
fn ids_are_written_as_people_know_them() {
    let report = v1::ProcessReport { id: Some(process()), state: v1::ProcessState::Dead.into(), ..Default::default() };
    let report = v1::Report { time_ns: 4, kind: Some(v1::report::Kind::Process(report)) };
    let batch = v1::ReportBatch { machine: "node-1".into(), batch: 1, reports: vec![report] };
    let value = envelope_json(&envelope(Body::ReportBatch(batch))).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn a_turn_is_unfolded() {
    let value = envelope_json(&envelope(Body::Turn(turn()))).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn every_event_of_a_turn_is_one_line() {
    let lines = lines_of("JOBS", 7, &envelope(Body::Turn(turn()))).unwrap();
    let text: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn a_machine_stands_beside_the_kind_of_its_event() {
    let added = v1::MachineAdded { protect: vec!["*".into()], tags: vec![] };
    let event = v1::MachineEvent { machine: "node-1".into(), kind: Some(v1::machine_event::Kind::Added(added)) };
    let cause = v1::Cause { kind: Some(v1::cause::Kind::Command(Bytes::from_static(&[7; 16]))) };
    let entry = v1::Entry {
        cause: Some(cause),
        actor: "user:anna".into(),
        events: vec![event.encode_to_vec().into()],
        ..Default::default()
    };
    let block = v1::TurnBlock { entries: vec![entry] }.encode_to_vec().into();
    let turn = v1::Turn { event_type: "muster.v1.MachineEvent".into(), block, ..Default::default() };
    let lines = lines_of("MACHINES", 1, &envelope(Body::Turn(turn))).unwrap();
    assert_eq!((lines[0].kind.as_str(), lines[0].actor.as_str(), lines[0].cause), ("added", "user:anna", "command"));
    assert_eq!(lines[0].about["machine"], "node-1");
    assert_eq!(lines[0].fields["protect"][0], "*");
}

#[test]
fn bytes_that_are_no_message_are_refused_with_a_reason() {
    for bad in [b"\xff\xff".as_slice(), b"hello", b""] {
        assert!(envelope_json(bad).is_err() && lines_of("JOBS", 1, bad).is_err(), "{bad:?}");
    }
    let damaged = v1::Turn { block: Bytes::from_static(b"\x01"), compression: 1, ..turn() };
    assert!(envelope_json(&envelope(Body::Turn(damaged))).is_err());
}

#[test]
fn types_of_all_events_are_in_the_schema() {
    for kind in ["muster.v1.JobEvent", "muster.v1.MachineEvent", "muster.v1.ReservationEvent", "muster.v1.Entry"] {
        assert!(message(kind, &[]).is_ok(), "{kind}");
    }
}
