//! Seeds, replays, and the mistakes that must be found.

use std::sync::Mutex;
use std::time::Duration;

use muster_simulation::{Flaw, SimulationOptions, Summary, Violation, run, run_many};

/// Machines of each crowded run, and how many of those there are.
const MACHINES: usize = 12;
const SEEDS: u64 = 20;
/// Machines of each run of an hour, and how many of those there are.
const HOUR_MACHINES: usize = 100;
const HOURS: u64 = 20;
/// A mistake must show within so many seeds: some need a rare order of things.
const FLAW_SEEDS: u64 = 100;

#[test]
fn every_crowded_run_keeps_every_invariant() {
    run_many(SimulationOptions::new(1, MACHINES), SEEDS, drop).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn every_hour_of_a_hundred_machines_keeps_every_invariant() {
    let did = Mutex::new((0, 0));
    let tell = |summary: Summary| {
        let mut did = did.lock().expect("nobody panicked");
        *did = (did.0 + summary.jobs, did.1 + summary.crashes);
    };
    run_many(SimulationOptions::hour(1, HOUR_MACHINES), HOURS, tell).unwrap_or_else(|violation| panic!("{violation}"));
    let (jobs, crashes) = did.into_inner().expect("nobody panicked");
    assert!(jobs > HOURS as usize && crashes > HOURS as usize, "{jobs} jobs and {crashes} crashes make no hours");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let short = |seed| SimulationOptions { duration: Duration::from_secs(120), ..SimulationOptions::new(seed, 5) };
    let first = run(short(7)).unwrap_or_else(|violation| panic!("{violation}"));
    let again = run(short(7)).unwrap_or_else(|violation| panic!("{violation}"));
    let other = run(short(8)).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(first, again);
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn without_faults_everything_runs_and_ends() {
    let options = SimulationOptions { faults: false, ..SimulationOptions::new(3, 4) };
    let summary = run(options).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(summary.jobs > 5 && summary.forks > 20 && summary.reservations > 2, "{summary}");
    assert_eq!(summary.crashes, 0);
}

/// Runs seeds with a mistake until one is found.
#[track_caller]
fn finds(flaw: Flaw, words: &[&str]) -> Violation {
    let first = SimulationOptions { flaw: Some(flaw), ..SimulationOptions::new(1, 8) };
    if let Err(violation) = run_many(first, FLAW_SEEDS, drop) {
        let is_it = words.iter().any(|word| violation.what.contains(word));
        assert!(is_it, "{flaw:?} shows as something else: {violation}");
        return violation;
    }
    panic!("{flaw:?} was not found in {FLAW_SEEDS} seeds");
}

#[test]
fn an_agent_without_fence_is_found() {
    finds(Flaw::NoFence, &["I4", "I7", "I10"]);
}

#[test]
fn an_agent_without_intents_is_found() {
    finds(Flaw::NoIntents, &["I6"]);
}

#[test]
fn an_agent_that_takes_every_command_is_found() {
    finds(Flaw::NoAuthority, &["I1", "I4", "I6", "I7", "I9"]);
}

#[test]
fn an_agent_without_spool_settles_all_the_same() {
    let first = SimulationOptions { flaw: Some(Flaw::NoSpool), ..SimulationOptions::new(1, 8) };
    run_many(first, 4, drop).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn an_agent_without_spool_whose_lists_say_no_ends_is_found() {
    finds(Flaw::NoSpoolNoEnds, &["I2", "I9"]);
}

#[test]
fn answers_before_the_append_are_found() {
    finds(Flaw::AnswersBeforeAppend, &["I2"]);
}

#[test]
fn a_service_that_forgets_its_commands_is_found() {
    finds(Flaw::NoCommandMemory, &["decided twice", "I2"]);
}

#[test]
fn a_service_that_forgets_how_far_it_read_is_found() {
    finds(Flaw::NoPositions, &["after", "I9"]);
}

#[test]
fn a_leader_that_appends_whatever_another_has_appended_is_found() {
    finds(Flaw::NoExpectedSequence, &["chain", "I1", "I2", "I9"]);
}

#[test]
fn a_leader_that_answers_what_the_log_refused_is_found() {
    finds(Flaw::AnswersWhenLost, &["I2"]);
}

#[test]
fn a_leader_whose_time_goes_back_is_found() {
    finds(Flaw::NoTimeFloor, &["goes back"]);
}

#[test]
fn an_agent_that_keeps_deadlines_by_a_wall_clock_is_found() {
    finds(Flaw::WallClock, &["I6"]);
}

#[test]
fn a_violation_names_the_command_that_shows_it_again() {
    let violation = finds(Flaw::NoPositions, &["after", "I9"]);
    let text = violation.to_string();
    let command = format!("cargo xtask simulate --seed {} --machines 8", violation.options.seed);
    assert!(text.ends_with(&command), "{text}");
    assert!(violation.history.len() > 10);
}
