//! The built program by hand: passes that verify every move, every corruption that it makes itself, and its limits.

use std::fs;
use std::path::Path;
use std::process::Command;

use muster_module_protocol::{ModuleMessage, Outcome, Status};
use muster_module_testkit::{CLASSES, Done, Running, by_hand, described, manifest, names};

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-memory");

fn memory(results: &Path, parameters: &[&str]) -> Command {
    let mut command = by_hand(PROGRAM, parameters);
    command.arg("--results").arg(results).args(["--seed", "abc"]);
    command
}

fn run(results: &Path, parameters: &[&str]) -> Done {
    Done::run(&mut memory(results, parameters))
}

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(PROGRAM));
    assert_eq!(described, manifest(include_str!("../module.toml")));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_byte_of_every_move_is_verified_by_every_way_and_number_of_areas() {
    let results = tempfile::tempdir().expect("directory");
    for (areas, way, size, moves) in [
        ("areas=2", "way=copy", "size=16MiB", 4),
        ("areas=3", "way=stream", "size=12MiB", 4),
        ("areas=4", "way=odd", "size=16MiB", 6),
        ("areas=5", "way=mix", "size=1MiB", 64),
        ("areas=64", "way=bytes", "size=1MiB", 126),
    ] {
        let done = run(results.path(), &["passes=2", areas, way, size]);
        assert_eq!(
            (done.code, done.status, done.result, done.reason.as_str()),
            (Some(0), Status::Complete, Outcome::Pass, "")
        );
        let bytes: u64 = size[5..size.len() - 3].parse::<u64>().expect("a size") << 20;
        let data: u64 = areas[6..].parse::<u64>().expect("a count") - 1;
        assert_eq!((done.count("passes"), done.count("moves")), (2, 2 * moves), "{areas} {way}");
        assert_eq!((done.count("moved_bytes"), done.count("verified_bytes")), (2 * moves * bytes, 2 * moves * bytes));
        assert_eq!((done.count("filled_bytes"), done.count("errors")), (2 * data * bytes, 0));
        assert!(done.totals["moves_per_second"] > 0.0 && done.totals["move_seconds"] > 0.0);
    }
}

#[test]
fn without_a_size_the_areas_go_from_the_first_cache_to_the_greatest_that_is_allowed() {
    let results = tempfile::tempdir().expect("directory");
    let done = run(results.path(), &["passes=4", "memory_max=64MiB", "way=copy"]);
    assert_eq!((done.result, done.reason.as_str()), (Outcome::Pass, ""));
    assert!(done.text.contains("; 16MiB: "), "{}", done.text);
    let sizes = done.text.matches("GB/s moved").count();
    assert!((2..=4).contains(&sizes), "{}", done.text);
    let (_, gauges) = done.last_metric();
    for kind in ["move", "verify"] {
        let levels = ["p50", "p99", "p999", "max"].map(|level| gauges[&format!("{kind}_latency_{level}_seconds")]);
        assert!(levels[0] > 0.0 && levels.is_sorted(), "{kind} {levels:?}");
    }
}

/// Injects a class and checks all that is told and kept of it.
fn check_injected(class: &str, place: &str, persistence: &str, size: &str) {
    let directory = tempfile::tempdir().expect("directory");
    let parameters = [&format!("size={size}"), "areas=3", &format!("inject={class}"), &format!("inject_into={place}")];
    let done = run(directory.path(), &parameters);
    let corruption = done.corruption();
    assert_eq!((corruption.class.as_str(), corruption.persistence.as_str()), (class, persistence), "{corruption:?}");
    assert_eq!((done.code, done.status, done.result), (Some(1), Status::Complete, Outcome::Fail));
    assert!(done.reason.contains(class), "{}", done.reason);
    // By the first verification after it was made: that of the second move.
    assert_eq!((done.count("moves"), done.count("errors")), (1, 1));
    assert_eq!((corruption.expected.len(), corruption.actual.len()), (1024, 1024));
    assert_ne!(corruption.expected, corruption.actual);
    // The foreign owner is the one that was made: the process beside this one.
    assert_eq!(corruption.owner_dpid.is_empty(), class != "FOREIGN", "{corruption:?}");
    assert_eq!(done.event("injected"), Some(format!("{class} at {}", corruption.offset).as_str()));
    assert!(corruption.target.starts_with("area ") && corruption.target.contains(" at 0x"), "{}", corruption.target);
    let head = "offset          word  expected          actual            difference        flag  meaning";
    assert!(
        corruption.detail.contains(head) && corruption.detail.contains("where it is still right"),
        "{corruption:?}"
    );
    check_kept(&done, directory.path());
}

/// What was expected and read is kept before the report, and the history after it.
fn check_kept(done: &Done, results: &Path) {
    let order = ["expected.bin", "actual.bin", "explained.txt", "the report", "history.csv"];
    assert_eq!(done.kept(), order);
    let names = names(results);
    assert_eq!(names.len(), 4);
    let history = names.iter().find(|name| name.ends_with("history.csv")).expect("a history");
    let history = fs::read_to_string(results.join(history)).expect("history");
    assert_eq!(history.lines().count(), 3, "{history}");
}

#[test]
fn each_class_in_memory_is_found_at_once_classified_saved_and_fails_the_test() {
    for class in CLASSES {
        check_injected(class, "memory", "STORED", "64KiB");
    }
}

#[test]
fn asked_to_go_on_it_tells_of_wrong_data_once_and_fails_in_the_end() {
    for (class, size) in [("BITFLIP", "64KiB"), ("FOREIGN", "1MiB"), ("ZERO", "512")] {
        let directory = tempfile::tempdir().expect("directory");
        let parameters = [&format!("size={size}"), "areas=3", "passes=3", &format!("inject={class}")];
        let done = Done::run(memory(directory.path(), &parameters).args(["--on-error", "continue"]));
        assert_eq!((done.code, done.status, done.result), (Some(1), Status::Complete, Outcome::Fail));
        assert_eq!((done.count("passes"), done.count("errors")), (3, 1), "{}", done.reason);
        let told = done.messages.iter().filter(|message| matches!(message, ModuleMessage::Corruption(_))).count();
        assert_eq!((told, done.corruption().class.as_str()), (1, class));
        assert!(done.reason.starts_with("1 moves were corrupt, 1 of them reported; the first: "), "{}", done.reason);
    }
}

#[test]
fn what_is_to_come_first_is_said_before_what_was_found() {
    let directory = tempfile::tempdir().expect("directory");
    let said = |on_error: &str| {
        let parameters = ["size=64KiB", "areas=3", "inject=BITFLIP"];
        Done::run(memory(directory.path(), &parameters).args(["--on-error", on_error])).messages
    };
    let place = |messages: &[ModuleMessage], wanted: &dyn Fn(&ModuleMessage) -> bool| messages.iter().position(wanted);
    let fired = said("trigger 7,3");
    let corruption = place(&fired, &|message| matches!(message, ModuleMessage::Corruption(_))).expect("it is told");
    for number in [3, 7] {
        let trigger = place(&fired, &|message| matches!(message, ModuleMessage::Trigger { n, .. } if *n == number));
        assert!(trigger.expect("it fires") < corruption);
    }
    let crashed = said("crash");
    let crash = place(&crashed, &|message| matches!(message, ModuleMessage::Crash { .. })).expect("it is asked for");
    // Nobody is there who could: what was found is told after all.
    let refused =
        |message: &ModuleMessage| matches!(message, ModuleMessage::Event { name, .. } if name == "not_crashed");
    let refused = place(&crashed, &refused).expect("it is said so");
    let corruption = place(&crashed, &|message| matches!(message, ModuleMessage::Corruption(_))).expect("it is told");
    assert!(crash < refused && refused < corruption);
}

#[test]
fn what_is_right_when_it_is_read_again_is_transient() {
    for class in CLASSES {
        check_injected(class, "reading", "TRANSIENT", "64KiB");
    }
}

#[test]
fn an_area_of_one_sector_and_one_larger_than_what_is_saved_are_told_as_well() {
    for (class, size) in [("BITFLIP", "512"), ("FOREIGN", "512"), ("STALE", "9MiB"), ("MISDIRECTED", "9MiB")] {
        check_injected(class, "memory", "STORED", size);
    }
}

#[test]
fn what_can_not_be_tested_is_an_error_in_one_clear_line() {
    let directory = tempfile::tempdir().expect("directory");
    let cases = [
        ("size=1000", "parameter `size` can not be `1000`: it must be a multiple of 512"),
        ("size=1PiB", "of memory, and the machine can give"),
        ("memory_max=1PiB", "make size, areas or memory_max smaller"),
        ("memory_max=1KiB", "parameter `memory_max` can not be `1024`: it must be at least 64KiB"),
        ("areas=1", "parameter `areas` can not be `1`: it must be from 2 to 64"),
        ("areas=65", "parameter `areas` can not be `65`: it must be from 2 to 64"),
        ("way=swim", "parameter `way` can not be `swim`: write one of mix, copy, stream, bytes, odd"),
        ("numa=far", "parameter `numa` can not be `far`: write one of spread, local"),
        ("inject=NONE", "parameter `inject` can not be `NONE`: write one of BITFLIP, STALE"),
    ];
    for (parameter, text) in cases {
        let done = run(directory.path(), &[parameter]);
        assert_eq!((done.code, done.status, done.result), (Some(2), Status::Error, Outcome::Na), "{parameter}");
        assert!(done.reason.contains(text) && done.reason.lines().count() == 1, "{}", done.reason);
    }
}

#[test]
fn a_stop_ends_it_with_pass_and_the_limit_holds() {
    let directory = tempfile::tempdir().expect("directory");
    let mut running = Running::start(&mut memory(directory.path(), &["size=64KiB", "rate_max=6400KiB"]));
    running.hear_until(|message| matches!(message, ModuleMessage::Metric { .. }));
    running.signal("-TERM");
    let done = running.hear_until(|message| matches!(message, ModuleMessage::Done { .. }));
    let ModuleMessage::Done { result: Outcome::Pass, r#final: totals, .. } = done else { panic!("{done:?}") };
    assert_eq!(running.exit_code(), Some(0));
    // A hundred moves a second, and the first at once.
    assert!(totals["moves"] <= 100.0 * totals["seconds"] + 1.0 && totals["moves"] > 0.0, "{totals:?}");
}
