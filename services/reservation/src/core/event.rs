//! Facts of RESERVATIONS.

use std::time::Duration;

use muster_model::{KernelName, MachineId, PoolTime, ReservationId, SnapshotName, SshKey};

use super::MachineSet;
use super::machine::Machine;
use super::notice::{Delivery, Notice, Recipient};
use super::quota::Quota;
use super::reservation::{End, Request};

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was asked for.
    Queued {
        /// Which.
        id: ReservationId,
        /// What was asked for.
        request: Request,
    },
    /// Machines are named: machine-lifecycle prepares them from here on. A rollout may be granted further ones later.
    Granted {
        /// Which.
        id: ReservationId,
        /// Who gets them.
        user: String,
        /// The machines that it gets now.
        machines: MachineSet,
        /// The kernel that they are booted into, and the random part of the nonce.
        kernel: Option<(KernelName, String)>,
        /// The snapshot that they are taken back to first; none where they are not.
        image: Option<SnapshotName>,
        /// The latest that its deadline can be; it counts from ready.
        deadline: PoolTime,
        /// How long what runs there may take to end.
        drain: Duration,
        /// Ssh key that is installed there for its time.
        ssh_key: Option<SshKey>,
    },
    /// All of its machines are held and ready.
    Ready {
        /// Which.
        id: ReservationId,
        /// Its machines.
        machines: MachineSet,
        /// Its deadline.
        deadline: PoolTime,
    },
    /// Its deadline moved.
    Extended {
        /// Which.
        id: ReservationId,
        /// The new deadline; never, where it has none from here on.
        deadline: PoolTime,
    },
    /// It is over.
    Ended {
        /// Which.
        id: ReservationId,
        /// How.
        end: End,
        /// Why, for people.
        reason: String,
    },
    /// A rollout or a group goes on without one of its machines.
    Dropped {
        /// Which.
        id: ReservationId,
        /// The machine.
        machine: MachineId,
        /// Why, for people.
        reason: String,
    },
    /// It wants one of its machines no longer.
    Dismissed {
        /// Which.
        id: ReservationId,
        /// The machine.
        machine: MachineId,
    },
    /// A rollout counts down, or does so no longer.
    Countdown {
        /// Which.
        id: ReservationId,
        /// When it ends; none when it is cancelled.
        ends: Option<PoolTime>,
    },
    /// One of its machines is the pool's again.
    MachineReturned {
        /// Which.
        id: ReservationId,
        /// The machine.
        machine: MachineId,
    },
    /// It has waited so long that it is before all that have not.
    Aged {
        /// Which.
        id: ReservationId,
    },
    /// Somebody was told of it, or could not be.
    Noticed {
        /// Which.
        id: ReservationId,
        /// What.
        notice: Notice,
        /// Whom.
        recipient: Recipient,
        /// How far that is.
        delivery: Delivery,
    },
    /// Its holder has shown up.
    TakenUp {
        /// Which.
        id: ReservationId,
        /// By what, for people.
        by: String,
    },
    /// What somebody may have changed; an empty quota is none.
    QuotaSet {
        /// Whose: `user:anna`, `group:storage`, `*`.
        name: String,
        /// What they may have.
        quota: Quota,
    },
    /// What MACHINES says of a machine; none when it was removed.
    MachineSeen {
        /// Which.
        machine: MachineId,
        /// As it is now.
        seen: Option<Machine>,
    },
}

impl Event {
    /// The reservation that it is about; none for what is known of a machine.
    #[must_use]
    pub fn reservation(&self) -> Option<ReservationId> {
        match self {
            Self::Queued { id, .. }
            | Self::Granted { id, .. }
            | Self::Ready { id, .. }
            | Self::Extended { id, .. }
            | Self::Ended { id, .. }
            | Self::Dropped { id, .. }
            | Self::Dismissed { id, .. }
            | Self::Countdown { id, .. }
            | Self::Aged { id }
            | Self::Noticed { id, .. }
            | Self::TakenUp { id, .. }
            | Self::MachineReturned { id, .. } => Some(*id),
            Self::MachineSeen { .. } | Self::QuotaSet { .. } => None,
        }
    }
}
