//! What was found, before anybody judges it.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_bus::subjects::Service;
use muster_bus::{ServedProgram, ServerHealth, StreamHealth};
use muster_ledger::Inspected;
use muster_proto::v1;

/// Everything that was found. What could not be asked says why.
pub(super) struct Found {
    pub(super) server: Result<ServerHealth, String>,
    pub(super) streams: Result<Vec<StreamHealth>, String>,
    pub(super) programs: Vec<ServedProgram>,
    pub(super) services: Vec<ServiceFound>,
    /// The report service's account of PostgreSQL.
    pub(super) store: Result<v1::ReportReply, String>,
    pub(super) machines: Result<Vec<v1::MachineStatus>, String>,
    /// By machine; what came while we listened.
    pub(super) heard: BTreeMap<String, Heard>,
}

/// An owning service.
pub(super) struct ServiceFound {
    pub(super) service: Service,
    pub(super) passes: Result<Passes, String>,
    /// What all replicas said, each time that they were asked.
    pub(super) replicas: Vec<Vec<v1::ServiceStatus>>,
    pub(super) log: Result<Inspected, String>,
}

/// Full passes, one after the other until nothing differed any more.
pub(super) struct Passes {
    pub(super) first: v1::CheckReply,
    pub(super) last: v1::CheckReply,
    /// From the first to the last.
    pub(super) took: Duration,
    /// What was decided meanwhile.
    pub(super) decided: Vec<Decided>,
}

/// Something that a service decided.
pub(super) struct Decided {
    /// Position and kind, for people: `1/17 protection_acknowledged`.
    pub(super) what: String,
    /// All that is said of it, in which names are looked for.
    pub(super) text: String,
}

/// The newest heartbeat of an agent.
pub(super) struct Heard {
    /// Half of the best round trip over which it set its clock; none before it has a pool time.
    pub(super) clock_error: Option<Duration>,
    /// How far its pool time is ahead of ours, nanoseconds; what a message takes makes it less.
    pub(super) ahead_ns: i64,
    /// How it contains test processes; none where it is of an older version.
    pub(super) containment: Option<v1::Containment>,
}
