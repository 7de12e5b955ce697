//! Starts that wait for a reservation.

use super::super::attached::ReservationNews;
use super::super::limits::ATTACHED_PATIENCE;
use super::*;

/// A lab of two machines whose reservation 1 is ready, with a start on each of them that waits for it. The agent of the second is not heard
/// in its new life.
fn ready() -> Lab {
    let mut lab = Lab::with(2);
    let each = Start { count: Count { number: 1, by: CountBy::Machine }, reservation: ReservationId(1), ..start(0) };
    lab.give(Input::Attach(each)).expect("it is taken");
    for id in ["node-1", "node-2"] {
        let held = Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(1) };
        lab.machines(vec![(id, held), (id, Fact::FenceReported(epoch(1)))]);
        lab.heartbeat(id, Position::default());
    }
    let again = Fact::IncarnationGranted { incarnation: Incarnation(2), boot_id: "another".into() };
    lab.machines(vec![("node-2", again)]);
    let news = ReservationNews::Ready([machine("node-1"), machine("node-2")].into());
    lab.give(Input::Reservation { id: ReservationId(1), news }).expect("news are not refused");
    lab.give(Input::Tick).expect("a tick is not refused");
    assert!(lab.state.jobs.is_empty(), "nothing is placed where no agent is heard, so it waits");
    lab
}

#[test]
fn a_start_waits_until_the_agents_of_all_of_its_machines_are_heard() {
    let mut lab = ready();
    lab.heartbeat("node-2", Position::default());
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.state.processes.len(), 2, "one on each");
}

#[test]
fn a_start_waits_no_longer_than_its_patience_for_an_agent_that_stays_silent() {
    let mut lab = ready();
    lab.wait(ATTACHED_PATIENCE);
    lab.heartbeat("node-1", Position::default());
    lab.give(Input::Tick).expect("a tick is not refused");
    assert_eq!(lab.state.jobs.len(), 1);
}
