//! What the wire says, in the core's words. Events and snapshots are read back after every step of the core's tests.

use muster_bus::StoredMessage;
use muster_model::{Attempt, Dpid, JobNumber, PoolTime, Position, ProcessId, ProcessNumber, RunId};
use muster_proto::v1::{self, envelope::Body, machine_event::Kind};
use prost::Message;

use super::{agents, machines};
use crate::core::Input;
use crate::core::facts::{Fact, MachineFact};
use crate::core::input::{Desired, Report};

fn stored(subject: &str, envelope: &v1::Envelope) -> StoredMessage {
    StoredMessage {
        sequence: 7,
        stored: PoolTime(1),
        subject: subject.into(),
        payload: envelope.encode_to_vec().into(),
        pending: 0,
    }
}

fn turn(event_type: &str, events: Vec<v1::MachineEvent>) -> v1::Envelope {
    let events = events.into_iter().map(|event| event.encode_to_vec().into()).collect();
    let block = v1::TurnBlock { entries: vec![v1::Entry { events, ..Default::default() }] };
    let turn = v1::Turn {
        previous_hash: vec![0; 32].into(),
        event_type: event_type.into(),
        block: block.encode_to_vec().into(),
        ..Default::default()
    };
    v1::Envelope { lineage: 2, sequence: 7, body: Some(Body::Turn(turn)), ..Default::default() }
}

fn event(kind: Kind) -> v1::MachineEvent {
    v1::MachineEvent { machine: "node-1".into(), kind: Some(kind) }
}

#[test]
fn a_message_of_machines_is_one_input_at_its_position() {
    let resource = |id: &str, kind: v1::ResourceKind, signatures: &[&str]| v1::Resource {
        id: id.into(),
        kind: kind.into(),
        signatures: signatures.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let inventory = v1::Inventory {
        architecture: "x86_64".into(),
        memory_bytes: 1 << 30,
        resources: vec![
            resource("disk-b", v1::ResourceKind::Disk, &["ext4"]),
            resource("cpu0", v1::ResourceKind::Cpu, &[]),
            resource("what", v1::ResourceKind::Unspecified, &[]),
        ],
        ..Default::default()
    };
    let events = vec![
        event(Kind::InventoryChanged(v1::InventoryChanged { inventory: Some(inventory) })),
        event(Kind::ProtectionAcknowledged(v1::ProtectionAcknowledged::default())),
        v1::MachineEvent { machine: "node-1".into(), kind: None },
    ];
    let inputs = machines::take(&stored("x", &turn("muster.v1.MachineEvent", events))).expect("it is a turn");
    let [Input::Machines { position, facts }] = inputs.as_slice() else { panic!("{inputs:?}") };
    assert_eq!((*position, facts.len()), (Position::new(2, 7), 1), "what is newer or does not matter is left out");
    let MachineFact::Of(_, Fact::InventoryChanged { resources, signed, attributes }) = &facts[0] else {
        panic!("{facts:?}")
    };
    assert_eq!(resources.iter().map(|resource| resource.id.as_str()).collect::<Vec<_>>(), ["cpu0", "disk-b"]);
    assert_eq!(signed.iter().map(muster_model::ResourceId::as_str).collect::<Vec<_>>(), ["disk-b"]);
    let value = |key: &str| attributes[key].as_str();
    assert_eq!((value("cpus"), value("disks"), value("memory"), value("arch")), ("1", "1", "1073741824", "x86_64"));
}

#[test]
fn a_message_about_many_machines_is_decided_machine_by_machine() {
    let set = |flag: v1::MachineFlag| Kind::FlagChanged(v1::FlagChanged { flag: flag.into(), value: true });
    let event = |machine: &str, flag| v1::MachineEvent { machine: machine.into(), kind: Some(set(flag)) };
    let events = vec![
        event("node-1", v1::MachineFlag::Active),
        event("node-1", v1::MachineFlag::Maintenance),
        event("node-2", v1::MachineFlag::Active),
    ];
    let inputs = machines::take(&stored("x", &turn("muster.v1.MachineEvent", events))).expect("it is a turn");
    let facts = inputs.iter().map(|input| match input {
        Input::Machines { position, facts } => (*position, facts.len()),
        other => panic!("{other:?}"),
    });
    assert_eq!(facts.collect::<Vec<_>>(), [(Position::new(2, 7), 2), (Position::new(2, 7), 1)]);
}

#[test]
fn a_message_that_is_no_turn_of_machines_is_rejected() {
    assert!(machines::take(&stored("x", &turn("muster.v1.JobEvent", Vec::new()))).is_err());
    assert!(machines::take(&stored("x", &v1::Envelope::default())).is_err());
}

#[test]
fn a_batch_speaks_for_its_own_machine_alone() {
    let process = v1::ProcessReport {
        id: Some(v1::ProcessId { run: 1, dpid: Some(v1::Dpid { job: 1, process: 2 }), attempt: 1 }),
        state: v1::ProcessState::Running.into(),
        reason: "ä".repeat(2_000),
        ..Default::default()
    };
    let reports = vec![
        v1::Report { time_ns: 1, kind: Some(v1::report::Kind::Process(process)) },
        v1::Report { time_ns: 1, kind: Some(v1::report::Kind::Gap(v1::GapReport::default())) },
    ];
    let batch = v1::ReportBatch { machine: "node-1".into(), batch: 4, reports };
    let envelope = v1::Envelope { incarnation: 3, body: Some(Body::ReportBatch(batch)), ..Default::default() };
    let inputs = agents::take_reports(&stored("muster.v1.agent.node-1.rpt", &envelope)).expect("it is a batch");
    let [Input::Reports(reports)] = inputs.as_slice() else { panic!("{inputs:?}") };
    assert_eq!((reports.incarnation.0, reports.batch, reports.reports.len()), (3, 4, 1));
    let Report::Process(report) = &reports.reports[0] else { panic!("{reports:?}") };
    assert_eq!(report.reason.len(), 1_024, "a long reason is cut between characters");
    assert!(agents::take_reports(&stored("muster.v1.agent.node-2.rpt", &envelope)).is_err());
}

#[test]
fn a_stray_is_told_to_stop_by_its_identity() {
    let dpid = Dpid { job: JobNumber(4), process: ProcessNumber(5) };
    let id = ProcessId { run: RunId(3), dpid, attempt: Attempt(2) };
    let desired = Desired { strays: vec![id], forget: vec![id], ..Desired::default() };
    let update = agents::update_jobs(Position::new(1, 1), Position::new(1, 2), desired);
    let orders = &update.jobs[0];
    let spec = orders.spec.as_ref().expect("it names its job");
    assert_eq!((spec.run, spec.job), (3, 4));
    let order = &orders.processes[0];
    assert_eq!((order.process, order.attempt, order.stop), (5, 2, true));
    assert_eq!(update.forget, [id.into()]);
}
