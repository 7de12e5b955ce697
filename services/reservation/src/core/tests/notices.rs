//! Who is told, when, how often, and what becomes of whoever does not show up. One rule each.

use muster_model::{NotifyTarget, RefusalCode};

use super::*;
use crate::core::limits::{ENDS_SOON, ENDS_VERY_SOON, NOTICE_RETRIES};
use crate::core::{Effect, Letter, Notice, Outcome, Quota, Recipient};
use muster_ledger::Scope;

const ANNA: &str = "user:anna";
const MINUTE: Duration = Duration::from_secs(60);

impl Pool {
    /// A reservation of one machine whose user, and administrator, are to be told; ready.
    fn told_ready(&mut self, reserve: Reserve) -> ReservationId {
        let wish = Reserve { count: 1, duration: HOUR, ..reserve };
        let id = self.command(ANNA, Command::Reserve(wish)).expect("it is taken").reservation.id;
        let machine = self.state.reservation(id).and_then(|known| known.grant().cloned()).expect("granted").machines;
        for name in machine {
            self.move_to(name.as_str()[1..].parse().expect("a number"), Some(id));
        }
        assert!(is_ready(self.stage(id)));
        id
    }

    fn letters(&self) -> Vec<Letter> {
        let wanted = ReservationCore::wanted(&self.state, &(), Scope::Full, self.now.time);
        wanted.into_iter().map(|Effect::Tell(letter)| *letter).collect()
    }

    /// Everybody may have reservations without a deadline.
    pub(super) fn permit_no_deadline(&mut self) {
        let quota = Quota { no_deadline: true, ..Quota::default() };
        let command = Command::SetQuota { name: "*".into(), quota };
        self.decide(&Input::Command { user: "user:root".into(), command: Box::new(command) }).expect("it is set");
    }

    /// What is wanted now is tried, and fails for a reason or not.
    pub(super) fn try_all(&mut self, failed: Option<&str>) -> usize {
        let letters = self.letters();
        for letter in &letters {
            self.tried(letter, failed);
        }
        letters.len()
    }

    fn tried(&mut self, letter: &Letter, failed: Option<&str>) {
        let input = Input::Noticed {
            id: letter.id,
            notice: letter.notice,
            recipient: letter.recipient,
            attempts: letter.attempts,
            deadline: letter.deadline,
            failed: failed.map(str::to_owned),
        };
        self.decide(&input).expect("it is never refused");
    }

    fn state_of(&self, id: ReservationId) -> muster_proto::v1::ReservationState {
        let record = Record::of(&self.state, self.state.reservation(id).expect("it is known"));
        wire::record_to_wire(&record).state()
    }
}

fn mail() -> Reserve {
    Reserve { notify: Some(NotifyTarget::Mail("anna@example.com".into())), ..Reserve::default() }
}

#[test]
fn user_and_administrator_are_each_told_once_of_ready_and_of_the_end() {
    let mut pool = Pool::of(1);
    let administrator = NotifyTarget::Command("pager".into());
    let id = pool.told_ready(Reserve { notify_administrator: administrator.clone(), ..mail() });
    let letters = pool.letters();
    let to: Vec<_> = letters.iter().map(|letter| (letter.notice, letter.recipient)).collect();
    assert_eq!(to, [(Notice::Ready, Recipient::User), (Notice::Ready, Recipient::Administrator)]);
    assert_eq!((&letters[1].target, letters[0].machines.len()), (&administrator, 1));
    assert_eq!(pool.state_of(id), muster_proto::v1::ReservationState::Prepared, "set up, and not yet told");
    assert_eq!(pool.try_all(None), 2);
    assert_eq!(pool.state_of(id), muster_proto::v1::ReservationState::Ready);
    assert_eq!(pool.try_all(None), 0, "nobody is told twice");
    pool.check_in(id).expect("it is given back");
    let ended: Vec<_> = pool.letters().into_iter().map(|letter| (letter.notice, letter.ended)).collect();
    assert_eq!(ended[0], (Notice::Ended, Some((End::Released, "checked in".into()))));
    assert_eq!((ended.len(), pool.try_all(None), pool.try_all(None)), (2, 2, 0));
    assert_eq!(pool.folded_again(), pool.state);
}

#[test]
fn without_a_target_nobody_is_told_and_it_is_ready_at_once() {
    let mut pool = Pool::of(1);
    let id = pool.told_ready(Reserve::default());
    assert!(pool.letters().is_empty());
    assert_eq!(pool.state_of(id), muster_proto::v1::ReservationState::Ready);
}

#[test]
fn what_fails_is_tried_again_ever_later_and_given_up_in_the_end() {
    let mut pool = Pool::of(1);
    let id = pool.told_ready(mail());
    for after in NOTICE_RETRIES {
        assert_eq!(pool.try_all(Some("no route")), 1);
        assert!(pool.letters().is_empty(), "not before its time");
        pool.wait(after - Duration::from_secs(1));
        assert!(pool.letters().iter().all(|letter| letter.notice != Notice::Ready), "not before its time");
        pool.wait(Duration::from_secs(1));
        pool.letters()
            .iter()
            .filter(|letter| letter.notice != Notice::Ready)
            .cloned()
            .collect::<Vec<_>>()
            .iter()
            .for_each(|warning| pool.tried(warning, None));
    }
    assert_eq!(pool.state_of(id), muster_proto::v1::ReservationState::Prepared);
    let last = pool.letters();
    assert_eq!((last.len(), last[0].attempts), (1, 5));
    pool.tried(&last[0], Some("no route"));
    let delivery = &pool.state.reservation(id).expect("it is known").notices[&(Notice::Ready, Recipient::User)];
    assert_eq!((delivery.attempts, &delivery.outcome), (6, &Outcome::GivenUp { reason: "no route".into() }));
    assert_eq!(pool.state_of(id), muster_proto::v1::ReservationState::Ready, "nobody can do more");
    pool.tried(&last[0], None);
    assert_eq!(pool.letters().len(), 0, "what comes late changes nothing");
    let read = wire::decode_state(&wire::encode_state(&pool.state)).expect("a snapshot is read");
    assert_eq!(read, pool.state, "a successor knows what was tried");
}

#[test]
fn warnings_come_before_the_end_and_anew_when_it_moved() {
    let mut pool = Pool::of(1);
    let id = pool.told_ready(mail());
    pool.try_all(None);
    pool.wait(HOUR - ENDS_SOON - MINUTE);
    assert!(pool.letters().is_empty());
    pool.wait(MINUTE);
    assert_eq!(pool.letters()[0].notice, Notice::EndsSoon);
    let late = pool.letters()[0].clone();
    pool.try_all(None);
    pool.wait(ENDS_SOON - ENDS_VERY_SOON);
    assert_eq!(pool.letters()[0].notice, Notice::EndsVerySoon);
    pool.command(ANNA, Command::Extend { id, to: Extension::By(HOUR) }).expect("it is extended");
    assert!(pool.letters().is_empty());
    pool.wait(HOUR + ENDS_VERY_SOON - ENDS_SOON);
    assert_eq!(pool.letters()[0].notice, Notice::EndsSoon);
    pool.tried(&late, None);
    assert_eq!(pool.letters().len(), 1, "what was told of another end does not count");
    pool.wait(ENDS_SOON);
    let notices: Vec<_> = pool.letters().iter().map(|letter| letter.notice).collect();
    assert_eq!(notices, [Notice::Ended], "who missed the warnings is told of the end alone");
}

#[test]
fn a_request_that_was_taken_back_is_not_told_of() {
    let mut pool = Pool::of(1);
    pool.told_ready(Reserve::default());
    let wish = Reserve { count: 1, duration: HOUR, ..mail() };
    let waits = pool.command(ANNA, Command::Reserve(wish)).expect("it waits").reservation.id;
    pool.check_in(waits).expect("it is taken back");
    assert!(pool.letters().is_empty());
}

fn soon() -> Reserve {
    Reserve { no_show: Some(MINUTE), ..mail() }
}

#[test]
fn who_does_not_show_up_in_time_loses_it_and_the_time_begins_when_they_are_told() {
    let mut pool = Pool::of(1);
    let id = pool.told_ready(soon());
    pool.wait(MINUTE * 2);
    assert_eq!(pool.ended(id), None, "nobody was told");
    pool.try_all(None);
    pool.wait(MINUTE - Duration::from_secs(1));
    assert_eq!(pool.ended(id), None);
    pool.wait(Duration::from_secs(1));
    assert_eq!(pool.ended(id), Some(End::NoShow));
}

#[test]
fn whoever_accepts_extends_or_starts_a_job_is_there() {
    type Sign = fn(&mut Pool, ReservationId);
    let signs: [Sign; 3] = [
        |pool, id| drop(pool.command(ANNA, Command::Accept { id }).expect("it is accepted")),
        |pool, id| drop(pool.command(ANNA, Command::Extend { id, to: Extension::By(MINUTE) }).expect("it is extended")),
        |pool, id| drop(pool.decide(&Input::Used(id)).expect("never refused")),
    ];
    for sign in signs {
        let mut pool = Pool::of(1);
        let id = pool.told_ready(soon());
        pool.try_all(None);
        sign(&mut pool, id);
        let events = pool.log.len();
        pool.command(ANNA, Command::Accept { id }).expect("once more changes nothing");
        assert_eq!((pool.log.len(), pool.state_of(id)), (events, muster_proto::v1::ReservationState::Active));
        pool.wait(MINUTE * 10);
        assert_eq!(pool.ended(id), None);
        let read = wire::decode_state(&wire::encode_state(&pool.state)).expect("a snapshot is read");
        assert_eq!(read, pool.state);
    }
}

#[test]
fn nobody_accepts_what_is_not_theirs_not_ready_or_over() {
    let mut pool = Pool::of(1);
    let id = pool.told_ready(soon());
    let next = pool.reserve("", 1).expect("it waits");
    let refused =
        |pool: &mut Pool, user: &str, id| pool.command(user, Command::Accept { id }).expect_err("refused").code;
    assert_eq!(refused(&mut pool, "user:bert", id), RefusalCode::Refused);
    assert_eq!(refused(&mut pool, ANNA, next), RefusalCode::Refused);
    assert_eq!(refused(&mut pool, ANNA, ReservationId(99)), RefusalCode::NotFound);
    pool.check_in(id).expect("it is given back");
    assert_eq!(refused(&mut pool, ANNA, id), RefusalCode::Refused);
}

#[test]
fn a_revocation_needs_a_reason_and_tells_it() {
    let mut pool = Pool::of(1);
    let id = pool.told_ready(mail());
    let revoke = |reason: &str| Command::Revoke { id, reason: reason.into() };
    assert_eq!(pool.command("user:root", revoke(" ")).expect_err("no reason").code, RefusalCode::Invalid);
    pool.command("user:root", revoke("the rack burns")).expect("it is revoked");
    assert_eq!(pool.ended(id), Some(End::Revoked));
    assert_eq!(pool.letters()[0].ended, Some((End::Revoked, "user:root: the rack burns".into())));
    assert_eq!(pool.command("user:root", revoke("again")).expect_err("it is over").code, RefusalCode::Refused);
}

#[test]
fn without_a_deadline_only_by_a_quota_and_with_one_again_at_will() {
    let mut pool = Pool::of(2);
    let id = pool.told_ready(mail());
    pool.try_all(None);
    let never = Command::Extend { id, to: Extension::Never };
    assert_eq!(pool.command(ANNA, never.clone()).expect_err("no quota permits it").code, RefusalCode::Refused);
    pool.permit_no_deadline();
    let record = pool.command(ANNA, never.clone()).expect("it is permitted");
    assert_eq!(record.reservation.grant().expect("granted").deadline, PoolTime::NEVER);
    assert_eq!(pool.command(ANNA, never).expect_err("it has none already").code, RefusalCode::Refused);
    pool.wait(HOUR * 24 * 60);
    assert!(pool.ended(id).is_none() && pool.letters().is_empty(), "it neither ends nor is warned");
    let waits = pool.reserve("", 2).expect("it waits");
    let told = crate::core::explain(&pool.state, pool.state.reservation(waits).expect("it is known"), pool.now.time);
    assert_eq!(told.expected, None, "nobody can tell when it comes back");
    let by = pool.command(ANNA, Command::Extend { id, to: Extension::By(HOUR) });
    assert_eq!(by.expect_err("it has none").code, RefusalCode::Refused);
    let until = pool.now.time + HOUR;
    let record = pool.command(ANNA, Command::Extend { id, to: Extension::Until(until) }).expect("it gets one");
    assert_eq!(record.reservation.grant().expect("granted").deadline, until);
    pool.wait(HOUR);
    assert_eq!(pool.ended(id), Some(End::Expired));
    assert_eq!(pool.folded_again(), pool.state);
}
