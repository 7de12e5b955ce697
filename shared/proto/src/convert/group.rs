//! Who has clients.

use muster_model::{Dpid, GroupMaster, JobNumber, ProcessNumber, ReservationId, RunId};

use crate::WireError;
use crate::v1;

impl From<GroupMaster> for v1::GroupMaster {
    fn from(master: GroupMaster) -> Self {
        match master {
            GroupMaster::Process(run, dpid) => {
                Self { run: run.0, job: dpid.job.0, process: dpid.process.0, reservation: 0 }
            }
            GroupMaster::Reservation(id) => Self { reservation: id.0, ..Self::default() },
        }
    }
}

impl TryFrom<v1::GroupMaster> for GroupMaster {
    type Error = WireError;

    fn try_from(master: v1::GroupMaster) -> Result<Self, WireError> {
        let dpid = Dpid { job: JobNumber(master.job), process: ProcessNumber(master.process) };
        match (master.run, master.reservation) {
            (0, 0) => Err(WireError::missing("GroupMaster", "run or reservation")),
            (0, id) => Ok(Self::Reservation(ReservationId(id))),
            (run, 0) => Ok(Self::Process(RunId(run), dpid)),
            (_, _) => Err(WireError::invalid("GroupMaster", "reservation", "it names a process as well")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_a_process_or_a_reservation() {
        let dpid = Dpid { job: JobNumber(3), process: ProcessNumber(7) };
        for master in [GroupMaster::Process(RunId(1), dpid), GroupMaster::Reservation(ReservationId(9))] {
            assert_eq!(GroupMaster::try_from(v1::GroupMaster::from(master)).unwrap(), master);
        }
        assert!(GroupMaster::try_from(v1::GroupMaster::default()).is_err());
        let both = v1::GroupMaster { run: 1, reservation: 2, ..v1::GroupMaster::default() };
        assert!(GroupMaster::try_from(both).is_err());
    }
}
