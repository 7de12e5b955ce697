//! Who has clients.

use std::fmt;

use crate::{Dpid, ReservationId, RunId};

/// A process or a reservation that has clients: reservations that end with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupMaster {
    /// A test process.
    Process(RunId, Dpid),
    /// A reservation.
    Reservation(ReservationId),
}

impl fmt::Display for GroupMaster {
    /// As people read it: `process 1/00010064`, `reservation 4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(run, dpid) => write!(f, "process {run}/{dpid}"),
            Self::Reservation(id) => write!(f, "reservation {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobNumber, ProcessNumber};

    #[test]
    fn a_master_is_named_as_people_know_it() {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(100) };
        assert_eq!(GroupMaster::Process(RunId(2), dpid).to_string(), "process 2/00010064");
        assert_eq!(GroupMaster::Reservation(ReservationId(4)).to_string(), "reservation 4");
    }
}
