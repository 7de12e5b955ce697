//! What the scheduler does around its core while it leads: listeners, each a task that ends with leadership.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use muster_bus::{Authority, Bus, BusError};
use muster_ledger::{Handle, Lead, Listening, Shell, listen_while_leading};
use muster_model::{Incarnation, MachineId, PoolTime, Position};
use tokio::sync::watch;

use crate::centers::{self, Heard};
use crate::clock::AgentClocks;
use crate::core::{Effect, JobCore, State};
use crate::{effects, heartbeats, hello, stalls};

/// What a heartbeat is answered from without a turn, so that the clock it carries is fresh: a copy, at most a second old.
pub(crate) type Generations = HashMap<MachineId, (Position, Incarnation)>;

/// The shell.
#[derive(Debug)]
pub(crate) struct JobShell {
    pub(crate) bus: Bus,
    pub(crate) instance: String,
    pub(crate) generations: RwLock<Arc<Generations>>,
    pub(crate) clocks: AgentClocks,
    /// Command centers that were heard since the core was told last.
    pub(crate) centers: Heard,
    leading: watch::Sender<bool>,
}

impl JobShell {
    pub(crate) fn new(bus: Bus, instance: String) -> Self {
        Self {
            bus,
            instance,
            generations: RwLock::default(),
            clocks: AgentClocks::default(),
            centers: Heard::default(),
            leading: watch::Sender::new(false),
        }
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
        let mut listening = Listening::begin(&self.bus, self, handle, lead).await?;
        listening.spawn(heartbeats::keep_generations(self.clone(), handle.clone()));
        listening.spawn(heartbeats::listen(self.clone(), heard, handle.clone(), lead.clone()));
        listening.spawn(heartbeats::listen_to_pings(pings, handle.clone()));
        listening.spawn(stalls::watch(handle.clone()));
        listening.spawn(centers::tell(self.clone(), handle.clone()));
        listening.spawn(hello::listen(self.clone(), hellos, handle.clone(), lead.clone()));
        listening.until_ended(lead).await;
        Ok(())
    }
}

impl Shell<JobCore> for JobShell {
    async fn prepare(&self, state: &State, last: PoolTime) {
        self.clocks.begin(&self.bus, state, last).await;
    }

    async fn lead(self: Arc<Self>, handle: Handle<JobCore>, lead: Lead) {
        self.leading.send_replace(true);
        listen_while_leading(&lead, || self.listen(&handle, &lead)).await;
        self.leading.send_replace(false);
    }

    async fn perform(self: Arc<Self>, effect: Effect, authority: Authority, handle: Handle<JobCore>) {
        effects::perform(&self.bus, effect, authority, &handle).await;
    }
}
