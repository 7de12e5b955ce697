//! The quorum of a rollout: when it counts down, starts, or gives up. Nothing but numbers and times.

use std::time::Duration;

use muster_model::{KernelName, PoolTime};

/// A kernel and a quorum. The count of the request is the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The kernel that its machines are booted into.
    pub kernel: KernelName,
    /// With so many machines ready the countdown begins.
    pub minimum: u32,
    /// So long after that it starts with what is ready.
    pub countdown: Duration,
    /// So long after it was asked for it gives up below the minimum.
    pub give_up: Duration,
    /// Random part of the nonce of its boots.
    pub nonce: String,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Machines that are proven to run the kernel.
    pub ready: u32,
    /// How many are wanted.
    pub target: u32,
    /// When it was asked for.
    pub asked: PoolTime,
    /// When the present countdown ends; none while it does not count down.
    pub countdown: Option<PoolTime>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Wait,
    /// The countdown begins, and ends then.
    CountDown(PoolTime),
    /// It is below the minimum again.
    Cancel,
    /// Start with what is ready.
    Start,
    /// Give everything back.
    GiveUp,
}

impl Rollout {
    /// What is due now. At or above the minimum it never gives up, below it never starts.
    #[must_use]
    pub fn due(&self, standing: Standing, now: PoolTime) -> Due {
        let Standing { ready, target, asked, countdown } = standing;
        if ready >= target {
            return Due::Start;
        }
        if ready >= self.minimum {
            return match countdown {
                Some(ends) if ends.is_due(now) => Due::Start,
                Some(_) => Due::Wait,
                None => Due::CountDown(now + self.countdown),
            };
        }
        match countdown {
            Some(_) => Due::Cancel,
            None if (asked + self.give_up).is_due(now) => Due::GiveUp,
            None => Due::Wait,
        }
    }
}
