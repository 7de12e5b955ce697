//! Messages as nobody should say them: services refuse them, or keep their invariants with them.

use muster_simulation::malformed::{MalformedOptions, run};

/// Of each type; `cargo xtask soak malformed` says more.
const MESSAGES: u64 = 3_000;

#[test]
fn nothing_malformed_makes_a_service_panic_or_breaks_its_state() {
    let tallies =
        run(MalformedOptions { seed: 1, messages: MESSAGES }, |_| ()).unwrap_or_else(|broken| panic!("{broken}"));
    // What is said reaches the validators and the cores: all three things happen to what has a validator.
    for tally in &tallies {
        let all = tally.undecodable + tally.refused + tally.taken;
        assert_eq!(all, MESSAGES, "{tally:?}");
        assert!(tally.undecodable > 0 && all > tally.undecodable, "{tally:?}");
    }
    for command in tallies.iter().filter(|tally| tally.name.ends_with("command")) {
        assert!(command.refused > 0 && command.taken > 0, "{command:?}");
    }
}
