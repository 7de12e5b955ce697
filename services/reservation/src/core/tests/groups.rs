//! Groups: clients end with their master, are replaced where they will not come back, and are nobody else's to change.

use muster_model::{Dpid, GroupMaster, JobNumber, ProcessNumber, RunId};

use super::*;
use crate::core::limits::{CLIENT_PATIENCE, MASTER_SILENT_AFTER};

fn process() -> GroupMaster {
    GroupMaster::Process(RunId(1), Dpid { job: JobNumber(1), process: ProcessNumber(1) })
}

fn asked(count: u32) -> Reserve {
    Reserve { count, duration: HOUR, ..Reserve::default() }
}

impl Pool {
    fn for_master(&mut self, master: GroupMaster, command: Command) -> Result<Record, Refusal> {
        self.command("user:anna", Command::OnBehalf { master, command: Box::new(command) })
    }

    fn clients(&mut self, master: GroupMaster, count: u32) -> ReservationId {
        let record = self.for_master(master, Command::Reserve(asked(count))).expect("there are machines");
        record.reservation.id
    }

    fn hold(&mut self, id: ReservationId) {
        let granted: Vec<usize> = self.machines_of(id);
        granted.into_iter().for_each(|index| self.move_to(index, Some(id)));
        self.wait(Duration::from_millis(200));
    }

    fn machines_of(&self, id: ReservationId) -> Vec<usize> {
        let reservation = self.state.reservation(id).expect("it was queued");
        let machines = reservation.machines().into_iter().flatten();
        machines.map(|machine| machine.as_str()[1..].parse().expect("m and a number")).collect()
    }
}

#[test]
fn clients_end_when_the_scheduler_says_that_their_process_is_over() {
    let mut pool = Pool::of(4);
    let (first, second) = (pool.clients(process(), 1), pool.clients(process(), 2));
    let other = pool.reserve("", 1).unwrap();
    pool.hold(first);
    let over = Input::GroupEnded { master: process(), reason: "its master is dead".into() };
    pool.decide(&over).unwrap();
    assert_eq!((pool.ended(first), pool.ended(second)), (Some(End::MasterEnded), Some(End::MasterEnded)));
    assert_eq!(pool.ended(other), None, "who is nobody's client stays");
    pool.decide(&over).unwrap();
    assert_eq!(pool.state, pool.folded_again());
}

#[test]
fn clients_of_a_reservation_end_with_it_and_are_not_asked_for_before_it_is_ready() {
    let mut pool = Pool::of(4);
    let head = pool.reserve("", 1).unwrap();
    let master = GroupMaster::Reservation(head);
    let early = pool.for_master(master, Command::Reserve(asked(1))).unwrap_err();
    assert!(early.why.contains("not ready yet"), "{early}");
    pool.hold(head);
    let client = pool.clients(master, 2);
    let nested = pool.for_master(GroupMaster::Reservation(client), Command::Reserve(asked(1))).unwrap_err();
    assert!(nested.why.contains("is a client itself"), "{nested}");
    pool.hold(client);
    assert!(is_ready(pool.stage(client)));
    pool.check_in(head).unwrap();
    pool.wait(Duration::from_millis(200));
    assert_eq!(pool.ended(client), Some(End::MasterEnded));
}

#[test]
fn a_master_of_which_nothing_is_heard_is_over_with_its_clients() {
    let mut pool = Pool::of(4);
    let head = pool.reserve("", 1).unwrap();
    pool.hold(head);
    let (own, lonely) = (pool.machines_of(head)[0], pool.reserve("", 1).unwrap());
    pool.hold(lonely);
    let client = pool.clients(GroupMaster::Reservation(head), 1);
    pool.hold(client);
    let bystander = pool.machines_of(lonely)[0];
    pool.hear(own, News::Down(true));
    pool.hear(bystander, News::Down(true));
    pool.wait(MASTER_SILENT_AFTER - Duration::from_millis(1));
    assert_eq!(pool.ended(head), None);
    pool.wait(Duration::from_millis(1));
    assert_eq!((pool.ended(head), pool.ended(client)), (Some(End::Failed), Some(End::MasterEnded)));
    assert_eq!(pool.ended(lonely), None, "without clients nobody suffers from its silence");
}

#[test]
fn a_master_that_is_booted_or_comes_back_is_not_silent() {
    let mut pool = Pool::of(2);
    let head = pool.reserve("", 1).unwrap();
    pool.hold(head);
    let (own, client) = (pool.machines_of(head)[0], pool.clients(GroupMaster::Reservation(head), 1));
    pool.hear(own, News::Phase { ready: false, offline: false });
    pool.hear(own, News::Down(true));
    pool.wait(2 * MASTER_SILENT_AFTER);
    pool.hear(own, News::Phase { ready: true, offline: false });
    pool.hear(own, News::Down(false));
    pool.hear(own, News::Down(true));
    pool.wait(MASTER_SILENT_AFTER / 2);
    assert_eq!((pool.ended(head), pool.ended(client)), (None, None));
}

#[test]
fn a_dead_client_is_offered_again_when_it_recovers_and_replaced_when_not() {
    let mut pool = Pool::of(3);
    let client = pool.clients(process(), 2);
    pool.hold(client);
    assert!(is_ready(pool.stage(client)));
    let (first, second) = (pool.machines_of(client)[0], pool.machines_of(client)[1]);
    pool.hear(first, News::Down(true));
    pool.wait(CLIENT_PATIENCE / 2);
    pool.hear(first, News::Down(false));
    assert_eq!(pool.machines_of(client), [first, second], "it recovered");
    pool.hear(first, News::Down(true));
    pool.wait(CLIENT_PATIENCE);
    pool.wait(Duration::from_millis(200));
    let machines = pool.machines_of(client);
    assert!(machines.len() == 2 && !machines.contains(&first), "another one takes its place: {machines:?}");
    assert!(is_ready(pool.stage(client)), "the group goes on");
    pool.hear(second, News::Quarantined);
    pool.wait(Duration::from_millis(200));
    assert_eq!(pool.machines_of(client).len(), 1, "there is no other");
    assert_eq!(pool.state, pool.folded_again());
}

#[test]
fn one_machine_is_dismissed_early_and_the_last_one_ends_it() {
    let mut pool = Pool::of(3);
    let client = pool.clients(process(), 2);
    pool.hold(client);
    let [first, second] = pool.machines_of(client)[..] else { panic!("two were asked for") };
    let dismiss = |index| Command::Dismiss { id: ReservationId(0), machine: machine(index) };
    let record = pool.for_master(process(), dismiss(first)).unwrap();
    assert_eq!(record.reservation.request.count, 1, "it is not replaced");
    pool.move_to(first, None);
    pool.wait(Duration::from_secs(1));
    assert_eq!(pool.machines_of(client), [second]);
    assert_eq!(pool.state.holder(&machine(first)), None, "it is the pool's again");
    pool.for_master(process(), dismiss(second)).unwrap();
    assert_eq!(pool.ended(client), Some(End::Released));
    let gone = pool.for_master(process(), dismiss(second)).unwrap_err();
    assert!(gone.why.contains("is no client of process 1/00010001"), "{gone}");
}

#[test]
fn a_master_changes_nothing_but_its_clients() {
    let mut pool = Pool::of(3);
    let other = pool.reserve("", 1).unwrap();
    for command in [
        Command::CheckIn { id: other },
        Command::Extend { id: other, to: Extension::By(HOUR) },
        Command::Dismiss { id: other, machine: machine(0) },
    ] {
        let refused = pool.for_master(process(), command).unwrap_err();
        assert!(refused.why.contains("is no client of"), "{refused}");
    }
    let client = pool.clients(process(), 1);
    let extended = pool.for_master(process(), Command::Extend { id: client, to: Extension::By(HOUR) }).unwrap();
    assert_eq!(extended.reservation.request.duration, 2 * HOUR);
}

#[test]
fn one_by_one_they_are_used_as_they_become_ready() {
    let mut pool = Pool::of(2);
    let reserve = Command::Reserve(Reserve { each: true, ..asked(3) });
    let command = Command::OnBehalf { master: process(), command: Box::new(reserve) };
    pool.decide(&Input::Command { user: "user:anna".into(), command: Box::new(command) }).unwrap();
    pool.wait(Duration::from_millis(200));
    let states: Vec<_> = pool.state.reservations().map(|one| is_preparing(&one.stage)).collect();
    assert_eq!(states, [true, true, false], "two are served with what there is");
    let wrong = Reserve { each: true, minimum: 1, ..asked(2) };
    assert!(pool.command("user:anna", Command::Reserve(wrong)).is_err());
}

#[test]
fn what_a_manifest_asks_for_is_queued_for_each_process_and_ends_with_it() {
    let mut pool = Pool::of(3);
    let second = GroupMaster::Process(RunId(1), Dpid { job: JobNumber(1), process: ProcessNumber(2) });
    let masters = vec![(process(), String::new()), (second, String::new())];
    let wanted = ClientsWanted { masters, user: "user:anna".into(), count: 2 };
    pool.decide(&Input::ClientsWanted(wanted)).unwrap();
    pool.wait(Duration::from_millis(200));
    let first = ReservationId(1);
    assert!(is_preparing(pool.stage(first)) && is_queued(pool.stage(first.next())), "all or none for each");
    pool.decide(&Input::GroupEnded { master: process(), reason: "over".into() }).unwrap();
    assert_eq!(pool.ended(first), Some(End::MasterEnded));
}

#[test]
fn a_task_that_is_tried_again_gets_its_clients_anew() {
    let mut pool = Pool::of(2);
    let masters = vec![(process(), String::new())];
    let wanted = Input::ClientsWanted(ClientsWanted { masters, user: "user:anna".into(), count: 1 });
    pool.decide(&wanted).unwrap();
    pool.wait(Duration::from_millis(200));
    let first = ReservationId(1);
    pool.decide(&Input::GroupEnded { master: process(), reason: "its machine rebooted".into() }).unwrap();
    pool.decide(&wanted).unwrap();
    pool.wait(Duration::from_millis(200));
    assert_eq!((pool.ended(first), pool.ended(first.next())), (Some(End::MasterEnded), None));
    assert!(is_preparing(pool.stage(first.next())));
}

#[test]
fn the_machines_of_a_task_that_failed_go_to_the_owner_of_its_plan() {
    let mut pool = Pool::of(3);
    let asked = |machines: Vec<MachineId>| Input::CheckoutAsked {
        user: "user:anna".into(),
        machines,
        job: JobNumber(4),
        task: 1,
    };
    pool.decide(&asked(vec![machine(0), machine(2)])).unwrap();
    let kept = ReservationId(1);
    assert_eq!(pool.machines_of(kept), [0, 2]);
    let request = &pool.state.reservation(kept).unwrap().request;
    assert_eq!((request.user.as_str(), request.comment.as_str()), ("user:anna", "task 2 of plan 4 failed"));
    pool.hold(kept);
    pool.decide(&asked(vec![machine(2)])).unwrap();
    assert_eq!(pool.state.last(), kept, "who has them already keeps them as they are");
}
