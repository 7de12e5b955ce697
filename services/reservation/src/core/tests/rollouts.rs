//! Rollouts: one rule each.

use muster_model::{KernelName, RefusalCode};

use super::*;
use crate::core::Rollout;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn asked(target: u32, minimum: u32) -> Reserve {
    let kernel = KernelName::new("k").expect("a name");
    let (countdown, give_up) = (MINUTE * 10, HOUR);
    let rollout = Some(Rollout { kernel, minimum, countdown, give_up, nonce: "feed".into() });
    Reserve { count: target, duration: HOUR, rollout, ..Reserve::default() }
}

impl Pool {
    pub(super) fn roll_out(&mut self, reserve: Reserve) -> Result<ReservationId, Refusal> {
        Ok(self.command("user:anna", Command::Reserve(reserve))?.reservation.id)
    }

    /// machine-lifecycle moves a machine to a rollout, boots it, and proves its kernel.
    fn prove(&mut self, index: usize, id: ReservationId) {
        self.move_to(index, Some(id));
        self.hear(index, News::Ordered(Some(id)));
        self.hear(index, News::Phase { ready: false, offline: false });
        self.hear(index, News::Proven(true));
        self.hear(index, News::Phase { ready: true, offline: false });
    }

    /// Its attempts are spent.
    fn lose(&mut self, index: usize) {
        self.hear(index, News::Phase { ready: false, offline: true });
    }

    fn machines(&self, id: ReservationId) -> Vec<String> {
        let grant = self.state.reservation(id).and_then(|known| known.grant().cloned());
        grant.iter().flat_map(|grant| &grant.machines).map(ToString::to_string).collect()
    }

    fn countdown(&self, id: ReservationId) -> Option<PoolTime> {
        self.state.reservation(id).and_then(|known| known.grant()?.countdown)
    }
}

#[test]
fn it_starts_at_once_when_the_target_is_proven_and_a_machine_that_is_only_held_does_not_count() {
    let mut pool = Pool::of(3);
    let id = pool.roll_out(asked(2, 1)).unwrap();
    assert_eq!(pool.machines(id), ["m0", "m1"]);
    pool.move_to(0, Some(id));
    assert_eq!(pool.countdown(id), None, "it is held and ready, but in its own kernel");
    pool.prove(0, id);
    assert_eq!(pool.countdown(id), Some(START + MINUTE * 10));
    pool.prove(1, id);
    assert!(is_ready(pool.stage(id)));
    assert_eq!(pool.countdown(id), None);
    assert_eq!(pool.folded_again(), pool.state);
}

#[test]
fn it_starts_with_what_is_ready_when_the_countdown_ends_and_the_others_go_back() {
    let mut pool = Pool::of(4);
    let id = pool.roll_out(asked(4, 3)).unwrap();
    for index in 0..3 {
        pool.prove(index, id);
    }
    pool.move_to(3, Some(id));
    pool.wait(MINUTE * 10 - Duration::from_nanos(1));
    assert!(is_preparing(pool.stage(id)));
    pool.wait(Duration::from_nanos(1));
    assert!(is_ready(pool.stage(id)));
    assert_eq!(pool.machines(id), ["m0", "m1", "m2"]);
    assert_eq!(pool.state.holder(&machine(3)), Some(id), "it is nobody else's before it is back");
    pool.move_to(3, None);
    pool.wait(Duration::ZERO);
    assert_eq!(pool.state.holder(&machine(3)), None);
    let record = &crate::core::records(&pool.state, Listed { wanted: Some(id), ..Listed::default() })[0];
    assert_eq!(record.ready.len(), 3);
}

#[test]
fn below_the_minimum_the_countdown_is_cancelled_and_begins_full_again() {
    let mut pool = Pool::of(3);
    let id = pool.roll_out(asked(3, 2)).unwrap();
    pool.prove(0, id);
    pool.prove(1, id);
    pool.wait(MINUTE * 9);
    pool.hear(1, News::Down(true));
    assert_eq!(pool.countdown(id), None);
    pool.wait(MINUTE * 5);
    assert!(is_preparing(pool.stage(id)));
    pool.hear(1, News::Down(false));
    assert_eq!(pool.countdown(id), Some(START + MINUTE * 24));
}

#[test]
fn an_offline_machine_is_replaced_while_others_are_free_and_never_taken_again() {
    let mut pool = Pool::of(3);
    let id = pool.roll_out(asked(2, 2)).unwrap();
    pool.move_to(1, Some(id));
    pool.lose(1);
    assert_eq!(pool.machines(id), ["m0"]);
    pool.wait(Duration::ZERO);
    assert_eq!(pool.machines(id), ["m0", "m2"]);
    pool.move_to(1, None);
    pool.hear(1, News::Phase { ready: true, offline: false });
    pool.wait(Duration::ZERO);
    assert_eq!(pool.state.holder(&machine(1)), None, "it is free for others");
    pool.lose(2);
    pool.wait(Duration::ZERO);
    assert_eq!(pool.machines(id), ["m0"], "m1 has shown that it can not");
    pool.add(3);
    pool.wait(Duration::ZERO);
    assert_eq!(pool.machines(id), ["m0", "m3"]);
    assert_eq!(pool.folded_again(), pool.state);
}

#[test]
fn it_gives_up_below_the_minimum_only_and_gives_everything_back() {
    let mut pool = Pool::of(3);
    let id = pool.roll_out(asked(3, 2)).unwrap();
    pool.prove(0, id);
    pool.wait(HOUR - MINUTE);
    pool.prove(1, id);
    pool.wait(MINUTE * 5);
    assert!(is_preparing(pool.stage(id)), "at the minimum it does not give up");
    pool.hear(0, News::Down(true));
    pool.wait(Duration::ZERO);
    assert_eq!(pool.ended(id), Some(End::Failed));
    let Stage::Ended(ended) = pool.stage(id) else { panic!("it ended") };
    assert_eq!((ended.returning.len(), ended.reason.contains("1 machines were ready within 1h")), (3, true));
}

#[test]
fn it_begins_with_the_minimum_and_takes_more_as_they_come_free() {
    let mut pool = Pool::of(3);
    let other = pool.reserve("m2", 1).unwrap();
    let id = pool.roll_out(asked(3, 2)).unwrap();
    assert_eq!(pool.machines(id), ["m0", "m1"]);
    pool.move_to(2, Some(other));
    pool.check_in(other).unwrap();
    pool.move_to(2, None);
    pool.wait(Duration::ZERO);
    assert_eq!(pool.machines(id), ["m0", "m1", "m2"]);
}

#[test]
fn one_that_waits_for_machines_gives_up_as_well() {
    let mut pool = Pool::of(2);
    pool.reserve("", 2).unwrap();
    let id = pool.roll_out(asked(2, 1)).unwrap();
    assert!(is_queued(pool.stage(id)));
    pool.wait(HOUR);
    assert_eq!(pool.ended(id), Some(End::Failed));
}

#[test]
fn bad_quorums_are_refused_with_what_would_be_right() {
    let mut pool = Pool::of(2);
    let changed = |change: &dyn Fn(&mut Rollout)| {
        let mut reserve = asked(2, 1);
        reserve.rollout.iter_mut().for_each(change);
        reserve
    };
    for (reserve, why) in [
        (asked(2, 3), "the minimum is 3, and the target 2"),
        (asked(2, 0), "the minimum is 0"),
        (changed(&|rollout| rollout.countdown = Duration::ZERO), "the countdown is 0"),
        (changed(&|rollout| rollout.give_up = Duration::ZERO), "the time to give up is 0"),
        (asked(9, 3), "3 wanted, 2 of 2 active machines match"),
    ] {
        let refusal = pool.roll_out(reserve).unwrap_err();
        assert!(refusal.why.contains(why) && !refusal.next.is_empty(), "{refusal}");
        assert!(matches!(refusal.code, RefusalCode::Invalid | RefusalCode::Refused));
    }
    pool.hear(0, News::Settings { bootable: false, image: None });
    let refusal = pool.roll_out(asked(2, 2)).unwrap_err();
    assert!(refusal.why.contains("boot driver"), "{refusal}");
    assert_eq!(pool.state.reservations().count(), 0, "nothing changed");
}
