//! Probing again, once a minute and when devices come or go: what is found is said, and what ran on something that is gone is ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use muster_model::ProcessId;
use muster_proto::v1::{Inventory, InventoryReport, Resource, report};

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

    /// Begins a look, or what ends with one; false while another is under way, which is followed by one more.
    pub(super) fn begin(&mut self) -> bool {
        if self.under_way {
            self.again = true;
            return false;
        }
        *self = Self { last: Instant::now(), under_way: true, again: false };
        true
    }

    /// A look, or what ends with one, is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Nothing was looked at after all.
    pub(super) fn end(&mut self) {
        self.under_way = false;
    }
}

impl Agent {
    /// Looks at the machine in the background.
    pub(super) fn probe(&mut self) {
        if !self.probing.begin() {
            return;
        }
        let (places, inputs) = (self.places(), self.inputs.clone());
        tokio::task::spawn_blocking(move || {
            // It fails only when the agent ends.
            let _ = inputs.blocking_send(Input::Probed(probe::inventory(&places)));
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
        let usable = self.inventory.resources.iter().filter(|resource| is_usable(resource));
        let existing: BTreeSet<&str> = usable.map(|resource| resource.id.as_str()).collect();
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

/// Where the file system of a test area should be is only its mount point: no test goes there.
pub(super) fn is_usable(resource: &Resource) -> bool {
    resource.area.as_ref().is_none_or(|area| area.trouble.is_empty())
}
