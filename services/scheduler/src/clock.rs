//! The pool clock of a replica: while it stands by it follows the leader's, so that it can continue it.
//!
//! The leader follows nobody: its own clock is the pool's. One that leads without ever having followed (everything was down) first
//! listens to what the agents' clocks say, which go on alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use muster_bus::{Bus, Inbound, subjects};
use muster_model::{Incarnation, MachineId, PoolTime};
use muster_proto::v1::envelope::Body;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::core::{State, cold_start};
use crate::metrics;

/// A cold leader waits so long for the agents' clocks; each says its own once a second.
const LISTEN_MAX: Duration = Duration::from_millis(1_500);
/// Clocks that are remembered at most; many more would not move their median.
const CLOCKS_MAX: usize = 4_096;

/// Follows the pool clock whenever this replica does not lead, until `stop`.
pub(crate) async fn follow_while_standing_by(bus: Bus, mut leading: watch::Receiver<bool>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let standing_by = stop.child_token();
        tokio::select! {
            () = stop.cancelled() => return,
            changed = leading.wait_for(|leads| !leads) => if changed.is_err() { return },
        }
        tokio::select! {
            () = muster_chassis::follow_pool_clock(bus.clone(), standing_by.clone()) => {}
            _ = leading.wait_for(|leads| *leads) => standing_by.cancel(),
        }
    }
}

/// What the agents' clocks said, and when it was heard.
#[derive(Debug, Default)]
pub(crate) struct AgentClocks {
    heard: Mutex<BTreeMap<MachineId, (PoolTime, Instant)>>,
    news: Notify,
}

impl AgentClocks {
    /// Listens until the pool clock is known, or `stop`.
    pub(crate) async fn listen(&self, bus: &Bus, stop: &CancellationToken) {
        let hellos = subjects::every_hello(subjects::Service::MachineLifecycle);
        let (beats, hellos) =
            tokio::join!(bus.subscribe(subjects::EVERY_HEARTBEAT, None), bus.subscribe(&hellos, None));
        let (Ok(beats), Ok(hellos)) = (beats, hellos) else {
            tracing::warn!("the agents' clocks can not be heard: a cold leader begins with its own");
            return;
        };
        let mut said = futures::stream::select(beats, hellos);
        while !bus.clock().is_set() {
            tokio::select! {
                () = stop.cancelled() => return,
                inbound = said.next() => match inbound {
                    Some(inbound) => self.take(inbound),
                    None => return,
                },
            }
        }
    }

    fn take(&self, inbound: Inbound) {
        let Some(machine) = subjects::machine_of(&inbound.subject) else { return };
        let time = match inbound.envelope.ok().and_then(|envelope| envelope.body) {
            Some(Body::Heartbeat(heartbeat)) => heartbeat.pool_time_ns,
            Some(Body::Hello(hello)) => hello.pool_time_ns,
            _ => 0,
        };
        // An agent that never heard the pool's time knows none.
        if time == 0 {
            return;
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < CLOCKS_MAX || heard.contains_key(&machine) {
            heard.insert(machine, (PoolTime(time), Instant::now()));
        }
        self.news.notify_one();
    }

    /// Begins the pool clock, if this replica never followed it: after every agent that is expected was heard, or a while.
    pub(crate) async fn begin(&self, bus: &Bus, state: &State, last_event: PoolTime) {
        if bus.clock().is_set() {
            return;
        }
        let expected = expected(state).min(CLOCKS_MAX);
        let enough = async {
            while self.now().len() < expected {
                self.news.notified().await;
            }
        };
        // What is not heard in time is done without.
        let _ = tokio::time::timeout(LISTEN_MAX, enough).await;
        // Meanwhile another leader may have answered.
        if bus.clock().is_set() {
            return;
        }
        let agents = self.now();
        let (count, own) = (agents.len(), bus.now());
        let time = cold_start(agents, own, last_event);
        bus.clock().begin(time);
        metrics::clock_began(count > 0);
        tracing::info!(
            agents = count,
            expected,
            ahead_of_wall_ms = (time.0 - own.0) / 1_000_000,
            "began the pool clock"
        );
    }

    /// The agents' clocks as they are now.
    fn now(&self) -> Vec<PoolTime> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.values().map(|(time, at)| *time + at.elapsed()).collect()
    }
}

/// Machines whose agents have said hello once, and are not known to be gone.
fn expected(state: &State) -> usize {
    let seen = state.machines.values().map(|machine| &machine.seen);
    seen.filter(|seen| seen.incarnation != Incarnation(0) && !seen.removed && !seen.down).count()
}
