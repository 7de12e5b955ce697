//! Processes that have clients: that they are over is said once, and soon.

use std::time::Duration;

use muster_model::{Dpid, GroupMaster, JobNumber, ProcessNumber, ProcessState, ReservationId, RunId};

use super::super::attached::ReservationNews;
use super::super::facts::Fact;
use super::super::limits::{LOST_AFTER, MASTER_LOST_AFTER};
use super::super::{Event, Input};
use super::Lab;

const CLIENT: ReservationId = ReservationId(7);

fn master(process: u32) -> Dpid {
    Dpid { job: JobNumber(1), process: ProcessNumber(process) }
}

fn client_of(lab: &mut Lab, id: ReservationId, run: u32, process: u32) {
    let news = ReservationNews::ClientOf(RunId(run), master(process));
    lab.give(Input::Reservation { id, news }).expect("news are not refused");
}

/// The masters of which the last tick said that they are over, and why.
fn ended(lab: &mut Lab) -> Vec<(GroupMaster, String)> {
    lab.give(Input::Tick).expect("a tick is not refused");
    let over = |event: &Event| match event {
        Event::GroupEnded { master, reason } => Some((*master, reason.clone())),
        _ => None,
    };
    lab.last.iter().filter_map(over).collect()
}

#[test]
fn the_end_of_a_process_with_clients_is_said_once() {
    for end in [ProcessState::Finished, ProcessState::Dead] {
        let mut lab = Lab::with(1);
        lab.start(2);
        lab.report(1, 1, ProcessState::Running);
        client_of(&mut lab, CLIENT, 1, 1);
        assert_eq!(ended(&mut lab), []);
        lab.report(1, 1, end);
        let over = ended(&mut lab);
        assert_eq!(over.len(), 1, "{end:?}");
        assert_eq!(over[0].0, GroupMaster::Process(RunId(1), master(1)));
        assert!(over[0].1.contains(end.as_str()), "{over:?}");
        assert_eq!(ended(&mut lab), [], "once");
        lab.give(Input::Reservation { id: CLIENT, news: ReservationNews::Ended }).expect("news are not refused");
        assert!(lab.state.groups.is_empty());
    }
}

#[test]
fn who_asks_in_the_name_of_what_is_over_or_unknown_is_told_so() {
    let mut lab = Lab::with(1);
    lab.start(1);
    lab.report(1, 1, ProcessState::Running);
    client_of(&mut lab, CLIENT, 1, 1);
    lab.report(1, 1, ProcessState::Dead);
    assert_eq!(ended(&mut lab).len(), 1);
    client_of(&mut lab, ReservationId(8), 1, 1);
    assert_eq!(ended(&mut lab).len(), 1, "the late client is to end too");
    client_of(&mut lab, ReservationId(9), 1, 99);
    client_of(&mut lab, ReservationId(10), 3, 1);
    assert_eq!(ended(&mut lab).len(), 2, "an unknown process, and one of another run");
}

#[test]
fn a_process_with_clients_on_a_machine_that_is_down_is_lost_soon_and_others_are_not() {
    let mut lab = Lab::with(1);
    lab.start(2);
    lab.report(1, 1, ProcessState::Running);
    lab.report(1, 2, ProcessState::Running);
    client_of(&mut lab, CLIENT, 1, 1);
    lab.machines(vec![("node-1", Fact::HealthChanged { down: true })]);
    lab.wait(MASTER_LOST_AFTER - Duration::from_millis(1));
    assert_eq!(ended(&mut lab), []);
    lab.wait(Duration::from_millis(1));
    let over = [ended(&mut lab), ended(&mut lab)].concat();
    assert_eq!(over.len(), 1);
    assert_eq!(lab.process(1, 1).state, ProcessState::Lost);
    assert_eq!(lab.process(1, 2).state, ProcessState::Running);
    lab.wait(LOST_AFTER - MASTER_LOST_AFTER);
    ended(&mut lab);
    assert_eq!(lab.process(1, 2).state, ProcessState::Lost);
}
