//! How long a lease holds, when it is renewed, and when another's may be taken: without I/O, counted on the holder's own clock.
//!
//! Times are nanoseconds of CLOCK_BOOTTIME. Not responsible for asking the bucket (`lease`).

use std::time::Duration;

use muster_bus::streams;
use muster_model::nanoseconds;

/// How often a lease is renewed; and a loop that did not turn for so long does not renew.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// So many probes that reach nobody, one after the other, let a follower take the lease of a dead leader.
pub const PROBES_TO_TAKE: u32 = 3;

/// A lease that is or was ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holding {
    revision: u64,
    valid_until: i64,
    turned_at: i64,
}

/// Whether a lease is renewed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It is lost.
    Lost,
    /// The leader's loop does not turn: nobody would be led.
    Hangs,
    /// Renew it over this revision.
    Over(u64),
}

/// What stands in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Our own value, of this revision.
    Ours(u64),
    /// Another instance's, of this revision.
    Others(u64),
    /// Nothing: it expired or was given back; what is written next is written over this revision, which is 0 where there is none.
    Nothing(u64),
}

impl Holding {
    /// One that was taken by a request that was sent at `sent`, and answered by `now`.
    #[must_use]
    pub fn taken(sent: i64, revision: u64, now: i64) -> Self {
        Self { revision, valid_until: until(sent), turned_at: now }
    }

    /// Until when it holds.
    #[must_use]
    pub fn valid_until(&self) -> i64 {
        self.valid_until
    }

    /// Whether it holds.
    #[must_use]
    pub fn is_valid(&self, now: i64) -> bool {
        now < self.valid_until
    }

    /// It was given back, or another took it.
    pub fn end(&mut self) {
        self.valid_until = 0;
    }

    /// Revision of our newest value, as far as it is known.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The leader's loop turns.
    pub fn turned(&mut self, now: i64) {
        self.turned_at = now;
    }

    /// Whether it is to be renewed.
    #[must_use]
    pub fn renewal(&self, now: i64) -> Renewal {
        if !self.is_valid(now) {
            return Renewal::Lost;
        }
        if now - self.turned_at > nanoseconds(RENEW_EVERY) {
            return Renewal::Hangs;
        }
        Renewal::Over(self.revision)
    }

    /// A renewal that was sent at `sent` was acknowledged.
    pub fn renewed(&mut self, sent: i64, revision: u64) {
        (self.revision, self.valid_until) = (revision, until(sent));
    }

    /// After a renewal with unknown outcome: takes the revision of our own value, and sees the loss of the lease. How long the lease
    /// holds is not prolonged by it.
    pub fn read_back(&mut self, held: Held) {
        match held {
            // Where nobody holds it, ours still counts, and renewing means to make it anew.
            Held::Ours(revision) | Held::Nothing(revision) => self.revision = revision,
            Held::Others(_) => self.end(),
        }
    }
}

/// What the server thinks of a lease's age does not matter: it began to count after the request was sent.
fn until(sent: i64) -> i64 {
    sent + nanoseconds(streams::LEASE_AGE)
}

/// A follower that looks for a leader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Probes in a row that reached nobody, while the lease had the revision `seen`.
    unanswered: u32,
    seen: u64,
}

/// What a candidate does about what stands in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Take the lease, over this revision.
    Take(u64),
    /// Ask whether the leader is there.
    Probe,
}

impl Candidate {
    /// Looks at what stands in the bucket.
    pub fn look(&mut self, held: Held) -> Look {
        match held {
            Held::Ours(revision) | Held::Nothing(revision) => Look::Take(revision),
            Held::Others(revision) => {
                if revision != self.seen {
                    (self.seen, self.unanswered) = (revision, 0);
                }
                Look::Probe
            }
        }
    }

    /// A probe was answered, or not; true when the lease that was looked at may be taken.
    pub fn probed(&mut self, is_leader_there: bool) -> bool {
        self.unanswered = if is_leader_there { 0 } else { self.unanswered + 1 };
        self.unanswered >= PROBES_TO_TAKE
    }

    /// Looking failed: what was counted counts no longer.
    pub fn failed(&mut self) {
        self.unanswered = 0;
    }
}
