//! What really happened on the machines, and the invariants that only this can tell.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Epoch, ProcessId};

/// A process that was forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fork {
    /// Where.
    pub(crate) machine: usize,
    /// In which epoch.
    pub(crate) epoch: Epoch,
    /// For which reservation; 0 is the pool.
    pub(crate) reservation: u64,
}

/// Everything that really happened.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    forked: BTreeMap<ProcessId, Fork>,
    /// Forks that a snapshot took back: on their machines they have never been.
    undone: BTreeSet<ProcessId>,
    alive: BTreeMap<ProcessId, Fork>,
    excused: BTreeSet<ProcessId>,
    /// The newest epoch that each agent has fenced.
    fenced: BTreeMap<usize, Epoch>,
    /// Who has each epoch of each machine, by MACHINES.
    holders: BTreeMap<(usize, Epoch), u64>,
    /// The first invariant that was found broken.
    pub(crate) broken: Option<String>,
}

impl Truth {
    /// MACHINES says that an epoch begins. I1: once, and for one holder.
    pub(crate) fn epoch_raised(&mut self, machine: usize, epoch: Epoch, reservation: u64) {
        if let Some(before) = self.holders.insert((machine, epoch), reservation) {
            self.fail(format!("I1: epoch {epoch} of m{machine} was {before}'s already, and is given to {reservation}"));
        }
    }

    /// An agent has fenced an epoch.
    pub(crate) fn fenced(&mut self, machine: usize, epoch: Epoch) {
        self.fenced.insert(machine, epoch);
    }

    /// A process was forked. I6: once for ever. I4: not behind a fence. I7: nothing older lives there. I1: in an epoch of its own
    /// holder.
    pub(crate) fn forked(&mut self, id: ProcessId, fork: Fork) {
        let Fork { machine, epoch, reservation } = fork;
        let undone = self.undone.remove(&id);
        if let Some(before) = self.forked.insert(id, fork).filter(|before| !undone || before.machine != machine) {
            self.fail(format!("I6: {id} was forked on m{} and again on m{machine}", before.machine));
        }
        if let Some(fence) = self.fenced.get(&machine).filter(|fence| epoch < **fence) {
            self.fail(format!("I4: {id} of epoch {epoch} starts on m{machine} behind the fence of epoch {fence}"));
        }
        let older = self.alive.iter().find(|(_, other)| other.machine == machine && other.epoch < epoch);
        if let Some((old, other)) = older {
            self.fail(format!(
                "I7: {old} of epoch {} is alive on m{machine} when {id} of epoch {epoch} starts",
                other.epoch
            ));
        }
        if self.holders.get(&(machine, epoch)) != Some(&reservation) {
            let holder = self.holders.get(&(machine, epoch));
            self.fail(format!(
                "I1: {id} of reservation {reservation} starts on m{machine} in epoch {epoch} of {holder:?}"
            ));
        }
        self.alive.insert(id, fork);
    }

    /// A process is allowed to end: it was told to stop, it is fenced, or its machine reboots.
    pub(crate) fn excuse(&mut self, id: ProcessId) {
        self.excused.insert(id);
    }

    /// A machine went back to an older state, in which these processes run.
    pub(crate) fn went_back(&mut self, machine: usize, running: &[ProcessId], known: impl Fn(&ProcessId) -> bool) {
        self.alive.retain(|_, fork| fork.machine != machine);
        self.alive.extend(running.iter().map(|id| (*id, self.forked[id])));
        let undone = self.forked.iter().filter(|(id, fork)| fork.machine == machine && !known(id));
        self.undone.extend(undone.map(|(id, _)| *id));
        self.fenced.remove(&machine);
    }

    /// A process ended by itself.
    pub(crate) fn ended(&mut self, id: ProcessId) {
        self.alive.remove(&id);
    }

    /// A process was ended by Muster. I6: only one that was told to stop, or fenced.
    pub(crate) fn killed(&mut self, id: ProcessId) {
        if !self.excused.contains(&id) {
            self.fail(format!("I6: {id} was ended, and nobody asked for it"));
        }
        self.alive.remove(&id);
    }

    /// Processes that are alive.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (ProcessId, Fork)> {
        self.alive.iter().map(|(id, fork)| (*id, *fork))
    }

    /// How many were forked.
    pub(crate) fn forks(&self) -> usize {
        self.forked.len()
    }

    /// Notes that an invariant is broken; the first one counts.
    pub(crate) fn fail(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}
