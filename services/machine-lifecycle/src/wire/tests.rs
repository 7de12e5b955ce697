use std::collections::BTreeSet;

use muster_bus::StoredMessage;
use muster_model::{Epoch, KernelName, MachineId, PoolTime, ReservationId};
use muster_proto::v1::{self, envelope::Body, reservation_event::Kind};
use prost::Message;

use super::{command_from_wire, hello_from_wire, take_report, take_reservations};
use crate::core::Input;

fn message(subject: &str, body: Body) -> StoredMessage {
    let envelope = v1::Envelope { lineage: 1, sequence: 9, body: Some(body), ..Default::default() };
    StoredMessage {
        sequence: 9,
        stored: PoolTime(1),
        subject: subject.into(),
        payload: envelope.encode_to_vec().into(),
        pending: 0,
    }
}

fn turn(kinds: Vec<Kind>) -> StoredMessage {
    let event = |kind| v1::ReservationEvent { reservation: 5, kind: Some(kind) }.encode_to_vec().into();
    let entry = v1::Entry { events: kinds.into_iter().map(event).collect(), ..Default::default() };
    let block = v1::TurnBlock { entries: vec![entry] }.encode_to_vec().into();
    let turn = v1::Turn { previous_hash: vec![0; 32].into(), block, ..Default::default() };
    message("muster.v1.log.reservation.turn", Body::Turn(turn))
}

#[test]
fn a_turn_of_reservations_becomes_inputs_in_order() {
    let granted = v1::ReservationGranted {
        machines: vec!["b".into(), "a".into()],
        deadline_ns: 70,
        drain_ns: 3,
        user: "user:anna".into(),
        kernel: "k".into(),
        nonce: "feed".into(),
        ssh_key: "ssh-ed25519 AAAA".into(),
        image: "clean".into(),
    };
    let inputs = take_reservations(&turn(vec![
        Kind::Queued(v1::ReservationQueued::default()),
        Kind::Granted(granted),
        Kind::Extended(v1::ReservationExtended { deadline_ns: 90 }),
        Kind::MachineDropped(v1::ReservationMachineDropped { machine: "b".into(), reason: "offline".into() }),
        Kind::Ended(v1::ReservationEnded::default()),
    ]))
    .unwrap();
    let [
        Input::Granted(grant),
        Input::DeadlineMoved { deadline, .. },
        Input::Dropped { machine, .. },
        Input::Ended { reservation },
    ] = &inputs[..]
    else {
        panic!("{inputs:?}")
    };
    let machines: BTreeSet<_> = ["a", "b"].map(|name| MachineId::new(name).unwrap()).into();
    assert_eq!(machine.as_str(), "b");
    assert_eq!(grant.kernel, Some((KernelName::new("k").unwrap(), "feed".into())));
    assert_eq!((grant.reservation, &grant.machines, grant.deadline), (ReservationId(5), &machines, PoolTime(70)));
    assert_eq!((*deadline, *reservation), (PoolTime(90), ReservationId(5)));
}

#[test]
fn a_turn_that_names_an_impossible_machine_is_rejected_with_the_reason() {
    let granted = v1::ReservationGranted { machines: vec!["A machine".into()], ..Default::default() };
    let error = take_reservations(&turn(vec![Kind::Granted(granted)])).unwrap_err();
    assert!(error.contains("ReservationGranted.machines"), "{error}");
    assert!(take_reservations(&message("x", Body::Heartbeat(v1::Heartbeat::default()))).is_err());
}

#[test]
fn only_fences_of_the_machine_itself_are_taken_from_reports() {
    let reports = vec![
        v1::Report { time_ns: 1, kind: Some(v1::report::Kind::Error(v1::ErrorReport::default())) },
        v1::Report { time_ns: 2, kind: Some(v1::report::Kind::Fence(v1::FenceDone { epoch: 4 })) },
    ];
    let batch = |machine: &str| {
        let batch = v1::ReportBatch { machine: machine.into(), batch: 1, reports: reports.clone() };
        message("muster.v1.agent.node-1.rpt", Body::ReportBatch(batch))
    };
    let inputs = take_report(&batch("node-1")).unwrap();
    assert!(matches!(&inputs[..], [Input::FenceDone { epoch: Epoch(4), .. }]), "{inputs:?}");
    assert!(take_report(&batch("node-2")).unwrap_err().contains("node-2"));
}

#[test]
fn a_hello_for_another_machine_or_with_an_impossible_resource_is_refused() {
    let subject = MachineId::new("node-1").unwrap();
    let hello = |machine: &str, resource: &str| {
        let found = v1::Resource { id: resource.into(), kind: v1::ResourceKind::Disk.into(), ..Default::default() };
        let inventory = v1::Inventory { resources: vec![found.clone(), found], ..Default::default() };
        v1::Hello { machine: machine.into(), inventory: Some(inventory), ..Default::default() }
    };
    for (machine, resource, part) in
        [("node-2", "disk-a", "its body node-2"), ("node-1", "disk a", "Resource.id"), ("node-1", "disk-a", "twice")]
    {
        let error = hello_from_wire(&subject, hello(machine, resource)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_unknown_flag_or_kind_is_refused() {
    use v1::machine_command::Kind;
    let number = v1::LoadNumber { kind: 99, device_type: String::new(), load: 1 };
    for kind in [
        Kind::SetFlag(v1::SetFlag { flag: 99, ..Default::default() }),
        Kind::SetFlag(v1::SetFlag::default()),
        Kind::SetLoadNumber(v1::SetLoadNumber { number: Some(number), numbers: Vec::new() }),
        Kind::SetLoadNumber(v1::SetLoadNumber::default()),
    ] {
        let refusal = command_from_wire(v1::MachineCommand { kind: Some(kind) }, "user:anna", "ab").unwrap_err();
        assert_eq!(refusal.code, muster_model::RefusalCode::Invalid);
    }
}
