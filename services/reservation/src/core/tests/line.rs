//! The line: who is served first, who may pass, and who has had enough. One rule each.

use muster_model::RefusalCode;

use super::*;
use crate::core::limits::{AGED_AFTER, MINIMUM_AFTER, USE_HALVES_AFTER};
use crate::core::{Quota, explain};

const ANNA: &str = "user:anna";
const BEN: &str = "user:ben";

impl Pool {
    fn ask(&mut self, user: &str, reserve: Reserve) -> ReservationId {
        self.command(user, Command::Reserve(reserve)).expect("it is taken").reservation.id
    }

    fn set_quota(&mut self, name: &str, quota: Quota) -> Result<(), Refusal> {
        let command = Command::SetQuota { name: name.into(), quota };
        self.decide(&Input::Command { user: "user:root".into(), command: Box::new(command) }).map(drop)
    }

    /// All machines of a reservation go to it.
    fn hand_over(&mut self, id: ReservationId) {
        let machines = self.state.reservation(id).and_then(|known| known.grant().cloned()).expect("granted").machines;
        for name in machines {
            self.move_to(name.as_str()[1..].parse().expect("a number"), Some(id));
        }
    }

    /// Its user gives it back, and its machines go to the pool.
    fn give_back(&mut self, user: &str, id: ReservationId) {
        let machines = self.state.reservation(id).and_then(|known| known.grant().cloned()).expect("granted").machines;
        self.command(user, Command::CheckIn { id }).expect("it is taken back");
        for name in machines {
            self.move_to(name.as_str()[1..].parse().expect("a number"), None);
        }
        self.wait(Duration::ZERO);
    }
}

fn want(count: u32, duration: Duration) -> Reserve {
    Reserve { count, duration, ..Reserve::default() }
}

fn on(selector: &str, duration: Duration) -> Reserve {
    Reserve { selector: selector.into(), ..want(1, duration) }
}

#[test]
fn whoever_fits_before_the_first_in_line_passes_and_nobody_else_does() {
    let mut pool = Pool::of(2);
    let first = pool.ask(ANNA, on("m0", HOUR * 2));
    let both = pool.ask(ANNA, want(2, HOUR));
    assert!(is_queued(pool.stage(both)));
    let long = pool.ask(ANNA, want(1, HOUR * 3));
    assert!(is_queued(pool.stage(long)), "m1 is free, and would not be back in time");
    let short = pool.ask(ANNA, want(1, HOUR));
    assert!(is_preparing(pool.stage(short)), "m1 is back before m0 is");
    let told = explain(&pool.state, pool.state.reservation(both).unwrap(), pool.now.time);
    assert_eq!((told.before, told.kept.len()), (0, 2), "{told:?}");
    let held = &pool.state.reservation(first).unwrap().grant().unwrap().deadline;
    assert_eq!(told.expected, Some(*held + crate::core::limits::BACK_WITHIN));
    pool.hand_over(first);
    pool.hand_over(short);
    pool.give_back(ANNA, first);
    assert!(is_queued(pool.stage(both)) && is_queued(pool.stage(long)));
    pool.give_back(ANNA, short);
    assert!(is_preparing(pool.stage(both)) && is_queued(pool.stage(long)), "the first in line is the first");
}

#[test]
fn machines_that_the_first_in_line_can_not_use_or_can_spare_are_free_for_all() {
    let mut pool = Pool::of(4);
    pool.ask(ANNA, on("m0", HOUR));
    let waits = pool.ask(ANNA, Reserve { selector: "m0,m1,m2".into(), ..want(3, HOUR) });
    let other = pool.ask(ANNA, on("m3", HOUR * 100));
    assert!(is_queued(pool.stage(waits)) && is_preparing(pool.stage(other)), "nobody else wants m3");

    let mut pool = Pool::of(4);
    pool.ask(ANNA, Reserve { selector: "m0,m1".into(), ..want(2, HOUR) });
    let waits = pool.ask(ANNA, want(3, HOUR));
    let spare = pool.ask(ANNA, want(1, HOUR * 100));
    let more = pool.ask(ANNA, want(1, HOUR * 100));
    assert!(is_queued(pool.stage(waits)));
    assert!(is_preparing(pool.stage(spare)), "four will be there for three");
    assert!(is_queued(pool.stage(more)), "and only four");
}

#[test]
fn one_that_can_not_be_served_holds_nobody_up() {
    let mut pool = Pool::of(2);
    let first = pool.ask(ANNA, on("m0", HOUR));
    let both = pool.ask(ANNA, want(2, HOUR));
    let long = pool.ask(ANNA, on("m1", HOUR * 9));
    assert!(is_queued(pool.stage(long)));
    pool.hear(0, News::Flag(Flag::Active, false));
    pool.wait(Duration::ZERO);
    assert!(is_queued(pool.stage(both)) && is_preparing(pool.stage(long)) && is_preparing(pool.stage(first)));
    let told = explain(&pool.state, pool.state.reservation(both).unwrap(), pool.now.time);
    assert_eq!(told.expected, None, "nobody can tell");
    assert!(told.kept.iter().any(|kept| kept.what == "not active" && kept.some == [machine(0)]), "{told:?}");
}

#[test]
fn a_higher_priority_is_before_a_lower_one_and_who_waited_too_long_before_both() {
    let mut pool = Pool::of(1);
    let has = pool.ask(ANNA, want(1, HOUR * 24 * 20));
    pool.hand_over(has);
    let old = pool.ask(ANNA, want(1, HOUR));
    pool.wait(AGED_AFTER);
    let low = pool.ask(ANNA, want(1, HOUR));
    let high = pool.ask(ANNA, Reserve { priority: 5, ..want(1, HOUR) });
    let line: Vec<_> = pool.state.line_with(None).collect();
    assert_eq!(line, [old, high, low]);
    pool.give_back(ANNA, has);
    assert!(is_preparing(pool.stage(old)));
}

#[test]
fn nobody_waits_for_ever_behind_an_endless_stream_of_the_urgent() {
    let mut pool = Pool::of(1);
    let urgent = |pool: &mut Pool| pool.ask(BEN, Reserve { priority: 9, ..want(1, HOUR) });
    let first = urgent(&mut pool);
    pool.hand_over(first);
    let low = pool.ask(ANNA, want(1, HOUR));
    let mut has = first;
    let mut waited = Duration::ZERO;
    while is_queued(pool.stage(low)) {
        urgent(&mut pool);
        pool.wait(HOUR);
        waited += HOUR;
        pool.move_to(0, None);
        pool.wait(Duration::ZERO);
        let next = pool.state.holder(&machine(0)).expect("the next one has it");
        assert_ne!(next, has);
        has = next;
        pool.hand_over(has);
        assert!(waited <= AGED_AFTER + HOUR * 2, "{waited:?}");
    }
    assert!(waited >= AGED_AFTER, "until then the urgent ones were first");
}

#[test]
fn who_has_had_less_of_their_share_is_first() {
    let mut pool = Pool::of(2);
    let long = pool.ask(ANNA, on("m0", HOUR * 10));
    let has = pool.ask(BEN, on("m1", HOUR * 6));
    pool.hand_over(long);
    pool.hand_over(has);
    let anna = pool.ask(ANNA, on("m0", HOUR));
    let ben = pool.ask(BEN, on("m0", HOUR));
    assert_eq!(pool.state.line_with(None).collect::<Vec<_>>(), [ben, anna]);
    pool.set_quota(ANNA, Quota { share: Some(3), ..Quota::default() }).unwrap();
    assert_eq!(pool.state.line_with(None).collect::<Vec<_>>(), [anna, ben], "a third of ten is less than six");
    pool.set_quota(ANNA, Quota::default()).unwrap();
    pool.give_back(ANNA, long);
    assert!(is_preparing(pool.stage(anna)), "what she gave back unused does not count");
    assert_eq!(pool.state.line_with(None).collect::<Vec<_>>(), [ben]);
}

#[test]
fn use_of_long_ago_counts_little() {
    let mut pool = Pool::of(1);
    let long = pool.ask(ANNA, want(1, HOUR * 24));
    pool.hand_over(long);
    pool.wait(HOUR * 24);
    pool.move_to(0, None);
    pool.wait(USE_HALVES_AFTER * 5);
    let short = pool.ask(BEN, want(1, HOUR * 2));
    let (anna, ben) = (pool.ask(ANNA, want(1, HOUR)), pool.ask(BEN, want(1, HOUR)));
    assert!(is_preparing(pool.stage(short)));
    assert_eq!(pool.state.line_with(None).collect::<Vec<_>>(), [anna, ben], "24 of five half-lives ago are 0.75");
}

#[test]
fn a_quota_refuses_what_may_never_be_and_lets_the_rest_wait() {
    let mut pool = Pool::of(4);
    let quota = Quota { machines: Some(2), length: Some(HOUR * 2), priority: Some(1), ..Quota::default() };
    pool.set_quota("*", quota).unwrap();
    let asks = [want(3, HOUR), want(1, HOUR * 3), Reserve { priority: 2, ..want(1, HOUR) }];
    for (reserve, why) in asks.into_iter().zip(["the count is 3", "its length is 3h", "the priority is 2"]) {
        let refusal = pool.command(ANNA, Command::Reserve(reserve)).expect_err("beyond the quota");
        assert!(refusal.code == RefusalCode::Limit && refusal.why.contains(why), "{refusal}");
    }
    let two = pool.ask(ANNA, want(2, HOUR));
    let third = pool.ask(ANNA, want(1, HOUR));
    assert!(is_queued(pool.stage(third)), "two machines are free, and anna has as many as she may");
    let told = explain(&pool.state, pool.state.reservation(third).unwrap(), pool.now.time);
    assert_eq!(told.quota, "the quota of * is 2 machines at once, and 2 are had");
    assert!(is_preparing(pool.stage(pool.state.last())) || is_queued(pool.stage(third)));
    let ben = pool.ask(BEN, want(2, HOUR));
    assert!(is_preparing(pool.stage(ben)), "whoever waits for their quota holds nobody up");
    pool.hand_over(two);
    let refusal = pool.command(ANNA, Command::Extend { id: two, to: Extension::By(HOUR * 2) }).expect_err("too long");
    assert_eq!(refusal.code, RefusalCode::Limit, "{refusal}");
    pool.give_back(ANNA, two);
    assert!(is_preparing(pool.stage(third)));
}

#[test]
fn the_members_of_a_group_share_its_machines() {
    let mut pool = Pool::of(3);
    let members = [ANNA.to_owned(), BEN.to_owned()].into();
    pool.set_quota("group:storage", Quota { machines: Some(2), members, ..Quota::default() }).unwrap();
    pool.ask(ANNA, want(1, HOUR));
    pool.ask(BEN, want(1, HOUR));
    let third = pool.ask(BEN, want(1, HOUR));
    assert!(is_queued(pool.stage(third)));
    let cleo = pool.ask("user:cleo", want(1, HOUR));
    assert!(is_preparing(pool.stage(cleo)));
}

#[test]
fn a_quota_holds_for_what_is_more_than_a_minimum() {
    let mut pool = Pool::of(5);
    pool.set_quota(ANNA, Quota { machines: Some(3), ..Quota::default() }).unwrap();
    pool.ask(ANNA, want(2, HOUR * 9));
    let more = pool.ask(ANNA, Reserve { minimum: 1, ..want(3, HOUR) });
    pool.wait(Duration::ZERO);
    assert!(is_queued(pool.stage(more)), "three are free, and she may have one of them");
    pool.wait(MINIMUM_AFTER);
    let got = pool.state.reservation(more).unwrap().grant().map(|grant| grant.machines.len());
    assert_eq!(got, Some(1));
}

#[test]
fn wrong_quotas_are_refused() {
    let mut pool = Pool::of(0);
    let members = |name: &str| Quota { members: [name.to_owned()].into(), machines: Some(1), ..Quota::default() };
    let share = Quota { share: Some(0), ..Quota::default() };
    for (name, quota, why) in [
        ("anna", Quota { machines: Some(1), ..Quota::default() }, "neither"),
        ("user:anna", members(BEN), "only a group"),
        ("group:x", Quota { machines: Some(1), ..Quota::default() }, "limits nobody"),
        ("user:anna", share, "share is 0"),
        ("*", Quota { length: Some(HOUR * 24 * 365), ..Quota::default() }, "beyond"),
    ] {
        let refusal = pool.set_quota(name, quota).expect_err(name);
        assert!(refusal.why.contains(why), "{refusal}");
    }
    assert!(pool.log.is_empty());
}

#[test]
fn fewer_machines_are_enough_once_it_has_waited() {
    let mut pool = Pool::of(2);
    let has = pool.ask(ANNA, on("m0", HOUR * 24));
    pool.hand_over(has);
    let waits = pool.ask(BEN, Reserve { minimum: 1, ..want(2, HOUR) });
    pool.wait(MINIMUM_AFTER - Duration::from_secs(1));
    assert!(is_queued(pool.stage(waits)));
    pool.wait(Duration::from_secs(1));
    assert!(is_preparing(pool.stage(waits)));
    pool.hand_over(waits);
    assert!(is_ready(pool.stage(waits)), "with the one that it got");
}

#[test]
fn until_a_time_is_until_that_time() {
    let mut pool = Pool::of(1);
    let until = START + HOUR * 5;
    let asked = |until| Reserve { until: Some(until), ..want(1, Duration::ZERO) };
    let refusal = pool.command(ANNA, Command::Reserve(asked(START))).expect_err("now is no time to come");
    assert!(refusal.why.contains("has passed"), "{refusal}");
    let id = pool.ask(ANNA, asked(until));
    let late = pool.ask(BEN, asked(START + HOUR));
    pool.wait(Duration::from_secs(300));
    pool.hand_over(id);
    assert_eq!(pool.state.reservation(id).unwrap().grant().unwrap().deadline, until);
    pool.wait(HOUR - Duration::from_secs(301));
    assert!(is_queued(pool.stage(late)));
    pool.wait(Duration::from_secs(1));
    assert_eq!(pool.ended(late), Some(End::Expired), "it would begin after its end");
    let later = Extension::Until(until + HOUR);
    pool.command(ANNA, Command::Extend { id, to: later }).unwrap();
    let refusal = pool.command(ANNA, Command::Extend { id, to: Extension::Until(until) }).expect_err("earlier");
    assert!(refusal.why.contains("later time"), "{refusal}");
}
