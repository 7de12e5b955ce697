//! Seeds, replays, and the mistakes that must be found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster_simulation::{Flaw, SimulationOptions, Violation, run};

/// Machines of each run.
const MACHINES: usize = 12;
/// So many seeds are tried in any case,
const SEEDS_MIN: u64 = 4;
/// and more for as long as this.
const TIME: Duration = Duration::from_secs(20);
/// A mistake must show within so many seeds.
const FLAW_SEEDS: u64 = 30;

#[test]
fn every_seed_keeps_every_invariant() {
    let next = AtomicU64::new(1);
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS_MIN && began.elapsed() > TIME {
                        return;
                    }
                    if let Err(violation) = run(SimulationOptions::new(seed, MACHINES)) {
                        panic!("{violation}");
                    }
                }
            });
        }
    });
    println!("{} seeds in {:?}", next.load(Ordering::Relaxed) - 1, began.elapsed());
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
    for seed in 1..=FLAW_SEEDS {
        let options = SimulationOptions { flaw: Some(flaw), ..SimulationOptions::new(seed, 8) };
        if let Err(violation) = run(options) {
            assert!(
                words.iter().any(|word| violation.what.contains(word)),
                "{flaw:?} shows as something else: {violation}"
            );
            return violation;
        }
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
    for seed in 1..=SEEDS_MIN {
        let options = SimulationOptions { flaw: Some(Flaw::NoSpool), ..SimulationOptions::new(seed, 8) };
        run(options).unwrap_or_else(|violation| panic!("{violation}"));
    }
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
