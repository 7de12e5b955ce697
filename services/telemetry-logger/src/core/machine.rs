//! Events of MACHINES -> files. Everything else that they say is kept as events, not as rows of its own.

use muster_model::{PoolTime, Position, ProcessId};
use muster_proto::v1;
use muster_proto::v1::machine_event::Kind;
use muster_telemetry::records::{Origin, Records, Report, ReportKind, Said};

/// Type name of the events of MACHINES.
pub(super) const EVENT_TYPE: &str = "muster.v1.MachineEvent";
/// The object store that memories of machines are in.
const BUCKET: &str = "artifacts";

/// Takes one event: a machine's memory that is kept is a file like one that a crash left. Its incarnation and batch are 0: no agent said it.
pub(super) fn take(event: v1::MachineEvent, at: (Position, u32), time: PoolTime, records: &mut Records) {
    let Some(Kind::PowerEnded(v1::PowerEnded { dump: Some(dump), .. })) = event.kind else { return };
    let (position, ordinal) = at;
    let origin = Origin { machine: event.machine, incarnation: 0 };
    let v1::StoredDump { name, size_bytes, sha256, path } = dump;
    let id = ProcessId::default();
    let kind = ReportKind::Artifact { id, bucket: BUCKET.into(), name, size_bytes, sha256, path, firing: None };
    let said = Said { origin, batch: 0, ordinal, sequence: position.sequence.0, at: time };
    records.reports.push(Report { said, kind });
}
