//! Facts of MACHINES, and how they fold into what the scheduler sees of a machine.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Epoch, Flag, Incarnation, Phase, Position, ReservationId, ResourceId};

use super::event::LoadNumber;
use super::machine::{Resource, Seen};

/// What one event of MACHINES says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It is known from here on.
    Added {
        /// Protected by a pool file before the first start.
        protect: BTreeSet<String>,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// A person changed a flag.
    FlagChanged {
        /// Which.
        flag: Flag,
        /// To what.
        value: bool,
    },
    /// It was removed.
    Removed,
    /// Its agent said hello.
    IncarnationGranted {
        /// The new incarnation.
        incarnation: Incarnation,
        /// Boot id.
        boot_id: String,
    },
    /// Probing found something else than before.
    InventoryChanged {
        /// Every resource, sorted by id.
        resources: Vec<Resource>,
        /// Those that carry a signature.
        signed: BTreeSet<ResourceId>,
        /// What selectors ask for.
        attributes: BTreeMap<String, String>,
    },
    /// The whole new protection.
    ProtectionChanged {
        /// Protected.
        protected: BTreeSet<String>,
        /// Released although they carry a signature.
        released: BTreeSet<String>,
        /// The whole machine.
        machine: bool,
    },
    /// It is to change hands.
    DrainingStarted,
    /// A new holder.
    EpochRaised {
        /// The new epoch.
        epoch: Epoch,
        /// The holder; 0 is the pool.
        reservation: ReservationId,
    },
    /// Nothing of an older epoch is alive.
    FenceReported(Epoch),
    /// What is on it changed.
    PhaseChanged(Option<Phase>),
    /// Down, or up again.
    HealthChanged {
        /// It is down.
        down: bool,
    },
    /// Tags were set.
    TagsSet(BTreeSet<String>),
    /// It can not be trusted.
    Quarantined,
    /// It booted without an order.
    BootObserved(String),
    /// A disk is prepared as a test area, or back: nothing uses it meanwhile.
    StorageOrdered(ResourceId),
    /// That has ended.
    StorageEnded,
    /// Something that placement does not look at, and that may have changed its agent's generation.
    Other,
}

/// What one event of MACHINES says, and of which machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineFact {
    /// Of one machine.
    Of(muster_model::MachineId, Fact),
    /// A default for all.
    LoadNumber(LoadNumber),
}

impl Seen {
    /// Folds one fact of the message at `position`. The generation rises with every fact: what was placed after it knew of it.
    pub fn fold(&mut self, fact: &Fact, position: Position) {
        self.generation = position;
        match fact {
            Fact::Added { protect, tags } => {
                if self.removed {
                    // It came back: nothing of before holds, but its epochs and incarnations go on.
                    let (epoch, incarnation) = (self.epoch, self.incarnation);
                    *self = Self { epoch, incarnation, generation: position, ..Self::new(self.machine.clone()) };
                }
                self.protected = protect.clone();
                self.tags = tags.clone();
            }
            Fact::FlagChanged { flag: Flag::Active, value } => self.active = *value,
            Fact::FlagChanged { flag: Flag::Maintenance, value } => self.maintenance = *value,
            Fact::FlagChanged { flag: Flag::Retired, value } => self.retired = *value,
            Fact::Removed => self.removed = true,
            Fact::IncarnationGranted { incarnation, boot_id } => {
                self.incarnation = *incarnation;
                self.boot_id.clone_from(boot_id);
            }
            Fact::InventoryChanged { resources, signed, attributes } => {
                self.resources.clone_from(resources);
                self.signed.clone_from(signed);
                self.attributes.clone_from(attributes);
            }
            Fact::ProtectionChanged { protected, released, machine } => {
                self.protected.clone_from(protected);
                self.released.clone_from(released);
                self.machine_protected = *machine;
            }
            Fact::DrainingStarted => self.draining = true,
            Fact::EpochRaised { epoch, reservation } => {
                self.epoch = *epoch;
                self.reservation = *reservation;
                self.draining = false;
            }
            Fact::FenceReported(epoch) => self.fenced_epoch = *epoch,
            Fact::PhaseChanged(phase) => {
                self.phase = *phase;
                self.quarantined = false;
            }
            Fact::HealthChanged { down } => self.down = *down,
            Fact::TagsSet(tags) => self.tags.clone_from(tags),
            Fact::Quarantined => self.quarantined = true,
            Fact::BootObserved(boot_id) => self.boot_id.clone_from(boot_id),
            Fact::StorageOrdered(resource) => drop(self.preparing.insert(resource.clone())),
            Fact::StorageEnded => self.preparing.clear(),
            Fact::Other => {}
        }
    }
}
