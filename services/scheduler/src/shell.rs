//! What the scheduler does around its core while it leads: listeners, each a task that ends with leadership.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, BusError};
use muster_ledger::{Handle, Lead, Shell};
use muster_model::{Incarnation, MachineId, Position};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::core::{Effect, JobCore};
use crate::{effects, handler, heartbeats, hello};

/// How long to wait before listening is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What a heartbeat is answered from without a turn, so that the clock it carries is fresh: a copy, at most a second old.
pub(crate) type Generations = HashMap<MachineId, (Position, Incarnation)>;

/// The shell.
#[derive(Debug)]
pub(crate) struct JobShell {
    pub(crate) bus: Bus,
    pub(crate) instance: String,
    pub(crate) generations: RwLock<Arc<Generations>>,
    leading: watch::Sender<bool>,
}

impl JobShell {
    pub(crate) fn new(bus: Bus, instance: String) -> Self {
        Self { bus, instance, generations: RwLock::default(), leading: watch::Sender::new(false) }
    }

    /// Says whether this replica leads.
    pub(crate) fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Listens until leadership ends, or one of the listeners does.
    async fn listen(self: &Arc<Self>, handle: &Handle<JobCore>, lead: &Lead) -> Result<(), BusError> {
        let heard = heartbeats::subscribe(&self.bus).await?;
        let pings = heartbeats::subscribe_pings(&self.bus).await?;
        let hellos = hello::subscribe(&self.bus).await?;
        // A queue group of its own: the default group would keep feeding a leader that was stopped.
        let queue = format!("{}-{}-{}", Service::Scheduler.as_str(), self.instance, lead.term);
        let mut served = self.bus.serve(Service::Scheduler, &queue, &["command", "query"]).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(heartbeats::keep_generations(self.clone(), handle.clone()));
        tasks.spawn(heartbeats::listen(self.clone(), heard, handle.clone(), lead.clone()));
        tasks.spawn(heartbeats::listen_to_pings(pings, handle.clone()));
        tasks.spawn(hello::listen(self.clone(), hellos, handle.clone(), lead.clone()));
        for endpoint in served.endpoints.drain(..) {
            tasks.spawn(handler::listen(self.clone(), endpoint, handle.clone(), lead.clone()));
        }
        tasks.join_next().await;
        tasks.shutdown().await;
        served.stop().await;
        Ok(())
    }
}

impl Shell<JobCore> for JobShell {
    async fn lead(self: Arc<Self>, handle: Handle<JobCore>, lead: Lead) {
        self.leading.send_replace(true);
        while !lead.ended.is_cancelled() {
            tokio::select! {
                () = lead.ended.cancelled() => {}
                listened = self.listen(&handle, &lead) => {
                    if let Err(error) = listened {
                        tracing::warn!(%error, "listening failed, trying again");
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
        self.leading.send_replace(false);
    }

    async fn perform(self: Arc<Self>, effect: Effect, authority: Authority, handle: Handle<JobCore>) {
        effects::perform(&self.bus, effect, authority, &handle).await;
    }
}
