//! Machines as reservation needs them: folded from MACHINES.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Epoch, Facts, Flag, MachineId, PoolTime, ReservationId, SnapshotName};

/// Whose a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tenure {
    /// The pool's.
    #[default]
    Pool,
    /// Changing hands, to a reservation or back to the pool.
    Draining(Option<ReservationId>),
    /// A reservation's; also while its new epoch is not fenced yet (see [`Machine::is_ready_for`]).
    Held(ReservationId),
    /// The pool's new epoch is not fenced yet.
    Returning,
}

/// What MACHINES says of one machine, as far as it concerns reservation.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// It is known from here on.
    Added {
        /// Its tags.
        tags: BTreeSet<String>,
    },
    /// It was removed.
    Removed,
    /// A flag changed.
    Flag(Flag, bool),
    /// What selectors ask for changed.
    Attributes(BTreeMap<String, String>),
    /// Whether the whole machine is protected.
    Protected(bool),
    /// It is to change hands.
    Draining(Option<ReservationId>),
    /// It changed hands.
    EpochRaised {
        /// The new epoch.
        epoch: Epoch,
        /// The new holder; none is the pool.
        holder: Option<ReservationId>,
    },
    /// Nothing of an older epoch is alive.
    Fenced(Epoch),
    /// Whether what is on it is ready for use.
    Phase {
        /// It is.
        ready: bool,
        /// It was given up.
        offline: bool,
    },
    /// It was ordered into a kernel, for a reservation or for none.
    Ordered(Option<ReservationId>),
    /// Whether the kernel that it was ordered into is proven to run.
    Proven(bool),
    /// Its whole new settings.
    Settings {
        /// It has a boot driver.
        bootable: bool,
        /// The snapshot that it can be taken back to.
        image: Option<SnapshotName>,
    },
    /// It is taken back to its snapshot for a reservation; none once that is done, or will not be.
    Restored(Option<ReservationId>),
    /// Whether it is down.
    Down(bool),
    /// Its whole new list of tags.
    Tags(BTreeSet<String>),
    /// It can not be trusted.
    Quarantined,
    /// It says something of no concern.
    Other,
}

/// The newest order to boot a machine, as far as it concerns reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boot {
    /// The reservation whose machine or kernel it is.
    pub reservation: Option<ReservationId>,
    /// The ordered kernel is proven to run.
    pub proven: bool,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Machine {
    /// A person let it take part.
    pub active: bool,
    /// A person took it out for a while.
    pub maintenance: bool,
    /// A person took it out for good.
    pub retired: bool,
    /// The whole machine is protected.
    pub protected: bool,
    /// It is down.
    pub down: bool,
    /// Since when.
    pub down_since: PoolTime,
    /// It can not be trusted until its phase says so again.
    pub quarantined: bool,
    /// What is on it is ready for use.
    pub ready: bool,
    /// It was given up after its attempts to boot it.
    pub offline: bool,
    /// The newest order to boot it.
    pub boot: Boot,
    /// It has a boot driver.
    pub bootable: bool,
    /// The snapshot that it can be taken back to.
    pub image: Option<SnapshotName>,
    /// The reservation for which it is taken back to it; none once that is done.
    pub restored_for: Option<ReservationId>,
    /// Whose it is.
    pub tenure: Tenure,
    /// Its epoch.
    pub epoch: Epoch,
    /// The epoch that its agent reported as fenced.
    pub fenced: Epoch,
    /// What selectors ask for.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeSet<String>,
}

impl Machine {
    /// The machine after some news; none once it is removed. News of a machine that is not known make it known: a log is
    /// followed from its beginning, so this is an addition that was missed only where MACHINES itself lost it.
    #[must_use]
    pub fn after(before: Option<&Self>, news: &News) -> Option<Self> {
        let mut machine = before.cloned().unwrap_or_default();
        match news {
            News::Removed => return None,
            News::Other => return before.cloned(),
            News::Added { tags } | News::Tags(tags) => machine.tags.clone_from(tags),
            News::Flag(flag, value) => *machine.flag_mut(*flag) = *value,
            News::Attributes(attributes) => machine.attributes.clone_from(attributes),
            News::Protected(protected) => machine.protected = *protected,
            News::Draining(next) => machine.tenure = Tenure::Draining(*next),
            News::EpochRaised { epoch, holder } => {
                machine.epoch = *epoch;
                machine.tenure = holder.map_or(Tenure::Returning, Tenure::Held);
            }
            News::Fenced(epoch) => machine.fence(*epoch),
            News::Phase { ready, offline } => {
                (machine.ready, machine.offline, machine.quarantined) = (*ready, *offline, false);
            }
            News::Ordered(reservation) => machine.boot = Boot { reservation: *reservation, proven: false },
            News::Proven(proven) => machine.boot.proven = *proven,
            News::Settings { bootable, image } => {
                machine.bootable = *bootable;
                machine.image.clone_from(image);
            }
            News::Restored(reservation) => machine.restored_for = *reservation,
            News::Down(down) => machine.down = *down,
            News::Quarantined => (machine.ready, machine.quarantined) = (false, true),
        }
        Some(machine)
    }

    fn flag_mut(&mut self, flag: Flag) -> &mut bool {
        match flag {
            Flag::Active => &mut self.active,
            Flag::Maintenance => &mut self.maintenance,
            Flag::Retired => &mut self.retired,
        }
    }

    fn fence(&mut self, epoch: Epoch) {
        self.fenced = self.fenced.max(epoch);
        if self.tenure == Tenure::Returning && self.fenced >= self.epoch {
            self.tenure = Tenure::Pool;
        }
    }

    /// It takes part in the pool, though perhaps not at this moment: a request may wait for it.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        self.active && !self.retired && !self.protected
    }

    /// It works now: it can be given to somebody, or be used by who has it.
    #[must_use]
    pub fn works(&self) -> bool {
        self.takes_part() && !self.maintenance && !self.down && !self.quarantined && self.ready
    }

    /// It belongs to a reservation, everything older is fenced, and it works.
    #[must_use]
    pub fn is_ready_for(&self, id: ReservationId) -> bool {
        self.tenure == Tenure::Held(id) && self.fenced >= self.epoch && self.works()
    }

    /// The reservation that has it, or that it goes to.
    #[must_use]
    pub fn goes_to(&self) -> Option<ReservationId> {
        match self.tenure {
            Tenure::Pool | Tenure::Returning => None,
            Tenure::Draining(next) => next,
            Tenure::Held(id) => Some(id),
        }
    }
}

/// Why nobody who has a machine gets it again as it is; one that is only slow, or down for a while, may come back.
pub(super) fn lost_for_good(machine: Option<&Machine>) -> Option<&'static str> {
    let Some(machine) = machine else { return Some("it was removed") };
    let words = [
        (machine.offline, "it is offline: its attempts are spent"),
        (machine.quarantined, "it is quarantined"),
        (!machine.takes_part(), "it no longer takes part"),
        (machine.maintenance, "it is in maintenance"),
    ];
    words.into_iter().find(|(applies, _)| *applies).map(|(_, word)| word)
}

/// A machine with its name, as selectors look at it.
pub(super) struct Named<'a>(pub(super) &'a MachineId, pub(super) &'a Machine);

impl Facts for Named<'_> {
    fn name(&self) -> &str {
        self.0.as_str()
    }

    fn values(&self, key: &str) -> Vec<Cow<'_, str>> {
        if key == "tag" {
            return self.1.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect();
        }
        self.1.attributes.get(key).map(|value| Cow::Borrowed(value.as_str())).into_iter().collect()
    }
}
