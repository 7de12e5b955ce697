//! Which machines match the selectors of reservations that are not over: found once, and kept as machines change.

use std::collections::BTreeMap;

use muster_model::{MachineId, Selector};

use super::MachineSet;
use super::machine::{Machine, Named};

/// Selectors in use.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Matching(BTreeMap<String, Kept>);

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    selector: Selector,
    /// Reservations that have it.
    uses: usize,
    /// Machines that match and take part.
    machines: MachineSet,
}

impl Matching {
    /// A reservation has this selector from now on.
    pub(super) fn begin(&mut self, selector: &Selector, machines: &BTreeMap<MachineId, Machine>) {
        let fresh = || Kept { selector: selector.clone(), uses: 0, machines: found(selector, machines) };
        self.0.entry(selector.to_string()).or_insert_with(fresh).uses += 1;
    }

    /// A reservation that had this selector is over.
    pub(super) fn end(&mut self, selector: &Selector) {
        let text = selector.to_string();
        let Some(kept) = self.0.get_mut(&text) else { return };
        kept.uses -= 1;
        if kept.uses == 0 {
            self.0.remove(&text);
        }
    }

    /// A machine is something else now, or gone.
    pub(super) fn see(&mut self, id: &MachineId, before: Option<&Machine>, after: Option<&Machine>) {
        if before.map(asked_for) == after.map(asked_for) {
            return;
        }
        for kept in self.0.values_mut() {
            if after.is_some_and(|machine| matches(&kept.selector, id, machine)) {
                kept.machines.insert(id.clone());
            } else {
                kept.machines.remove(id);
            }
        }
    }

    /// The machines that match and take part; none where nobody has the selector.
    pub(super) fn of(&self, selector: &Selector) -> Option<&MachineSet> {
        self.0.get(&selector.to_string()).map(|kept| &kept.machines)
    }
}

/// Machines that match a selector and take part.
pub(super) fn found(selector: &Selector, machines: &BTreeMap<MachineId, Machine>) -> MachineSet {
    machines.iter().filter(|(id, machine)| matches(selector, id, machine)).map(|(id, _)| id.clone()).collect()
}

fn matches(selector: &Selector, id: &MachineId, machine: &Machine) -> bool {
    machine.takes_part() && selector.matches(&Named(id, machine))
}

/// What decides whether a machine matches.
fn asked_for(machine: &Machine) -> impl PartialEq + '_ {
    (machine.takes_part(), &machine.attributes, &machine.tags)
}
