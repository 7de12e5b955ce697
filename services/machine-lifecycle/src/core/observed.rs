//! What is volatile: the newest heartbeat of each machine, and since when this service listens.

use std::collections::BTreeMap;

use muster_model::{BootOperation, BootProgress, Epoch, Incarnation, MachineId, PoolTime, Position, StorageProgress};

use super::{Machine, State};

/// An agent's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// Who.
    pub machine: MachineId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Boot id.
    pub boot_id: String,
    /// Generation of our desired state that it has on disk.
    pub generation: Position,
    /// The fence on its disk.
    pub fenced_epoch: Epoch,
    /// Live processes.
    pub processes_live: u32,
    /// Digest of the live processes.
    pub processes_digest: u64,
    /// It refuses starts because it is draining.
    pub draining: bool,
    /// Number of the newest batch of reports that it knows to be stored.
    pub stored: u64,
    /// How far it is with the newest order to install a kernel or to reboot.
    pub boot: Option<BootProgress>,
    /// How far it is with the newest order to prepare a disk.
    pub storage: Option<StorageProgress>,
    /// What became of the ssh key of its holder, for people; empty without one.
    pub ssh_key: String,
}

/// The newest heartbeat of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    /// When it came.
    pub at: PoolTime,
    /// What it said.
    pub heartbeat: Heartbeat,
    /// Heartbeats of an older incarnation that came while this one lived.
    pub old_heartbeats: u32,
}

impl Seen {
    /// It is of the machine's present life.
    #[must_use]
    pub fn is_of(&self, machine: &Machine) -> bool {
        self.heartbeat.incarnation == machine.incarnation
    }

    /// Its agent knows that it drains, and nothing lives.
    #[must_use]
    pub fn is_drained(&self, machine: &Machine) -> bool {
        let heartbeat = &self.heartbeat;
        heartbeat.draining && heartbeat.processes_live == 0 && heartbeat.generation >= machine.generation
    }
}

/// News.
#[derive(Debug, Clone)]
pub enum Observation {
    /// This service leads from now on: nothing was heard yet.
    LeadershipBegan,
    /// This service's own connection came back: silence until now says nothing about machines.
    Reconnected,
    /// A heartbeat came.
    Heartbeat(Heartbeat),
    /// An agent answered that it has taken a generation.
    DesiredTaken {
        /// Who.
        machine: MachineId,
        /// In which life.
        incarnation: Incarnation,
        /// The generation that it has.
        generation: Position,
    },
    /// A driver is called now: the operation is never performed again by this leader.
    PowerCalled {
        /// Which machine.
        machine: MachineId,
        /// Its position.
        position: Position,
    },
    /// An agent answered how far it is with an order to install a kernel or to reboot.
    BootProgress {
        /// Who.
        machine: MachineId,
        /// In which life.
        incarnation: Incarnation,
        /// How far.
        progress: BootProgress,
    },
    /// This service says how far it is with keeping a kernel that QEMU is to start from outside.
    KernelKept {
        /// For which machine.
        machine: MachineId,
        /// How far.
        progress: BootProgress,
    },
    /// An agent answered how far it is with an order to prepare a disk.
    StorageProgress {
        /// Who.
        machine: MachineId,
        /// In which life.
        incarnation: Incarnation,
        /// How far.
        progress: StorageProgress,
    },
}

/// Everything volatile. Bounded by the machines of the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Observed {
    /// Since when this service hears what there is to hear.
    pub listening_since: Option<PoolTime>,
    /// Since when this service leads.
    pub leading_since: Option<PoolTime>,
    /// The newest operation of each machine for which a driver was called.
    called: BTreeMap<MachineId, Position>,
    /// How far this leader is with keeping the kernel of each machine that QEMU starts from outside.
    kept: BTreeMap<MachineId, BootProgress>,
    seen: BTreeMap<MachineId, Seen>,
}

impl Observed {
    /// Takes news. What an unknown machine or an old incarnation says counts for nothing.
    pub fn take(&mut self, state: &State, observation: Observation, now: PoolTime) {
        match observation {
            Observation::LeadershipBegan => {
                *self = Self { listening_since: Some(now), leading_since: Some(now), ..Self::default() };
            }
            Observation::PowerCalled { machine, position } => drop(self.called.insert(machine, position)),
            Observation::KernelKept { machine, progress } => {
                if state.machines.contains_key(&machine) {
                    self.kept.insert(machine, progress);
                }
            }
            Observation::Reconnected => self.listening_since = Some(now),
            Observation::Heartbeat(heartbeat) => self.take_heartbeat(state, heartbeat, now),
            Observation::DesiredTaken { machine, incarnation, generation } => {
                if let Some(seen) = self.seen.get_mut(&machine)
                    && seen.heartbeat.incarnation == incarnation
                {
                    seen.heartbeat.generation = seen.heartbeat.generation.max(generation);
                }
            }
            Observation::BootProgress { machine, incarnation, progress } => {
                if let Some(seen) = self.seen.get_mut(&machine)
                    && seen.heartbeat.incarnation == incarnation
                {
                    seen.heartbeat.boot = Some(progress);
                }
            }
            Observation::StorageProgress { machine, incarnation, progress } => {
                if let Some(seen) = self.seen.get_mut(&machine)
                    && seen.heartbeat.incarnation == incarnation
                {
                    seen.heartbeat.storage = Some(progress);
                }
            }
        }
    }

    fn take_heartbeat(&mut self, state: &State, mut heartbeat: Heartbeat, now: PoolTime) {
        let Some(machine) = state.machines.get(&heartbeat.machine) else {
            self.seen.remove(&heartbeat.machine);
            return;
        };
        let before = self.seen.get_mut(&heartbeat.machine);
        if heartbeat.incarnation != machine.incarnation {
            if let Some(seen) = before
                && seen.heartbeat.incarnation == machine.incarnation
            {
                seen.old_heartbeats = seen.old_heartbeats.saturating_add(1);
            }
            return;
        }
        let mut old_heartbeats = 0;
        if let Some(seen) = before
            && seen.heartbeat.incarnation == heartbeat.incarnation
        {
            // An answer to our command may have overtaken the heartbeat; within one life a generation never goes back.
            heartbeat.generation = heartbeat.generation.max(seen.heartbeat.generation);
            old_heartbeats = seen.old_heartbeats;
        }
        self.seen.insert(heartbeat.machine.clone(), Seen { at: now, heartbeat, old_heartbeats });
    }

    /// A driver was called for this operation.
    #[must_use]
    pub fn was_called(&self, id: &MachineId, position: Position) -> bool {
        self.called.get(id).is_some_and(|called| *called >= position)
    }

    /// How far this leader is with keeping the kernel of an operation.
    #[must_use]
    pub fn kernel_kept(&self, id: &MachineId, operation: BootOperation) -> Option<&BootProgress> {
        self.kept.get(id).filter(|progress| progress.operation == operation)
    }

    /// The newest heartbeat of the machine's present life.
    #[must_use]
    pub fn current(&self, id: &MachineId, machine: &Machine) -> Option<&Seen> {
        self.seen.get(id).filter(|seen| seen.is_of(machine))
    }

    /// Every machine of the state, in order, with its newest heartbeat, of whatever life: one pass over both, where asking for each
    /// would search.
    pub fn along<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (&'a MachineId, &'a Machine, Option<&'a Seen>)> {
        let mut seen = self.seen.iter().peekable();
        state.machines.iter().map(move |(id, machine)| {
            while seen.next_if(|(other, _)| *other < id).is_some() {}
            (id, machine, seen.next_if(|(other, _)| *other == id).map(|(_, seen)| seen))
        })
    }

    /// The newest heartbeat, of whatever life.
    #[must_use]
    pub fn newest(&self, id: &MachineId) -> Option<&Seen> {
        self.seen.get(id)
    }
}
