//! What MACHINES does to processes: draining, protection, fences, boots, silence.

use super::super::job::StopReason;
use super::super::limits::{FENCE_PATIENCE, LOST_AFTER, TICK_CHANGES_MAX};
use super::*;

fn reason(lab: &Lab, process: u32) -> Option<StopReason> {
    lab.process(1, process).stop.as_ref().map(|stop| stop.reason)
}

#[test]
fn draining_stops_what_runs_there_and_nothing_else() {
    let mut lab = Lab::with(2);
    lab.start(4);
    lab.machines(vec![("node-2", Fact::DrainingStarted)]);
    let stopped: Vec<u32> = (1..=4).filter(|process| reason(&lab, *process) == Some(StopReason::Draining)).collect();
    let there: Vec<u32> = (1..=4).filter(|process| lab.process(1, *process).machine == machine("node-2")).collect();
    assert_eq!(stopped, there);
    assert!(!lab.state.jobs[&JobNumber(1)].stopping);
    lab.machines(vec![("node-2", Fact::TagsSet(BTreeSet::new()))]);
    assert_eq!(lab.last.len(), 1, "it is told once");
}

#[test]
fn what_uses_a_resource_that_becomes_protected_is_stopped() {
    let mut lab = Lab::with(1);
    lab.start(2);
    let victim =
        (1..=2).find(|process| lab.process(1, *process).resources == [resource("disk-0")]).expect("one is there");
    let protected =
        Fact::ProtectionChanged { protected: ["disk-0".to_owned()].into(), released: BTreeSet::new(), machine: false };
    lab.machines(vec![("node-1", protected)]);
    assert_eq!(reason(&lab, victim), Some(StopReason::Protected));
    assert_eq!(reason(&lab, 3 - victim), None);
    lab.start(2);
    assert!(
        (1..=2).all(|process| lab.process(2, process).resources == [resource("disk-1")]),
        "nothing more goes there"
    );
}

#[test]
fn what_uses_a_disk_that_is_prepared_is_stopped_and_nothing_goes_there_until_that_has_ended() {
    let mut lab = Lab::with(1);
    lab.start(2);
    let victim =
        (1..=2).find(|process| lab.process(1, *process).resources == [resource("disk-0")]).expect("one is there");
    lab.report(1, victim, ProcessState::Running);
    lab.machines(vec![("node-1", Fact::StorageOrdered(resource("disk-0")))]);
    assert_eq!((reason(&lab, victim), reason(&lab, 3 - victim)), (Some(StopReason::Prepared), None));
    lab.machines(vec![("node-1", Fact::TagsSet(BTreeSet::new()))]);
    assert_eq!(lab.last.len(), 1, "it is told once");
    let report = lab.report_of(1, victim, ProcessState::Finished);
    lab.report_batch(&machine("node-1"), vec![Report::Process(report)]);
    assert!(lab.process(1, victim).reason.starts_with("prepared"), "{}", lab.process(1, victim).reason);
    lab.start(2);
    assert!((1..=2).all(|process| lab.process(2, process).resources == [resource("disk-1")]), "nothing goes there");
    lab.machines(vec![("node-1", Fact::StorageEnded)]);
    lab.start(2);
    assert!((1..=2).any(|process| lab.process(3, process).resources == [resource("disk-0")]), "it is used again");
}

#[test]
fn what_runs_on_what_becomes_protected_finishes_with_that_reason() {
    let protected = || Fact::ProtectionChanged {
        protected: ["disk-*".to_owned()].into(),
        released: BTreeSet::new(),
        machine: false,
    };
    for (said, kept) in [("stopped", "protected: stopped"), ("protected", "protected"), ("", "protected")] {
        let mut lab = Lab::with(1);
        lab.start(1);
        lab.report(1, 1, ProcessState::Running);
        lab.machines(vec![("node-1", protected())]);
        let report = ProcessReport { reason: said.into(), ..lab.report_of(1, 1, ProcessState::Finished) };
        lab.report_batch(&machine("node-1"), vec![Report::Process(report)]);
        let process = lab.process(1, 1);
        assert_eq!((process.state, process.reason.as_str()), (ProcessState::Finished, kept));
    }
}

#[test]
fn a_signature_protects_until_a_person_releases_it() {
    let mut lab = Lab::with(1);
    let Fact::InventoryChanged { resources, attributes, .. } = inventory(4, 2) else { unreachable!() };
    let signed = BTreeSet::from([resource("disk-0"), resource("disk-1")]);
    lab.machines(vec![("node-1", Fact::InventoryChanged { resources, signed, attributes })]);
    assert!(lab.start_as(&start(1)).is_err());
    let released =
        Fact::ProtectionChanged { protected: BTreeSet::new(), released: ["disk-1".to_owned()].into(), machine: false };
    lab.machines(vec![("node-1", released)]);
    lab.start(1);
    assert_eq!(lab.process(1, 1).resources, [resource("disk-1")]);
}

#[test]
fn a_fence_in_order_loses_only_what_had_no_last_word() {
    let mut lab = Lab::with(1);
    lab.start(3);
    lab.machines(vec![("node-1", Fact::DrainingStarted)]);
    lab.machines(vec![("node-1", Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(7) })]);
    let last_word = Report::Process(lab.report_of(1, 1, ProcessState::Finished));
    lab.report_batch(&machine("node-1"), vec![last_word, Report::Fenced(epoch(1))]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Finished);
    assert_eq!((lab.process(1, 2).state, lab.process(1, 2).verdict), (ProcessState::Lost, Verdict::Error));
    assert!(lab.state.jobs[&JobNumber(1)].ended != PoolTime::NEVER);
}

#[test]
fn a_fence_without_reports_loses_after_its_patience() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.machines(vec![
        ("node-1", Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(7) }),
        ("node-1", Fact::FenceReported(epoch(1))),
    ]);
    lab.wait(FENCE_PATIENCE - Duration::from_millis(1));
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.process(1, 1).state, ProcessState::Starting);
    lab.wait(Duration::from_millis(1));
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
}

#[test]
fn an_unannounced_boot_loses_everything_but_what_is_away() {
    let mut lab = Lab::with(1);
    lab.give(Input::AddModule(Box::new(Module { reboots: true, ..high_io() }))).expect("it is a good module");
    lab.start(2);
    lab.report(1, 1, ProcessState::Running);
    away::goes(&mut lab, 2);
    lab.machines(vec![("node-1", Fact::PhaseChanged(Some(Phase::Verifying)))]);
    lab.machines(vec![
        ("node-1", Fact::BootObserved("boot-2".into())),
        ("node-1", Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-2".into() }),
    ]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
    assert_eq!(lab.process(1, 1).reason, "its machine rebooted unannounced (boot boot-2)");
    assert_eq!(lab.process(1, 2).state, ProcessState::Away);
}

#[test]
fn a_new_incarnation_in_the_same_boot_ends_nothing() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.report(1, 1, ProcessState::Running);
    let granted = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "boot-of-node-1".into() };
    lab.machines(vec![("node-1", granted)]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Running);
}

#[test]
fn a_machine_that_is_down_for_five_minutes_loses_its_processes() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.machines(vec![("node-1", Fact::HealthChanged { down: true })]);
    lab.wait(LOST_AFTER / 2);
    lab.machines(vec![("node-1", Fact::HealthChanged { down: false })]);
    lab.machines(vec![("node-1", Fact::HealthChanged { down: true })]);
    lab.wait(LOST_AFTER - Duration::from_millis(1));
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.process(1, 1).state, ProcessState::Starting, "the time begins again");
    lab.wait(Duration::from_millis(1));
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
}

#[test]
fn more_lost_processes_than_fit_into_a_message_are_lost_in_turns() {
    let mut lab = Lab::with(1);
    lab.start(TICK_CHANGES_MAX as u32 + 1);
    lab.machines(vec![("node-1", Fact::HealthChanged { down: true })]);
    lab.wait(LOST_AFTER);
    let lost = |lab: &Lab| lab.state.processes.values().filter(|process| process.state == ProcessState::Lost).count();
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lost(&lab), TICK_CHANGES_MAX);
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lost(&lab), TICK_CHANGES_MAX + 1);
}

#[test]
fn a_removed_machine_loses_its_processes_and_may_come_back() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.machines(vec![("node-1", Fact::Removed)]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
    assert!(lab.start_as(&start(1)).is_err());
    lab.add_machine("node-1", 4, 2);
    lab.start(1);
}

#[test]
fn load_numbers_move_what_comes_after() {
    let mut lab = Lab::with(2);
    let number = |load| super::super::event::LoadNumber { kind: ResourceKind::Disk, device_type: String::new(), load };
    let input = Input::Machines { position: Position::new(1, 99), facts: vec![MachineFact::LoadNumber(number(3))] };
    lab.give(input).expect("it is a fact");
    assert!(lab.state.machines.values().all(|machine| {
        machine.places.iter().filter(|place| place.kind == ResourceKind::Disk).all(|place| place.load == 3)
    }));
}
