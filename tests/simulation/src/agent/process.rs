//! What runs on a machine: a model of test processes.

use std::time::Duration;

use muster_model::PoolTime;

use crate::random::Random;

/// A process that does not answer for so long is missing.
const MIA_AFTER: Duration = Duration::from_secs(3);

/// A process that is alive.
#[derive(Debug, Clone)]
pub(super) struct Child {
    /// When it answers its first ping.
    pub(super) answers_at: PoolTime,
    /// It does not answer in this time.
    pub(super) hangs: Option<(PoolTime, PoolTime)>,
    /// When it ends, and how; none runs until it is stopped.
    pub(super) ends: Option<(PoolTime, Exit)>,
    /// It takes no notice of a stop.
    pub(super) is_deaf: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It said that it was done.
    Done,
    /// It failed.
    Failed,
    /// It was killed.
    Killed,
}

impl Child {
    /// A process as they come: most run on, some end soon, some hang for a while, some do not hear.
    pub(super) fn new(now: PoolTime, random: &mut Random) -> Self {
        let answers_at = now + random.millis(20, 800);
        let hangs = random.happens(150).then(|| {
            let from = answers_at + random.millis(500, 30_000);
            (from, from + random.millis(1_000, 9_000))
        });
        let ends = match random.below(10) {
            0 => Some((answers_at + random.millis(0, 60_000), Exit::Failed)),
            1 | 2 => Some((answers_at + random.millis(0, 60_000), Exit::Done)),
            _ => None,
        };
        Self { answers_at, hangs, ends, is_deaf: random.happens(80) }
    }

    /// It is told to stop.
    pub(super) fn stop(&mut self, now: PoolTime, random: &mut Random) {
        let by = now + random.millis(10, 1_500);
        let sooner = self.ends.is_none_or(|(at, _)| at > by);
        if !self.is_deaf && sooner {
            self.ends = Some((by, Exit::Done));
        }
    }

    /// When something about it changes next by itself.
    pub(super) fn next_change(&self, now: PoolTime) -> Option<PoolTime> {
        let mut changes = vec![self.answers_at];
        changes.extend(self.ends.map(|(at, _)| at));
        changes.extend(self.hangs.into_iter().flat_map(|(from, to)| [from + MIA_AFTER, to]));
        changes.into_iter().filter(|at| *at > now).min()
    }

    /// It misses its pings.
    pub(super) fn is_mia(&self, now: PoolTime) -> bool {
        self.hangs.is_some_and(|(from, to)| now >= from + MIA_AFTER && now < to)
    }
}
