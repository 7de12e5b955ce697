//! What holds in every state of the worlds, and the mistakes that must be found.

use muster_model_check::check::{finds, holds};
use muster_model_check::deadline::{self, DeadlineWorld};
use muster_model_check::lease::{self, LeaseWorld};
use muster_model_check::log::{self, LogWorld};
use muster_model_check::tenure::{self, Budget, TenureWorld};

#[test]
fn the_lease_has_one_holder() {
    println!("{} states", holds(LeaseWorld::default()));
}

#[test]
fn the_log_loses_nothing_and_does_nothing_twice() {
    let states = holds(TWO_LEADERS);
    println!("{states} states");
    assert!(states >= 1_000_000, "{states}");
    let impatient = LogWorld { takeovers: 0, repeats: 1, ..TWO_LEADERS };
    println!("{} states", holds(impatient));
}

/// A second leader beside the first, and something lost.
const TWO_LEADERS: LogWorld = LogWorld { mistake: None, crashes: 1, losses: 1, takeovers: 1, repeats: 0 };

/// The counter-example to a mistake in the lease.
#[track_caller]
fn lease_finds(mistake: lease::Mistake, property: &'static str) {
    println!("{mistake:?}: {property}\n{}", finds(LeaseWorld { mistake: Some(mistake) }, property));
}

#[test]
fn a_lease_that_is_counted_from_its_receipt_is_found() {
    lease_finds(lease::Mistake::CountedFromReceipt, lease::ONE_HOLDER);
}

#[test]
fn a_lease_that_reading_it_back_prolongs_is_found() {
    lease_finds(lease::Mistake::ReadBackProlongs, lease::ONE_HOLDER);
}

#[test]
fn a_leader_that_hangs_and_renews_is_found() {
    lease_finds(lease::Mistake::RenewsWhileHanging, lease::HANGING);
}

#[test]
fn a_lease_that_is_taken_whatever_stands_there_is_found() {
    lease_finds(lease::Mistake::TakenBlindly, lease::ONE_HOLDER);
}

#[test]
fn a_lease_that_is_taken_from_a_leader_that_answers_is_found() {
    lease_finds(lease::Mistake::TakenFromTheLiving, lease::FROM_THE_DEAD);
}

/// The counter-example to a mistake around the log.
#[track_caller]
fn log_finds(mistake: log::Mistake, property: &'static str) {
    println!(
        "{mistake:?}: {property}\n{}",
        finds(LogWorld { mistake: Some(mistake), repeats: 1, ..TWO_LEADERS }, property)
    );
}

#[test]
fn an_append_without_expected_sequence_is_found() {
    log_finds(log::Mistake::NoExpectedSequence, log::CHAIN);
}

#[test]
fn a_reply_before_the_acknowledgement_is_found() {
    log_finds(log::Mistake::RepliesBeforeAcknowledgement, log::KEPT);
}

#[test]
fn a_resend_after_unknown_with_a_new_sequence_is_found() {
    log_finds(log::Mistake::NewSequenceAfterUnknown, log::ONCE);
}

#[test]
fn an_unknown_outcome_that_counts_as_stored_is_found() {
    log_finds(log::Mistake::UnknownIsStored, log::KEPT);
}

#[test]
fn nothing_found_that_counts_as_never_stored_is_found() {
    log_finds(log::Mistake::NothingFoundIsFinal, log::REFUSED);
}

#[test]
fn a_leader_that_answers_what_the_log_refused_is_found() {
    log_finds(log::Mistake::RepliesWhenLost, log::ONE_REPLIES);
    log_finds(log::Mistake::RepliesWhenLost, log::KEPT);
}

#[test]
fn a_leader_that_answers_readers_without_a_look_at_the_log_is_found() {
    log_finds(log::Mistake::ReadsWithoutLooking, log::FRESH);
}

#[test]
fn a_retry_with_a_new_id_is_found() {
    log_finds(log::Mistake::RetriesWithNewId, log::ONCE);
}

#[test]
fn a_leader_that_does_not_raise_the_term_is_found() {
    log_finds(log::Mistake::NoTermRaised, log::OWN_TERM);
}

#[test]
fn a_machine_changes_hands_behind_a_fence() {
    let budget = Budget { starts: 1, times: 1, ..CALM };
    println!("{} states", holds(TenureWorld { mistake: None, budget }));
}

/// The counter-example to a mistake around a machine that changes hands, where this much happens at most.
#[track_caller]
fn tenure_finds(mistake: tenure::Mistake, budget: Budget, property: &'static str) {
    println!("{mistake:?}: {property}\n{}", finds(TenureWorld { mistake: Some(mistake), budget }, property));
}

/// Nothing happens by chance.
const CALM: Budget = Budget { crashes: 0, reverts: 0, takeovers: 0, copies: 0, losses: 0, starts: 0, times: 0 };

#[test]
fn an_agent_that_takes_every_term_is_found() {
    tenure_finds(tenure::Mistake::NoTermAtAgent, Budget { takeovers: 1, ..CALM }, tenure::STALE);
}

#[test]
fn an_agent_that_keeps_terms_in_memory_is_found() {
    tenure_finds(tenure::Mistake::TermsInMemory, Budget { takeovers: 1, crashes: 1, ..CALM }, tenure::STALE);
}

#[test]
fn an_agent_without_fence_is_found() {
    tenure_finds(tenure::Mistake::NoFence, Budget { starts: 2, times: 1, ..CALM }, tenure::FENCED);
}

#[test]
fn a_fence_in_memory_is_found() {
    tenure_finds(tenure::Mistake::FenceInMemory, Budget { crashes: 1, ..CALM }, tenure::NEEDLESS);
    tenure_finds(tenure::Mistake::FenceInMemory, Budget { crashes: 1, ..CALM }, tenure::KEPT);
}

#[test]
fn an_agent_that_takes_every_epoch_is_found() {
    tenure_finds(tenure::Mistake::NoEpochAtAgent, Budget { starts: 1, ..CALM }, tenure::ONE_HOLDER);
}

#[test]
fn an_answer_that_was_overtaken_is_found() {
    tenure_finds(tenure::Mistake::OvertakenAnswers, CALM, tenure::DEADLINE);
}

#[test]
fn a_hello_that_is_answered_before_it_is_logged_is_found() {
    tenure_finds(
        tenure::Mistake::HelloAnsweredUnlogged,
        Budget { takeovers: 1, crashes: 2, ..CALM },
        tenure::INCARNATION,
    );
}

#[test]
fn a_deadline_is_kept_whoever_is_cut_off_or_stopped() {
    println!("{} states", holds(DeadlineWorld { mistake: None, cuts: 0, stops: 1 }));
    println!("{} states", holds(DeadlineWorld { mistake: None, cuts: 1, stops: 0 }));
}

/// The counter-example to a mistake around a deadline.
#[track_caller]
fn deadline_finds(mistake: deadline::Mistake, property: &'static str) {
    let world = DeadlineWorld { mistake: Some(mistake), cuts: 1, stops: 1 };
    println!("{mistake:?}: {property}\n{}", finds(world, property));
}

#[test]
fn an_agent_that_enforces_no_deadline_is_found() {
    deadline_finds(deadline::Mistake::NoDeadlineAtAgent, deadline::OUTLIVES);
}

#[test]
fn an_agent_that_waits_for_those_who_come_and_go_is_found() {
    deadline_finds(deadline::Mistake::OnlyWhenCutOff, deadline::OUTLIVES);
}

#[test]
fn a_deadline_that_is_left_to_reservation_is_found() {
    deadline_finds(deadline::Mistake::NoDeadlineAtMachines, deadline::ONLINE);
}

#[test]
fn an_extension_that_is_lost_is_found() {
    deadline_finds(deadline::Mistake::ExtensionLost, deadline::EARLY);
}

#[test]
fn a_clock_that_is_ahead_is_found() {
    deadline_finds(deadline::Mistake::ClockAhead, deadline::EARLY);
}
