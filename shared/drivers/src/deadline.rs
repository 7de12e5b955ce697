//! Until when a call may take.

use std::time::Duration;

use tokio::time::Instant;

/// The moment by which a call ends, done or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    at: Instant,
    within: Duration,
}

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn within(within: Duration) -> Self {
        Self { at: Instant::now() + within, within }
    }

    /// The moment.
    #[must_use]
    pub fn at(self) -> Instant {
        self.at
    }

    /// How long the whole was given, for messages.
    #[must_use]
    pub fn given(self) -> Duration {
        self.within
    }

    /// Half of what is left, so that something else can be tried in the other half.
    #[must_use]
    pub fn half(self) -> Self {
        Self::within(self.at.saturating_duration_since(Instant::now()) / 2)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        Instant::now() >= self.at
    }
}
