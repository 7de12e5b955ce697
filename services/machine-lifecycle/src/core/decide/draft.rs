//! A decision about one machine while it is being made: each fact is applied to a copy at once, so that what follows sees it.

use muster_ledger::{At, Now};
use muster_model::MachineId;

use crate::core::apply::apply_fact;
use crate::core::check::legal_fact;
use crate::core::{Event, Fact, Machine};

/// The copy, and the facts so far.
pub(super) struct Draft<'a> {
    id: &'a MachineId,
    machine: Machine,
    events: Vec<Event>,
    now: Now,
}

impl<'a> Draft<'a> {
    pub(super) fn new(id: &'a MachineId, machine: Machine, now: Now) -> Self {
        Self { id, machine, events: Vec::new(), now }
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// Decides one more fact.
    pub(super) fn push(&mut self, fact: Fact) {
        debug_assert!(
            matches!(fact, Fact::Added { .. }) || legal_fact(&self.machine, &fact).is_ok(),
            "{}: {fact:?} is not legal",
            self.id
        );
        apply_fact(&mut self.machine, &fact, &At { position: self.now.position, time: self.now.time, actor: "" });
        self.events.push(Event::Machine { id: self.id.clone(), fact });
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn into_parts(self) -> (Machine, Vec<Event>) {
        (self.machine, self.events)
    }
}
