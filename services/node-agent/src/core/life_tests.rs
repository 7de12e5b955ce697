//! The state machine, by table and by property.

use std::time::Duration;

use muster_model::{ProcessState, Verdict};
use proptest::prelude::*;

use super::life::{Effect, Event, Life, RECONNECT_GRACE, Stage};
use super::outcome::{End, Said};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn said(verdict: Verdict) -> Said {
    Said { verdict, reason: String::new() }
}

/// A process that answered its first ping at 0 s.
fn running() -> Life {
    let mut life = Life::new();
    life.take(Event::Asked, seconds(0));
    life.take(Event::Spawned, seconds(0));
    assert_eq!(life.take(Event::Connected, seconds(0)), [Effect::SendStart, Effect::SendPing(1)]);
    let effects = life.take(Event::Pong { n: 1, iterations: 5 }, seconds(0));
    assert_eq!(effects, [Effect::Report { state: ProcessState::Running, reason: String::new() }]);
    life
}

/// Lets time pass in quarters of a second; gives all effects.
fn pass(life: &mut Life, from: u64, to: u64) -> Vec<Effect> {
    (from * 4..to * 4).flat_map(|quarter| life.take(Event::Tick, Duration::from_millis(quarter * 250 + 250))).collect()
}

fn reported(effects: &[Effect]) -> Vec<ProcessState> {
    let state = |effect: &Effect| if let Effect::Report { state, .. } = effect { Some(*state) } else { None };
    effects.iter().filter_map(state).collect()
}

/// Exits, closes the connection, and concludes.
fn end(life: &mut Life, status: Option<i32>, now: Duration) -> End {
    let mut effects = life.take(Event::Exited(status), now);
    effects.extend(life.take(Event::Disconnected, now));
    assert!(effects.contains(&Effect::Conclude), "{effects:?}");
    life.conclude(None)
}

#[test]
fn running_is_the_first_ping_answered_and_not_before() {
    let mut life = Life::new();
    life.take(Event::Asked, seconds(0));
    life.take(Event::Spawned, seconds(0));
    assert!(reported(&pass(&mut life, 0, 60)).is_empty(), "a process that never answers stays starting");
    assert_eq!(life.state(), ProcessState::Starting);
}

#[test]
fn three_missed_pings_make_mia_and_an_answer_ends_it() {
    let mut life = running();
    assert_eq!(reported(&pass(&mut life, 0, 3)), [], "two misses are not enough");
    let effects = pass(&mut life, 3, 30);
    assert_eq!(reported(&effects), [ProcessState::Mia], "said once");
    let last = effects.iter().rev().find_map(|e| if let Effect::SendPing(n) = e { Some(*n) } else { None });
    let effects = life.take(Event::Pong { n: last.unwrap(), iterations: 6 }, seconds(30));
    assert_eq!(reported(&effects), [ProcessState::Running]);
}

#[test]
fn iterations_are_unchanged_since_they_last_changed() {
    let mut life = running();
    assert_eq!(life.unchanged(seconds(4)), seconds(4), "the first answer counts as a change");
    pass(&mut life, 0, 7);
    life.take(Event::Pong { n: 2, iterations: 5 }, seconds(7));
    assert_eq!(life.unchanged(seconds(9)), seconds(9), "the same number is no change");
    life.take(Event::Pong { n: 3, iterations: 6 }, seconds(9));
    assert_eq!(life.unchanged(seconds(10)), seconds(1));
    assert_eq!(Life::new().unchanged(seconds(10)), Duration::ZERO, "nothing stalls before it answers");
}

#[test]
fn an_adopted_process_has_time_to_come_back() {
    let mut life = Life::adopted(ProcessState::Running, None, seconds(0));
    life.take(Event::Spawned, seconds(0));
    assert!(reported(&pass(&mut life, 0, RECONNECT_GRACE.as_secs())).is_empty());
    assert_eq!(reported(&pass(&mut life, RECONNECT_GRACE.as_secs(), 20)), [ProcessState::Mia]);
}

#[test]
fn a_stop_replaces_the_next_ping_and_ends_finished() {
    let mut life = running();
    let effects = life.take(Event::Stop { grace: seconds(5), reason: "stopped".into() }, seconds(0));
    assert_eq!(reported(&effects), [ProcessState::Fip]);
    assert!(effects.contains(&Effect::SendStop { grace: seconds(5) }));
    assert!(pass(&mut life, 0, 4).is_empty(), "no ping after a stop");
    life.take(Event::Done(said(Verdict::Pass)), seconds(4));
    let end = end(&mut life, Some(0), seconds(4));
    assert_eq!((end.state, end.verdict), (ProcessState::Finished, Verdict::Pass));
}

#[test]
fn past_its_grace_a_process_is_killed_until_it_is_gone() {
    let mut life = running();
    life.take(Event::Stop { grace: seconds(2), reason: "stopped".into() }, seconds(0));
    let kills = pass(&mut life, 0, 5).into_iter().filter(|effect| *effect == Effect::Kill).count();
    assert!(kills >= 2, "repeated: {kills}");
    let end = end(&mut life, Some(9), seconds(5));
    assert_eq!((end.state, end.verdict), (ProcessState::Dead, Verdict::Error));
    assert!(end.reason.contains("past its grace"), "{}", end.reason);
}

#[test]
fn what_is_stopped_before_it_began_never_begins() {
    let mut life = Life::new();
    let effects = life.take(Event::Stop { grace: seconds(5), reason: "stopped".into() }, seconds(0));
    assert_eq!(effects, [Effect::Conclude]);
    assert_eq!(life.conclude(None).state, ProcessState::Finished);
    assert!(life.take(Event::Asked, seconds(0)).is_empty());
    assert_eq!(life.stage(), Stage::Ended);
}

#[test]
fn an_exit_waits_for_what_was_said() {
    let mut life = running();
    assert!(life.take(Event::Exited(Some(0)), seconds(1)).is_empty(), "the connection is still open");
    life.take(Event::Done(said(Verdict::Fail)), seconds(1));
    assert_eq!(life.take(Event::Disconnected, seconds(1)), [Effect::Conclude]);
    assert_eq!(life.conclude(None).verdict, Verdict::Fail);
}

#[test]
fn what_a_process_left_in_its_directory_counts_where_nothing_was_heard() {
    let mut life = Life::adopted(ProcessState::Running, None, seconds(0));
    life.take(Event::Exited(Some(0)), seconds(0));
    assert!(pass(&mut life, 0, 1).contains(&Effect::Conclude));
    let end = life.conclude(Some(said(Verdict::Pass)));
    assert_eq!((end.state, end.verdict), (ProcessState::Finished, Verdict::Pass));
}

#[test]
fn an_answer_that_overtakes_the_keeper_is_said_after_it() {
    let mut life = Life::new();
    life.take(Event::Asked, seconds(0));
    life.take(Event::Connected, seconds(0));
    assert!(life.take(Event::Pong { n: 1, iterations: 1 }, seconds(0)).is_empty());
    assert_eq!(reported(&life.take(Event::Spawned, seconds(0))), [ProcessState::Running]);
}

#[test]
fn a_kill_that_overtakes_the_start_is_repeated_after_it() {
    let mut life = Life::new();
    life.take(Event::Asked, seconds(0));
    assert_eq!(life.take(Event::Kill("fenced".into()), seconds(0)), [Effect::Kill]);
    assert_eq!(life.take(Event::Spawned, seconds(0)), [Effect::Kill]);
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Asked),
        Just(Event::Spawned),
        Just(Event::NotStarted("no".into())),
        Just(Event::Connected),
        Just(Event::Disconnected),
        (0..4_u64).prop_map(|n| Event::Pong { n, iterations: n }),
        Just(Event::Done(said(Verdict::Pass))),
        prop::option::of(prop::sample::select(vec![0, 256, 9])).prop_map(Event::Exited),
        Just(Event::Stop { grace: seconds(1), reason: "stop".into() }),
        Just(Event::Kill("kill".into())),
        Just(Event::Tick),
        Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn only_listed_transitions_and_final_is_final(events in prop::collection::vec(event(), 1..60)) {
        let mut life = Life::new();
        let mut state = life.state();
        for (step, event) in events.into_iter().enumerate() {
            let now = Duration::from_millis(step as u64 * 400);
            for effect in life.take(event, now) {
                let next = match effect {
                    Effect::Report { state, .. } => state,
                    Effect::Conclude if life.is_live() => life.conclude(None).state,
                    _ => continue,
                };
                prop_assert!(!state.is_final() && state.may_become(next), "{state} -> {next}");
                state = next;
            }
        }
    }

    #[test]
    fn everything_that_exits_is_concluded_once(events in prop::collection::vec(event(), 0..30)) {
        let mut life = Life::new();
        let mut ends = 0;
        let tail = [Event::Asked, Event::Spawned, Event::Exited(Some(0)), Event::Tick];
        for (step, event) in events.into_iter().chain(tail).enumerate() {
            let now = Duration::from_secs(step as u64 * 3);
            for effect in life.take(event, now) {
                if effect == Effect::Conclude && life.is_live() {
                    life.conclude(None);
                    ends += 1;
                }
            }
        }
        prop_assert_eq!(ends, 1);
    }
}

/// A process that runs, and whose machine may go away.
fn away() -> Life {
    let mut life = running();
    assert_eq!(life.take(Event::Away, seconds(1)), []);
    assert_eq!(life.state(), ProcessState::Away);
    life
}

#[test]
fn an_exit_while_the_machine_may_go_away_is_no_end() {
    let mut life = away();
    let effects = [Event::Exited(Some(9)), Event::Disconnected].map(|event| life.take(event, seconds(2)));
    assert_eq!(effects.concat(), []);
    assert_eq!(pass(&mut life, 2, 60), [], "however long it takes");
    assert!(life.is_held() && life.is_live());
    assert_eq!(life.take(Event::Back("it did not go".into()), seconds(60)), [Effect::Conclude]);
    assert_eq!(life.conclude(None).state, ProcessState::Dead, "it stayed, and so this was its end");
}

#[test]
fn who_is_away_and_said_done_or_is_stopped_or_killed_has_ended() {
    let done = Event::Done(said(Verdict::Pass));
    let stop = Event::Stop { grace: seconds(5), reason: "stopped".into() };
    for (event, state) in [
        (done, ProcessState::Finished),
        (stop, ProcessState::Finished),
        (Event::Kill("fenced".into()), ProcessState::Dead),
    ] {
        let mut life = away();
        life.take(event.clone(), seconds(2));
        assert_eq!(end(&mut life, Some(0), seconds(3)).state, state, "{event:?}");
    }
}

#[test]
fn who_is_away_misses_no_pings_and_runs_on_where_its_machine_stays() {
    let mut life = away();
    assert_eq!(reported(&pass(&mut life, 1, 30)), []);
    let effects = life.take(Event::Back("it did not go".into()), seconds(30));
    assert_eq!(reported(&effects), [ProcessState::Running]);
    assert_eq!(life.take(Event::Back("again".into()), seconds(31)), []);
}

#[test]
fn who_went_with_its_machine_is_no_process_any_more() {
    let mut life = Life::gone();
    assert!(!life.is_live() && !life.may_run());
    assert_eq!(life.state(), ProcessState::Away);
    assert_eq!(life.take(Event::Exited(None), seconds(1)), [], "the keeper knows nothing of it, which is no news");
}
