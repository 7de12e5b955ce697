//! Pool time: the one clock that logs hold (design: the scheduler leader's clock, which all follow).

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of the pool clock: nanoseconds since 1970-01-01T00:00:00Z. 0 means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoolTime(pub i64);

impl PoolTime {
    /// Never, or not yet.
    pub const NEVER: Self = Self(0);

    /// Time from `earlier` to this; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Set, and not later than `now`.
    #[must_use]
    pub fn is_due(self, now: Self) -> bool {
        self != Self::NEVER && self <= now
    }
}

/// Nanoseconds of a duration, as they travel; saturating.
#[must_use]
pub fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Milliseconds of a duration, as they travel; saturating.
#[must_use]
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Add<Duration> for PoolTime {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl Sub<Duration> for PoolTime {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(duration)))
    }
}
