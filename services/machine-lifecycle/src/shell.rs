//! What machine-lifecycle does around its core while it leads: four listeners and a watch, each a task that ends with leadership.

use std::sync::Arc;
use std::time::Duration;

use muster_bus::{Authority, Bus, BusError};
use muster_ledger::{Handle, Lead, Listening, Shell, listen_while_leading};

use crate::core::health::{Health, brake, health};
use crate::core::{Effect, MachineCore, Observation};
use crate::{effects, heartbeats, hello, metrics};

/// How often the connection, the brake and the health of all machines are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The brake holds for so many looks before people are told: right after a reconnect it is only our own deafness.
const ALARM_AFTER_LOOKS: u32 = 2;
/// How long to wait before the core is told again that leadership began.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The shell.
#[derive(Debug)]
pub(crate) struct MachineShell {
    pub(crate) bus: Bus,
    pub(crate) instance: String,
}

impl MachineShell {
    pub(crate) fn new(bus: Bus, instance: String) -> Self {
        Self { bus, instance }
    }

    /// Listens until leadership ends.
    async fn listen(self: &Arc<Self>, handle: &Handle<MachineCore>, lead: &Lead) -> Result<(), BusError> {
        let heartbeats = heartbeats::subscribe(&self.bus).await?;
        let hellos = hello::subscribe(&self.bus).await?;
        let mut listening = Listening::begin(&self.bus, self, handle, lead).await?;
        listening.spawn(heartbeats::listen(self.clone(), heartbeats, handle.clone(), lead.clone()));
        listening.spawn(hello::listen(self.clone(), hellos, handle.clone(), lead.clone()));
        listening.spawn(watch(self.bus.clone(), handle.clone(), lead.clone()));
        listening.until_ended(lead).await;
        Ok(())
    }
}

impl Shell<MachineCore> for MachineShell {
    async fn lead(self: Arc<Self>, handle: Handle<MachineCore>, lead: Lead) {
        while !handle.observe(Observation::LeadershipBegan) && !lead.ended.is_cancelled() {
            tokio::time::sleep(RETRY_DELAY).await;
        }
        listen_while_leading(&lead, || self.listen(&handle, &lead)).await;
    }

    async fn perform(self: Arc<Self>, effect: Effect, authority: Authority, handle: Handle<MachineCore>) {
        effects::perform(&self.bus, effect, authority, &handle).await;
    }
}

/// Tells the core when our own connection came back, and people when the brake holds.
async fn watch(bus: Bus, handle: Handle<MachineCore>, lead: Lead) {
    let mut connections = bus.connections();
    let mut looks_braked = 0_u32;
    loop {
        tokio::select! {
            () = lead.ended.cancelled() => return,
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
        let made = bus.connections();
        if connections != made && bus.is_connected() && handle.observe(Observation::Reconnected) {
            connections = made;
        }
        let asked = handle.query(|view| {
            let time = view.now.time;
            let count =
                |wanted| view.state.machines.keys().filter(|id| health(view.observed, id, time) == wanted).count();
            let counts = Health::ALL.map(|health| (health, count(health)));
            (brake(view.state, view.observed, time), counts)
        });
        let Ok((brake_holds, counts)) = asked.await else { continue };
        metrics::health(brake_holds, &counts);
        if brake_holds {
            looks_braked = looks_braked.saturating_add(1);
        }
        if brake_holds && looks_braked == ALARM_AFTER_LOOKS {
            tracing::error!(
                "too many machines went silent at once: no down verdicts until they are heard; is the network well?"
            );
        }
        if !brake_holds && looks_braked >= ALARM_AFTER_LOOKS {
            tracing::info!("the brake is off: machines are heard again");
        }
        if !brake_holds {
            looks_braked = 0;
        }
    }
}
