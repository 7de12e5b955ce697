//! Clocks that are wrong: what a part of the pool takes for pool time, beside the world's.

use std::time::Duration;

use muster_model::PoolTime;

use crate::random::Random;

/// The pool clock of a part is wrong by at most so much. It keeps its error for a life, and a new leader begins with another.
pub(crate) const SKEW_MAX: Duration = Duration::from_millis(1_500);
/// A clock that people set is wrong by as much as this.
const WALL_SKEW_MAX: Duration = Duration::from_secs(3_600);

/// What is to be added to the world's time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    ahead_ns: i64,
}

impl Clock {
    /// A pool clock.
    pub(crate) fn skewed(random: &mut Random) -> Self {
        Self::within(SKEW_MAX, random)
    }

    /// A wall clock.
    pub(crate) fn wall(random: &mut Random) -> Self {
        Self::within(WALL_SKEW_MAX, random)
    }

    fn within(max: Duration, random: &mut Random) -> Self {
        let max_ms = max.as_millis() as u64;
        let ahead_ms = random.below(2 * max_ms + 1) as i64 - max_ms as i64;
        Self { ahead_ns: ahead_ms * 1_000_000 }
    }

    /// What it shows.
    pub(crate) fn read(self, now: PoolTime) -> PoolTime {
        PoolTime(now.0 + self.ahead_ns)
    }
}
