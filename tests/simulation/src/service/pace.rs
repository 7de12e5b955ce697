//! When a service takes a turn, and what it hears meanwhile of agents to which nothing happens.

use std::time::Duration;

use muster_ledger::Core;
use muster_model::PoolTime;
use muster_proto::v1::{self, envelope::Body};

use super::{Part, Running, Service};

/// A service to which something happened takes turns as often as it can for so long.
const STIRRED: Duration = Duration::from_secs(10);
/// One to which nothing happens takes a turn after this: within what a deadline may be late.
const IDLE_TURN: Duration = Duration::from_secs(4);

impl<C: Core> Running<C> {
    pub(super) fn is_stirred(&self, now: PoolTime) -> bool {
        now < self.stirred_until || !self.waiting.is_empty() || !self.in_flight.is_empty()
    }
}

impl<P: Part> Service<P> {
    /// Something happens to it.
    pub(crate) fn stir(&mut self, now: PoolTime) {
        for running in [self.running.as_mut(), self.old.as_mut()].into_iter().flatten() {
            running.stirred_until = now + STIRRED;
        }
    }

    /// When it takes its next turn, when nothing happens before; none for as soon as it can.
    pub(crate) fn next_turn(&self, now: PoolTime) -> Option<PoolTime> {
        if self.old.is_some() {
            return None;
        }
        let may = self.down_until.max(self.cut_until);
        if now < may {
            return Some(if now < self.down_until { self.down_until } else { may });
        }
        let running = self.running.as_ref()?;
        (!running.is_stirred(now)).then(|| now + IDLE_TURN)
    }

    /// Everybody who leads hears an agent to which nothing happens; what who leads last answers it.
    pub(crate) fn heard_idle(&mut self, machine: &str, envelope: &v1::Envelope, now: PoolTime) -> Option<v1::Envelope> {
        if now < self.cut_until {
            return None;
        }
        let mut answered = None;
        for running in [self.old.as_mut(), self.running.as_mut()].into_iter().flatten() {
            let Some(answer) = running.hear::<P>(machine, envelope, now) else { continue };
            let body = Some(Body::HeartbeatAnswer(answer));
            answered = Some(v1::Envelope { term: running.term, body, ..Default::default() });
        }
        answered
    }
}
