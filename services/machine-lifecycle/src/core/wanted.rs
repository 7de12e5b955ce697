//! What is to be done outside, by state alone: every machine that is heard gets the desired state that it does not have yet.

use std::collections::BTreeSet;

use muster_ledger::Scope;
use muster_model::{Epoch, Incarnation, MachineId, PoolTime, Position, ResourceId};

use super::health::{Health, health};
use super::{Holder, Machine, Observed, Stage, State};

/// The desired state of a machine, as its agent gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Its generation.
    pub generation: Position,
    /// The life of the agent that it is for.
    pub incarnation: Incarnation,
    /// Everything older is to be ended and fenced.
    pub epoch: Epoch,
    /// Refuse starts.
    pub draining: bool,
    /// What tests may not touch.
    pub protected: BTreeSet<ResourceId>,
    /// The whole machine is protected.
    pub machine_protected: bool,
    /// Whose it is.
    pub holder: Holder,
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell an agent its desired state. Idempotent: the agent knows generations.
    SendDesired {
        /// Whom.
        machine: MachineId,
        /// What.
        desired: Box<Desired>,
    },
}

impl Effect {
    /// Its identity: a newer generation need not wait for an older one that is still on its way.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::SendDesired { machine, desired } => format!("desired/{machine}/{}", desired.generation),
        }
    }
}

/// The desired state of a machine.
#[must_use]
pub fn desired_of(machine: &Machine) -> Desired {
    Desired {
        generation: machine.generation,
        incarnation: machine.incarnation,
        epoch: machine.epoch,
        draining: matches!(machine.tenure.stage, Stage::Draining { .. }),
        protected: machine.protection.protected.clone(),
        machine_protected: machine.protection.machine,
        holder: machine.tenure.holder.clone(),
    }
}

/// Effects that are wanted now.
pub(super) fn wanted(state: &State, observed: &Observed, scope: Scope<'_, MachineId>, now: PoolTime) -> Vec<Effect> {
    let effect = |(id, machine): (&MachineId, &Machine)| {
        let seen = observed.current(id, machine)?;
        let behind = seen.heartbeat.generation < machine.generation && health(observed, id, now) == Health::Up;
        let desired = || Box::new(desired_of(machine));
        behind.then(|| Effect::SendDesired { machine: id.clone(), desired: desired() })
    };
    match scope {
        Scope::Full => state.machines.iter().filter_map(effect).collect(),
        Scope::Keys(keys) => keys.iter().filter_map(|id| state.machines.get_key_value(id)).filter_map(effect).collect(),
    }
}
