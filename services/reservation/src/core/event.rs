//! Facts of RESERVATIONS.

use std::time::Duration;

use muster_model::{MachineId, PoolTime, ReservationId};

use super::MachineSet;
use super::machine::Machine;
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
    /// Its machines are named: machine-lifecycle prepares them from here on.
    Granted {
        /// Which.
        id: ReservationId,
        /// Who gets them.
        user: String,
        /// Its machines.
        machines: MachineSet,
        /// The latest that its deadline can be; it counts from ready.
        deadline: PoolTime,
        /// How long what runs there may take to end.
        drain: Duration,
    },
    /// All of its machines are held and ready.
    Ready {
        /// Which.
        id: ReservationId,
        /// Its deadline.
        deadline: PoolTime,
    },
    /// Its deadline moved.
    Extended {
        /// Which.
        id: ReservationId,
        /// The new deadline.
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
    /// One of its machines is the pool's again.
    MachineReturned {
        /// Which.
        id: ReservationId,
        /// The machine.
        machine: MachineId,
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
            | Self::MachineReturned { id, .. } => Some(*id),
            Self::MachineSeen { .. } => None,
        }
    }
}
