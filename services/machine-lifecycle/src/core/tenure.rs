//! Tenure: whose a machine is, and how far a change of holder is.

use std::time::Duration;

use muster_model::{PoolTime, ReservationId};

/// Whose a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Holder {
    /// Nobody's in particular.
    #[default]
    Pool,
    /// A reservation's, until its deadline.
    Reservation {
        /// Which.
        id: ReservationId,
        /// Its user.
        user: String,
        /// Pool time of its end; never, for none.
        deadline: PoolTime,
        /// Ssh key that its machines are to have for its time, one line; empty for none.
        ssh_key: String,
    },
}

impl Holder {
    /// The reservation, if it is one.
    #[must_use]
    pub fn reservation(&self) -> Option<ReservationId> {
        match self {
            Self::Pool => None,
            Self::Reservation { id, .. } => Some(*id),
        }
    }

    /// Its deadline; never, for none.
    #[must_use]
    pub fn deadline(&self) -> PoolTime {
        match self {
            Self::Pool => PoolTime::NEVER,
            Self::Reservation { deadline, .. } => *deadline,
        }
    }

    pub(super) fn move_deadline(&mut self, to: PoolTime) {
        if let Self::Reservation { deadline, .. } = self {
            *deadline = to;
        }
    }

    /// The same party, whatever the deadline.
    #[must_use]
    pub fn is_same_party(&self, other: &Self) -> bool {
        self.reservation() == other.reservation()
    }
}

/// How far a change of holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// None is under way.
    #[default]
    Settled,
    /// Starts are refused, what runs is ended; the epoch rises when it is empty, or at the deadline.
    Draining {
        /// Pool time at which the epoch rises anyway.
        deadline: PoolTime,
    },
    /// The epoch has risen; the agent has not yet reported its fence.
    Fencing,
}

/// Tenure: whose it is, or whose it is going to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenure {
    /// The holder; while it changes, the one to come.
    pub holder: Holder,
    /// How far the change is.
    pub stage: Stage,
}

/// Who is next, when a machine was granted while it was still changing hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The holder to come.
    pub next: Holder,
    /// How long what runs there may take to end.
    pub drain: Duration,
}
