//! One rule each.

use super::*;
use crate::core::{DURATION_MAX, ENDED_KEPT, PREPARATION_MAX, QUEUE_MAX};
use muster_model::RefusalCode;

#[track_caller]
fn refused<T>(answer: Result<T, Refusal>, code: RefusalCode, why: &str) -> Refusal {
    let Err(refusal) = answer else { panic!("it was not refused") };
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.why.contains(why), "{refusal}");
    assert!(!refusal.next.is_empty());
    refusal
}

#[test]
fn a_free_machine_is_granted_at_once_and_ready_when_it_is_held_and_fenced() {
    let mut pool = Pool::of(2);
    let id = pool.reserve("m1", 1).unwrap();
    assert!(is_preparing(pool.stage(id)));
    pool.hear(1, News::Draining(Some(id)));
    pool.hear(1, News::EpochRaised { epoch: Epoch(1), holder: Some(id) });
    assert!(is_preparing(pool.stage(id)), "nothing counts before the fence");
    pool.hear(1, News::Fenced(Epoch(1)));
    assert!(is_ready(pool.stage(id)));
}

#[test]
fn the_deadline_counts_from_ready() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("", 1).unwrap();
    pool.wait(Duration::from_secs(300));
    pool.move_to(0, Some(id));
    let grant = pool.state.reservation(id).unwrap().grant().unwrap();
    assert_eq!(grant.deadline, START + Duration::from_secs(300) + HOUR);
}

#[test]
fn ready_needs_every_machine() {
    let mut pool = Pool::of(3);
    let id = pool.reserve("", 3).unwrap();
    pool.move_to(0, Some(id));
    pool.move_to(2, Some(id));
    assert!(is_preparing(pool.stage(id)));
    let record = &crate::core::records(&pool.state, Listed { wanted: Some(id), ..Listed::default() })[0];
    assert_eq!((record.ready.len(), record.reason.as_str()), (2, "2 of 3 machines are ready"));
    pool.hear(1, News::Down(true));
    pool.move_to(1, Some(id));
    assert!(is_preparing(pool.stage(id)), "a machine that is down is not ready");
    pool.hear(1, News::Down(false));
    assert!(is_ready(pool.stage(id)));
}

#[test]
fn at_its_deadline_a_reservation_expires_and_its_machines_come_back() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("", 1).unwrap();
    pool.move_to(0, Some(id));
    pool.wait(HOUR - Duration::from_nanos(1));
    assert!(is_ready(pool.stage(id)));
    pool.wait(Duration::from_nanos(1));
    assert_eq!(pool.ended(id), Some(End::Expired));
    assert_eq!(pool.state.holder(&machine(0)), Some(id), "it is not free before it is back");
    pool.hear(0, News::Draining(None));
    pool.hear(0, News::EpochRaised { epoch: Epoch(2), holder: None });
    assert_eq!(pool.state.holder(&machine(0)), Some(id), "nor before the fence");
    pool.hear(0, News::Fenced(Epoch(2)));
    assert_eq!(pool.state.holder(&machine(0)), None);
    assert!(pool.state.reservation(id).unwrap().is_settled());
}

#[test]
fn an_impossible_request_is_refused_with_counts_and_what_is_near() {
    let mut pool = Pool::of(4);
    pool.hear(3, News::Flag(Flag::Active, false));
    let refusal = refused(pool.reserve("cpus>=8", 2), RefusalCode::Refused, "2 wanted, 1 of 3 active machines match");
    assert!(refusal.why.contains("matching but not active: m3"), "{refusal}");
    assert!(refusal.next.contains("at most 1"), "{refusal}");
    let refusal = refused(pool.reserve("m9", 1), RefusalCode::Refused, "not known: m9");
    assert!(refusal.next.contains("machine list"));
    assert_eq!(pool.state.queued(), 0, "a refusal changes nothing");
}

#[test]
fn bad_requests_are_refused_and_change_nothing() {
    let mut pool = Pool::of(1);
    let before = pool.log.len();
    let place = refused(pool.reserve("cpu>=4", 1), RefusalCode::Invalid, "not a key").place.unwrap();
    assert_eq!((place.from, place.to), (0, 3));
    refused(pool.reserve("", 0), RefusalCode::Invalid, "count is 0");
    refused(pool.reserve("", u32::MAX), RefusalCode::Limit, "at most");
    for (duration, drain, code) in [
        (Duration::ZERO, Duration::ZERO, RefusalCode::Invalid),
        (DURATION_MAX + HOUR, Duration::ZERO, RefusalCode::Limit),
        (HOUR, HOUR * 2, RefusalCode::Limit),
    ] {
        let command = Command::Reserve(Reserve { count: 1, duration, drain, ..Reserve::default() });
        refused(pool.command("user:anna", command), code, "");
    }
    refused(pool.check_in(ReservationId(7)), RefusalCode::NotFound, "no reservation 7");
    assert_eq!(pool.log.len(), before);
}

#[test]
fn only_its_user_changes_a_reservation() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("", 1).unwrap();
    refused(pool.command("user:bert", Command::CheckIn { id }), RefusalCode::Refused, "belongs to user:anna");
    refused(
        pool.command("user:bert", Command::Extend { id, to: Extension::By(HOUR) }),
        RefusalCode::Refused,
        "belongs to user:anna",
    );
}

#[test]
fn an_extension_moves_the_deadline_and_has_a_limit() {
    let mut pool = Pool::of(2);
    let id = pool.reserve("m0", 1).unwrap();
    pool.move_to(0, Some(id));
    let record = pool.command("user:anna", Command::Extend { id, to: Extension::By(HOUR) }).unwrap();
    assert_eq!(record.reservation.grant().unwrap().deadline, START + HOUR * 2);
    refused(
        pool.command("user:anna", Command::Extend { id, to: Extension::By(Duration::ZERO) }),
        RefusalCode::Invalid,
        "not move",
    );
    refused(
        pool.command("user:anna", Command::Extend { id, to: Extension::By(DURATION_MAX) }),
        RefusalCode::Limit,
        "more than 30d",
    );
    pool.wait(HOUR + HOUR / 2);
    assert!(is_ready(pool.stage(id)), "it lives on to its new deadline");
    let waiting = pool.reserve("m0", 1).unwrap();
    refused(
        pool.command("user:anna", Command::Extend { id: waiting, to: Extension::By(HOUR) }),
        RefusalCode::Refused,
        "no machines",
    );
    pool.now.time = pool.now.time + HOUR;
    refused(
        pool.command("user:anna", Command::Extend { id, to: Extension::By(HOUR) }),
        RefusalCode::Refused,
        "has passed",
    );
    pool.check_in(id).unwrap();
    refused(
        pool.command("user:anna", Command::Extend { id, to: Extension::By(HOUR) }),
        RefusalCode::Refused,
        "already ended",
    );
}

#[test]
fn an_extension_before_ready_lengthens_it() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("", 1).unwrap();
    pool.command("user:anna", Command::Extend { id, to: Extension::By(HOUR) }).unwrap();
    pool.move_to(0, Some(id));
    assert_eq!(pool.state.reservation(id).unwrap().grant().unwrap().deadline, START + HOUR * 2);
}

#[test]
fn check_in_ends_once() {
    let mut pool = Pool::of(1);
    let (held, waiting) = (pool.reserve("", 1).unwrap(), pool.reserve("", 1).unwrap());
    pool.check_in(waiting).unwrap();
    assert_eq!(pool.ended(waiting), Some(End::Canceled));
    assert!(pool.state.reservation(waiting).unwrap().is_settled());
    pool.move_to(0, Some(held));
    pool.check_in(held).unwrap();
    assert_eq!(pool.ended(held), Some(End::Released));
    refused(pool.check_in(held), RefusalCode::Refused, "already ended: released");
}

#[test]
fn what_can_not_be_prepared_in_time_fails() {
    let mut pool = Pool::of(2);
    let id = pool.reserve("", 2).unwrap();
    pool.move_to(0, Some(id));
    pool.hear(1, News::Removed);
    pool.wait(PREPARATION_MAX - Duration::from_nanos(1));
    assert!(is_preparing(pool.stage(id)));
    pool.wait(Duration::from_nanos(1));
    assert_eq!(pool.ended(id), Some(End::Failed));
    let Stage::Ended(ended) = pool.stage(id) else { panic!("it ended") };
    assert_eq!(ended.reason, "not ready within 10m: m1");
    pool.wait(Duration::ZERO);
    assert_eq!(pool.state.holder(&machine(1)), None, "a machine that is gone is not waited for");
    assert_eq!(pool.state.holder(&machine(0)), Some(id));
    pool.move_to(0, None);
    assert!(pool.state.reservation(id).unwrap().is_settled());
}

#[test]
fn a_machine_that_never_moved_is_back_once_machine_lifecycle_has_seen_the_end() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("", 1).unwrap();
    pool.check_in(id).unwrap();
    let Stage::Ended(ended) = pool.stage(id) else { panic!("it ended") };
    let end = ended.position;
    pool.wait(HOUR);
    assert_eq!(pool.state.holder(&machine(0)), Some(id), "it may still be on its way to it");
    pool.decide(&Input::Taken(Position::new(1, end.sequence.0 - 1))).unwrap();
    assert_eq!(pool.state.holder(&machine(0)), Some(id));
    pool.decide(&Input::Taken(end)).unwrap();
    assert_eq!(pool.state.holder(&machine(0)), None);
}

#[test]
fn a_machine_that_went_and_came_back_alone_is_back_at_the_end() {
    let mut pool = Pool::of(1);
    let id = pool.reserve("", 1).unwrap();
    pool.move_to(0, Some(id));
    pool.move_to(0, None);
    pool.check_in(id).unwrap();
    pool.wait(Duration::ZERO);
    assert_eq!(pool.state.holder(&machine(0)), None);
}

#[test]
fn machines_that_do_not_work_are_not_granted() {
    for (news, again) in [
        (News::Down(true), News::Down(false)),
        (News::Flag(Flag::Maintenance, true), News::Flag(Flag::Maintenance, false)),
        (News::Phase { ready: false, offline: false }, News::Phase { ready: true, offline: false }),
        (News::Quarantined, News::Phase { ready: true, offline: false }),
        (News::Draining(None), News::Fenced(Epoch(1))),
    ] {
        let mut pool = Pool::of(1);
        let raised = news == News::Draining(None);
        pool.hear(0, news);
        if raised {
            pool.hear(0, News::EpochRaised { epoch: Epoch(1), holder: None });
        }
        let id = pool.reserve("", 1).unwrap();
        assert!(is_queued(pool.stage(id)));
        pool.hear(0, again);
        pool.wait(Duration::ZERO);
        assert!(is_preparing(pool.stage(id)));
    }
}

#[test]
fn queue_and_memory_are_bounded() {
    let mut pool = Pool::of(1);
    let holder = pool.reserve("", 1).unwrap();
    let request = pool.state.reservation(holder).unwrap().request.clone();
    let at = At { position: Position::new(1, 1), time: START, actor: "" };
    let kept = pool.state.clone();
    for id in 2..2 + QUEUE_MAX as u64 {
        let queued = Event::Queued { id: ReservationId(id), request: request.clone() };
        ReservationCore::apply(&mut pool.state, &queued, &at);
    }
    refused(pool.reserve("", 1), RefusalCode::Limit, "wait already");
    let mut state = kept;
    for id in 1_000..1_000 + ENDED_KEPT as u64 {
        let (id, request) = (ReservationId(id), request.clone());
        ReservationCore::apply(&mut state, &Event::Queued { id, request }, &at);
        let ended = Event::Ended { id, end: End::Canceled, reason: String::new() };
        ReservationCore::apply(&mut state, &ended, &at);
    }
    assert_eq!(state.reservations().count(), ENDED_KEPT + 1);
    assert!(state.reservation(holder).is_some(), "one that has machines is never forgotten");
    assert!(state.reservation(ReservationId(999 + ENDED_KEPT as u64)).is_some());
}
