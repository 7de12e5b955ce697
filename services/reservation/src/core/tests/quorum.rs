//! The quorum against an oracle that was written on its own: it looks at a whole history from outside, second by second.

use proptest::prelude::*;

use muster_model::KernelName;

use super::*;
use crate::core::quorum::{Due, Rollout, Standing};

const TARGET: u32 = 5;

fn quorum(minimum: u32, countdown: u64, give_up: u64) -> Rollout {
    let (countdown, give_up) = (Duration::from_secs(countdown), Duration::from_secs(give_up));
    Rollout { kernel: KernelName::new("k").expect("a name"), minimum, countdown, give_up, nonce: "feed".into() }
}

/// How it ends, and in which second; none while it goes on.
type Outcome = Option<(&'static str, usize)>;

/// What the core does with so many ready machines in each second.
fn decided(rollout: &Rollout, ready: &[u32]) -> Outcome {
    let mut countdown = None;
    for (second, ready) in ready.iter().enumerate() {
        let now = START + Duration::from_secs(second as u64);
        loop {
            let standing = Standing { ready: *ready, target: TARGET, asked: START, countdown };
            match rollout.due(standing, now) {
                Due::Wait => break,
                Due::CountDown(ends) => countdown = Some(ends),
                Due::Cancel => countdown = None,
                Due::Start => return Some(("start", second)),
                Due::GiveUp => return Some(("give up", second)),
            }
        }
    }
    None
}

/// The rule of design.md in its own words: the target starts; so does the minimum, once it was held without a break for the
/// countdown; below the minimum it gives up once its time is over.
fn expected(minimum: u32, countdown: usize, give_up: usize, ready: &[u32]) -> Outcome {
    (0..ready.len()).find_map(|second| {
        let held = ready[..=second].iter().rev().take_while(|ready| **ready >= minimum).count();
        if ready[second] >= TARGET || held > countdown {
            Some(("start", second))
        } else if held == 0 && second >= give_up {
            Some(("give up", second))
        } else {
            None
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn the_quorum_equals_the_oracle(
        minimum in 1..=TARGET,
        countdown in 1..12_usize,
        give_up in 1..40_usize,
        changes in prop::collection::vec((0..=TARGET, 1..10_usize), 1..12),
    ) {
        let ready: Vec<u32> = changes.iter().flat_map(|(ready, seconds)| vec![*ready; *seconds]).collect();
        let rollout = quorum(minimum, countdown as u64, give_up as u64);
        prop_assert_eq!(decided(&rollout, &ready), expected(minimum, countdown, give_up, &ready), "{:?}", ready);
    }
}
