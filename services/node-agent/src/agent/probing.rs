//! Probing again, once a minute and when devices come or go: what is found is said, and what ran on something that is gone is ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use muster_model::ProcessId;
use muster_proto::v1::{Inventory, InventoryReport, report};

use super::{Agent, Input};
use crate::core::life::Event;
use crate::probe;

/// When the machine is looked at. At most one look is under way.
#[derive(Debug)]
pub(super) struct Probing {
    /// When the last one began.
    pub last: Instant,
    under_way: bool,
    /// Something changed while one was under way.
    again: bool,
}

impl Probing {
    /// The machine was looked at just now.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, under_way: false, again: false }
    }
}

impl Agent {
    /// Looks at the machine in the background.
    pub(super) fn probe(&mut self) {
        if self.probing.under_way {
            self.probing.again = true;
            return;
        }
        self.probing = Probing { last: Instant::now(), under_way: true, again: false };
        let (disks, inputs) = (self.settings.disks.clone(), self.inputs.clone());
        tokio::task::spawn_blocking(move || {
            // It fails only when the agent ends.
            let _ = inputs.blocking_send(Input::Probed(probe::inventory(&disks)));
        });
    }

    /// The machine was looked at.
    pub(super) fn probed(&mut self, found: Inventory) {
        self.probing.under_way = false;
        if found != *self.inventory {
            tracing::info!(resources = found.resources.len(), "probing found another machine than before");
            self.reports.say(report::Kind::Inventory(InventoryReport { inventory: Some(found.clone()) }));
            self.inventory = Arc::new(found);
            self.end_on_vanished();
        }
        if self.probing.again {
            self.probe();
        }
    }

    /// Ends processes whose resources are not there any more: the test can not go on, and that is no fault of the product.
    pub(super) fn end_on_vanished(&mut self) {
        let existing: BTreeSet<&str> = self.inventory.resources.iter().map(|resource| resource.id.as_str()).collect();
        let gone = |resources: &[String]| resources.iter().find(|id| !existing.contains(id.as_str())).cloned();
        let live = self.processes.iter().filter(|(_, process)| process.life.is_live());
        let ended: Vec<(ProcessId, String)> =
            live.filter_map(|(id, process)| Some((*id, gone(&process.intent.resources)?))).collect();
        for (id, resource) in ended {
            tracing::warn!(process = %id, resource, "a process is ended: what it runs on is gone");
            self.happen(id, Event::Kill(format!("{resource} is gone")));
        }
    }
}
