//! Pulses: square waves over pool time. A pure function of the definition and the time, so that whoever has both computes the same edges.
//!
//! Not responsible for who obeys which pulse (the scheduler), nor for waiting (the SDK).

use std::fmt;
use std::time::Duration;

use crate::quantity::print_duration;
use crate::{PoolTime, nanoseconds};

/// Pulses of a pool.
pub const PULSES: usize = 256;
/// Pulses that one job may have.
pub const PULSES_OF_JOB_MAX: usize = 8;
/// Shortest block and shortest free time: below it a wave is noise, and following it would cost more than what it gates.
pub const PULSE_PART_MIN: Duration = Duration::from_millis(1);
/// Longest block, free time and phase.
pub const PULSE_PART_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Edges that are looked at for a time at which all are free, before the search ends with the time that it has reached.
const EDGES_MAX: usize = 256;

/// Number of a pulse, 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PulseNumber(pub u8);

impl fmt::Display for PulseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<u32> for PulseNumber {
    type Error = PulseError;
    fn try_from(number: u32) -> Result<Self, PulseError> {
        u8::try_from(number).map(Self).map_err(|_| PulseError::Number(number))
    }
}

/// What makes a definition no pulse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PulseError {
    /// No such number.
    #[error("there is no pulse {0}: pulses are numbered 0 to 255")]
    Number(u32),
    /// Too short: zero among it.
    #[error("its {part} time of {} is shorter than {}", print_duration(*.time), print_duration(PULSE_PART_MIN))]
    TooShort {
        /// `block` or `free`.
        part: &'static str,
        /// What was given.
        time: Duration,
    },
    /// Too long.
    #[error("its {part} of {} is longer than {}", print_duration(*.time), print_duration(PULSE_PART_MAX))]
    TooLong {
        /// `block time`, `free time` or `phase`.
        part: &'static str,
        /// What was given.
        time: Duration,
    },
}

/// A square wave: at pool time t it blocks where (t - phase) mod (block + free) < block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    block: Duration,
    free: Duration,
    phase: Duration,
}

impl Pulse {
    /// A pulse.
    ///
    /// # Errors
    /// Says which part is too short or too long.
    pub fn new(block: Duration, free: Duration, phase: Duration) -> Result<Self, PulseError> {
        for (part, time) in [("block", block), ("free", free)] {
            if time < PULSE_PART_MIN {
                return Err(PulseError::TooShort { part, time });
            }
        }
        for (part, time) in [("block time", block), ("free time", free), ("phase", phase)] {
            if time > PULSE_PART_MAX {
                return Err(PulseError::TooLong { part, time });
            }
        }
        Ok(Self { block, free, phase })
    }

    /// How long it blocks.
    #[must_use]
    pub fn block(&self) -> Duration {
        self.block
    }

    /// How long it lets go on.
    #[must_use]
    pub fn free(&self) -> Duration {
        self.free
    }

    /// How far it is moved.
    #[must_use]
    pub fn phase(&self) -> Duration {
        self.phase
    }

    /// Part of the time in which it blocks, 0 to 1.
    #[must_use]
    pub fn duty(&self) -> f64 {
        self.block.as_secs_f64() / (self.block + self.free).as_secs_f64()
    }

    /// It blocks at this time.
    #[must_use]
    pub fn blocks(&self, at: PoolTime) -> bool {
        self.place(at) < nanoseconds(self.block)
    }

    /// The first time after `at` at which it begins to block, or to let go on.
    #[must_use]
    pub fn next_edge(&self, at: PoolTime) -> PoolTime {
        let (place, block) = (self.place(at), nanoseconds(self.block));
        let edge = if place < block { block } else { self.period() };
        PoolTime(at.0.saturating_add(edge - place))
    }

    /// The first time from `at` on at which it is free: `at` itself where it is.
    #[must_use]
    pub fn free_from(&self, at: PoolTime) -> PoolTime {
        if self.blocks(at) { self.next_edge(at) } else { at }
    }

    fn period(&self) -> i64 {
        nanoseconds(self.block) + nanoseconds(self.free)
    }

    /// Nanoseconds since the last beginning of a block.
    fn place(&self, at: PoolTime) -> i64 {
        at.0.saturating_sub(nanoseconds(self.phase)).rem_euclid(self.period())
    }
}

/// One of them blocks at this time.
#[must_use]
pub fn any_blocks(pulses: &[Pulse], at: PoolTime) -> bool {
    pulses.iter().any(|pulse| pulse.blocks(at))
}

/// The first time from `at` on at which all are free: `at` itself where they are. There may be none, or one that is far away: then the
/// time is given up to which one of them blocks for certain, and who waited until then asks again.
#[must_use]
pub fn all_free_from(pulses: &[Pulse], at: PoolTime) -> PoolTime {
    let mut time = at;
    for _ in 0..EDGES_MAX {
        let later = pulses.iter().fold(time, |time, pulse| pulse.free_from(time));
        if later == time {
            return time;
        }
        time = later;
    }
    time
}

/// The first time from `at` on at which one of them blocks: `at` itself where one does. None without pulses.
#[must_use]
pub fn blocked_from(pulses: &[Pulse], at: PoolTime) -> Option<PoolTime> {
    pulses.iter().map(|pulse| if pulse.blocks(at) { at } else { pulse.next_edge(at) }).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pulse(block_ms: u64, free_ms: u64, phase_ms: u64) -> Pulse {
        let [block, free, phase] = [block_ms, free_ms, phase_ms].map(Duration::from_millis);
        Pulse::new(block, free, phase).expect("its parts are in bounds")
    }

    fn at(ms: i64) -> PoolTime {
        PoolTime(ms * 1_000_000)
    }

    #[test]
    fn a_wave_begins_with_block_at_its_phase() {
        let wave = pulse(2_000, 3_000, 500);
        let blocked = [500, 1_000, 2_499, 5_500, 5_500 - 5_000].map(|ms| wave.blocks(at(ms)));
        assert_eq!(blocked, [true; 5]);
        let free = [0, 499, 2_500, 5_499].map(|ms| wave.blocks(at(ms)));
        assert_eq!(free, [false; 4]);
        assert_eq!([0, 500, 2_500].map(|ms| wave.next_edge(at(ms))), [at(500), at(2_500), at(5_500)]);
        assert_eq!(wave.duty(), 0.4);
    }

    #[test]
    fn times_before_the_phase_and_before_1970_belong_to_the_same_wave() {
        let wave = pulse(10, 30, 7);
        assert!(wave.blocks(at(7 - 40)));
        assert!(!wave.blocks(at(17 - 40)));
        assert!(wave.blocks(at(7 - 40_000)));
    }

    #[test]
    fn pulses_that_are_never_free_together_end_the_search() {
        let opposed = [pulse(50, 50, 0), pulse(50, 50, 50)];
        let reached = all_free_from(&opposed, at(10));
        assert!(reached > at(10), "who waits until then has slept, and asks again");
        assert!(any_blocks(&opposed, reached));
    }

    #[test]
    fn what_is_no_pulse_says_why() {
        let wrong = |block, free, phase| Pulse::new(block, free, phase).expect_err("out of bounds").to_string();
        let (none, second, year) = (Duration::ZERO, Duration::from_secs(1), Duration::from_secs(31_536_000));
        assert_eq!(wrong(none, second, none), "its block time of 0s is shorter than 1ms");
        assert_eq!(wrong(second, none, none), "its free time of 0s is shorter than 1ms");
        assert_eq!(wrong(second, second, year), "its phase of 365d is longer than 1d");
        let number = PulseNumber::try_from(256).expect_err("above 255").to_string();
        assert_eq!(number, "there is no pulse 256: pulses are numbered 0 to 255");
    }

    prop_compose! {
        fn any_pulse()(block in 1_u64..5_000, free in 1_u64..5_000, phase in 0_u64..20_000) -> Pulse {
            pulse(block, free, phase)
        }
    }

    proptest! {
        #[test]
        fn an_edge_is_where_it_changes_and_nowhere_before(wave in any_pulse(), ns in -1_000_000_000_000_i64..2_000_000_000_000_000_000, part in 0.0..1.0) {
            let now = PoolTime(ns);
            let edge = wave.next_edge(now);
            prop_assert!(edge > now);
            prop_assert_ne!(wave.blocks(now), wave.blocks(edge));
            prop_assert_eq!(wave.blocks(now), wave.blocks(PoolTime(edge.0 - 1)));
            let between = PoolTime(ns + ((edge.0 - ns - 1) as f64 * part) as i64);
            prop_assert_eq!(wave.blocks(now), wave.blocks(between));
            prop_assert!(edge.0 - ns <= nanoseconds(wave.block().max(wave.free())));
        }

        #[test]
        fn blocked_time_over_whole_periods_is_the_duty(wave in any_pulse(), ns in 0_i64..2_000_000_000_000_000_000) {
            let (mut now, mut blocked) = (PoolTime(ns), 0);
            let end = now + (wave.block() + wave.free()) * 3;
            while now < end {
                let edge = wave.next_edge(now).min(end);
                blocked += if wave.blocks(now) { edge.0 - now.0 } else { 0 };
                now = edge;
            }
            prop_assert_eq!(blocked, 3 * nanoseconds(wave.block()));
        }

        #[test]
        fn until_all_are_free_one_blocks(waves in prop::collection::vec(any_pulse(), 0..=PULSES_OF_JOB_MAX), ns in 0_i64..2_000_000_000_000_000_000, part in 0.0..1.0) {
            let now = PoolTime(ns);
            let free = all_free_from(&waves, now);
            prop_assert!(free >= now);
            if free > now {
                let between = PoolTime(ns + ((free.0 - ns - 1) as f64 * part) as i64);
                prop_assert!(any_blocks(&waves, between));
                prop_assert!(any_blocks(&waves, now));
            }
        }

        #[test]
        fn until_one_blocks_all_are_free(waves in prop::collection::vec(any_pulse(), 1..=PULSES_OF_JOB_MAX), ns in 0_i64..2_000_000_000_000_000_000, part in 0.0..1.0) {
            let now = PoolTime(ns);
            let blocked = blocked_from(&waves, now).expect("there are pulses");
            prop_assert!(any_blocks(&waves, blocked));
            if blocked > now {
                let between = PoolTime(ns + ((blocked.0 - ns - 1) as f64 * part) as i64);
                prop_assert!(!any_blocks(&waves, between));
            }
        }
    }
}
