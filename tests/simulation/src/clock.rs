//! Clocks that are wrong: what a part of the pool takes for pool time, beside the world's.

use std::time::Duration;

use muster_model::PoolTime;

use crate::options::Flaw;
use crate::random::Random;

/// The pool clock of a part is wrong by at most so much, until it steps or the part begins another life.
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

    /// By what an agent takes the time: the pool's clock, or one that people set, where that is its mistake.
    pub(crate) fn of_agent(flaw: Option<Flaw>, random: &mut Random) -> Self {
        let max = if flaw == Some(Flaw::WallClock) { WALL_SKEW_MAX } else { SKEW_MAX };
        Self::within(max, random)
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
