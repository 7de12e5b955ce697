//! Triggers as the log knows them: which machines are armed, and which firings are remembered. The log never fires: agents act
//! on what they hear from each other, and say afterwards what came of it.

use std::collections::VecDeque;
use std::sync::Arc;

use muster_ledger::At;
use muster_model::{
    ArmId, Epoch, Firing, FiringId, JobNumber, MachineId, PoolTime, ReservationId, TriggerActed, TriggerAction,
    TriggerNumber,
};

use super::event::{TriggerArmed, TriggerDisarmed};
use super::limits::FIRINGS_MAX;
use super::state::State;

/// What all machines of one command are armed with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArmSpec {
    /// Number.
    pub number: TriggerNumber,
    /// What they do.
    pub action: TriggerAction,
    /// Machines that may fire it, sorted; with `from_jobs` empty too, whatever runs for the same holder may.
    pub from_machines: Vec<MachineId>,
    /// Jobs that may fire it, sorted.
    pub from_jobs: Vec<JobNumber>,
    /// Holder of the machines; 0 is the pool.
    pub reservation: ReservationId,
    /// Selector of the machines, as given.
    pub selector: String,
    /// Selector of those that may fire, as given.
    pub from_selector: String,
    /// Who armed it.
    pub actor: String,
}

/// A machine's arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// Names it.
    pub id: ArmId,
    /// When.
    pub at: PoolTime,
    /// Epoch in which it holds.
    pub epoch: Epoch,
    /// What it is.
    pub spec: Arc<ArmSpec>,
}

/// A firing, as far as it was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Names it.
    pub id: FiringId,
    /// Number of the trigger.
    pub number: TriggerNumber,
    /// When it fired.
    pub fired: PoolTime,
    /// Machine that fired it; none for a person.
    pub fired_by: Option<MachineId>,
    /// Its own words, once they were heard.
    pub firing: Option<Firing>,
    /// What became of it, sorted by machine.
    pub acted: Vec<TriggerActed>,
}

impl State {
    pub(super) fn arm(&mut self, armed: &TriggerArmed, at: &At<'_>) {
        let spec = &armed.spec;
        for (id, epoch) in &armed.machines {
            let Some(machine) = self.machines.get_mut(id) else { continue };
            let before = machine.arms.get(&spec.number).map(|arm| arm.id);
            let index = before.filter(|id| id.position == at.position).map_or(0, |id| id.index + 1);
            let id = ArmId { position: at.position, index };
            machine.arms.insert(spec.number, Arm { id, at: at.time, epoch: *epoch, spec: spec.clone() });
            machine.generation = at.position;
        }
    }

    pub(super) fn disarm(&mut self, disarmed: &TriggerDisarmed, at: &At<'_>) {
        for id in &disarmed.machines {
            let Some(machine) = self.machines.get_mut(id) else { continue };
            if machine.arms.remove(&disarmed.number).is_some() {
                machine.generation = at.position;
            }
        }
    }

    /// Arms end with the epoch in which they were made, and with the run whose jobs they name.
    pub(super) fn disarm_all(&mut self, machine: &MachineId, at: &At<'_>) {
        let Some(machine) = self.machines.get_mut(machine) else { return };
        if !machine.arms.is_empty() {
            machine.arms.clear();
            machine.generation = at.position;
        }
    }

    pub(super) fn note_fired(&mut self, firing: &Firing) {
        let found = self.remember(firing.id, || Remembered {
            id: firing.id,
            number: firing.number,
            fired: firing.fired,
            fired_by: firing.source.machine().cloned(),
            firing: None,
            acted: Vec::new(),
        });
        found.firing.get_or_insert_with(|| firing.clone());
    }

    /// The first word of a machine about a firing counts.
    pub(super) fn note_acted(&mut self, acted: &TriggerActed, at: &At<'_>) {
        let found = self.remember(acted.firing, || Remembered {
            id: acted.firing,
            number: acted.number,
            fired: acted.fired,
            fired_by: acted.fired_by.clone(),
            firing: None,
            acted: Vec::new(),
        });
        if let Err(place) = found.acted.binary_search_by(|known| known.machine.cmp(&acted.machine)) {
            found.acted.insert(place, acted.clone());
        }
        let Some(machine) = self.machines.get_mut(&acted.machine).filter(|_| acted.disarms()) else { return };
        if machine.arms.get(&acted.number).is_some_and(|arm| Some(arm.id) == acted.arm) {
            machine.arms.remove(&acted.number);
            machine.generation = at.position;
        }
    }

    /// A firing that is remembered, at the price of the oldest.
    fn remember(&mut self, id: FiringId, new: impl FnOnce() -> Remembered) -> &mut Remembered {
        let place = self.firings.iter().rposition(|firing| firing.id == id).unwrap_or_else(|| {
            if self.firings.len() >= FIRINGS_MAX {
                self.firings.pop_front();
            }
            self.firings.push_back(new());
            self.firings.len() - 1
        });
        &mut self.firings[place]
    }
}

/// Firings in the order in which they were heard of.
pub type Firings = VecDeque<Remembered>;
