//! When an agent has something to do.

use std::time::Duration;

use muster_model::PoolTime;
use muster_proto::v1;

use super::step::DEADLINE_GRACE;
use super::{Agent, Stage};

/// An agent to which something happened beats and looks around for so long.
const STIRRED: Duration = Duration::from_secs(5);
/// One to which nothing happens looks around all the same after this.
const IDLE_STEP: Duration = Duration::from_secs(60);

impl Agent {
    /// Something happens to it.
    pub(crate) fn stir(&mut self, now: PoolTime) {
        self.stirred_until = now + STIRRED;
    }

    /// It is up and has nothing to do or to say.
    pub(crate) fn is_idle(&self, now: PoolTime) -> bool {
        now >= self.down_until && !self.is_busy(now)
    }

    /// When something is due without anything happening before; none while there is something to do.
    pub(crate) fn next_due(&self, now: PoolTime) -> Option<PoolTime> {
        let changes = self.children.values().filter_map(|child| child.next_change(now)).min();
        if now < self.down_until {
            return Some(changes.map_or(self.down_until, |at| at.min(self.down_until)));
        }
        if self.is_busy(now) {
            return None;
        }
        let due = [changes, self.taken_back_at(now), Some(now + IDLE_STEP)];
        due.into_iter().flatten().min()
    }

    /// A heartbeat that nobody waits for, and whose it is.
    pub(crate) fn idle_heartbeat(&mut self, now: PoolTime) -> Option<(String, v1::Envelope)> {
        let heartbeat = self.heartbeat(now)?;
        Some((self.name(), heartbeat))
    }

    fn is_busy(&self, now: PoolTime) -> bool {
        let Some(life) = &self.life else { return true };
        now < self.stirred_until
            || life.stage != Stage::Online
            || !self.disk.spool.is_empty()
            || self.disk.fenced != self.disk.epoch
            || self.disk.known.values().any(|known| known.stop.is_some() && !known.ended)
            || self.taken_back_at(now).is_some_and(|at| at <= now)
    }

    /// When it would take its machine back from its holder by itself.
    fn taken_back_at(&self, now: PoolTime) -> Option<PoolTime> {
        let life = self.life.as_ref().filter(|life| !life.closed)?;
        let deadline = Some(self.disk.deadline).filter(|deadline| *deadline != PoolTime::NEVER)?;
        Some(now + (deadline + DEADLINE_GRACE).since(life.clock.read(now)))
    }
}
