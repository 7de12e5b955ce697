//! Every subject of Muster, as it is written (docs/subjects.md is generated from [`TABLE`]). The version stands in the subject.

use muster_model::{MachineId, TriggerNumber};

use crate::Identity;
pub use crate::subject_table::{Party, Rule, SubjectRow, TABLE};

/// An owning or answering service, by the token that stands for it in subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Who gets which machines.
    Reservation,
    /// What is on a machine.
    MachineLifecycle,
    /// What runs.
    Scheduler,
    /// JetStream to PostgreSQL.
    TelemetryLogger,
    /// Questions about the past.
    Report,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 5] =
        [Self::Reservation, Self::MachineLifecycle, Self::Scheduler, Self::TelemetryLogger, Self::Report];

    /// Token in subjects, and name for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reservation => "reservation",
            Self::MachineLifecycle => "machine-lifecycle",
            Self::Scheduler => "scheduler",
            Self::TelemetryLogger => "telemetry-logger",
            Self::Report => "report",
        }
    }
}

/// `muster.v1.svc.<service>.<verb>`: a request to a service, on a bus without identities.
#[must_use]
pub fn service(service: Service, verb: &str) -> String {
    format!("muster.v1.svc.{}.{verb}", service.as_str())
}

/// `muster.v1.svc.<service>.<verb>.<kind>.<name>`: a request of this identity, which nobody else may publish there.
#[must_use]
pub fn service_from(service: Service, verb: &str, identity: &Identity) -> String {
    format!("{}.{}", self::service(service, verb), identity.tokens())
}

/// Where a service hears the requests of all identities.
pub(crate) fn service_from_everybody(service: Service, verb: &str) -> String {
    format!("{}.{EVERY_IDENTITY}", self::service(service, verb))
}

/// What stands for an identity where every one is meant.
pub(crate) const EVERY_IDENTITY: &str = "*.*";

/// `muster.v1.svc.<service>.leader`: where the leader of an owning service says that it lives.
#[must_use]
pub fn leader(service: Service) -> String {
    self::service(service, "leader")
}

/// `muster.v1.svc.<service>.replicas`: where every replica of an owning service says where it is.
#[must_use]
pub fn replicas(service: Service) -> String {
    self::service(service, "replicas")
}

/// `muster.v1.log.<service>.<kind>`: a message of a decision log.
#[must_use]
pub fn log(service: Service, kind: &str) -> String {
    format!("muster.v1.log.{}.{kind}", service.as_str())
}

/// `muster.v1.agent.<m>.hb`: an agent's heartbeat.
#[must_use]
pub fn heartbeat(machine: &MachineId) -> String {
    format!("muster.v1.agent.{machine}.hb")
}

/// `muster.v1.agent.<m>.ping`: results of the pings of its processes.
#[must_use]
pub fn ping(machine: &MachineId) -> String {
    format!("muster.v1.agent.{machine}.ping")
}

/// `muster.v1.agent.<m>.hello.<service>`: an agent's hello.
#[must_use]
pub fn hello(machine: &MachineId, service: Service) -> String {
    format!("muster.v1.agent.{machine}.hello.{}", service.as_str())
}

/// `muster.v1.agent.<m>.rpt`: durable reports, in REPORTS.
#[must_use]
pub fn reports(machine: &MachineId) -> String {
    format!("muster.v1.agent.{machine}.rpt")
}

/// `muster.v1.agent.<m>.tel`: batches of samples, in TEL.
#[must_use]
pub fn telemetry(machine: &MachineId) -> String {
    format!("muster.v1.agent.{machine}.tel")
}

/// `muster.v1.cmd.<m>.<verb>`: a command to one agent.
#[must_use]
pub fn command(machine: &MachineId, verb: &str) -> String {
    format!("muster.v1.cmd.{machine}.{verb}")
}

/// `muster.v1.cmd.<m>.*`: all commands to one agent.
#[must_use]
pub fn commands_of(machine: &MachineId) -> String {
    command(machine, "*")
}

/// `muster.v1.edge.trigger.<n>.<m>`: a trigger fires, on a machine or by a person.
#[must_use]
pub fn trigger_edge(number: TriggerNumber, machine: Option<&MachineId>) -> String {
    format!("muster.v1.edge.trigger.{number}.{}", machine.map_or(OPERATOR, MachineId::as_str))
}

/// Stands where the machine does, in what a person fires.
const OPERATOR: &str = "operator";
/// Every firing of every trigger.
pub const EVERY_TRIGGER: &str = "muster.v1.edge.trigger.*.*";

/// `muster.v1.enroll.<m>`: a machine that has a token presents its key.
#[must_use]
pub fn enrollment(machine: &MachineId) -> String {
    format!("muster.v1.enroll.{machine}")
}

/// `muster.v1.agent.*.hello.<service>`: every hello to a service.
#[must_use]
pub fn every_hello(service: Service) -> String {
    format!("muster.v1.agent.*.hello.{}", service.as_str())
}

/// Every heartbeat.
pub const EVERY_HEARTBEAT: &str = "muster.v1.agent.*.hb";
/// Every batch of ping results.
pub const EVERY_PING: &str = "muster.v1.agent.*.ping";
/// Every message of every decision log.
pub const EVERY_LOG: &str = "muster.v1.log.>";

/// Where every program of the NATS micro API says that it is there.
pub(crate) const EVERY_PROGRAM: &str = "$SRV.PING";

/// The machine that an agent's subject names; none where the subject is not an agent's.
#[must_use]
pub fn machine_of(subject: &str) -> Option<MachineId> {
    let mut tokens = subject.strip_prefix("muster.v1.")?.split('.');
    match tokens.next()? {
        "agent" | "cmd" => MachineId::new(tokens.next()?).ok(),
        _ => None,
    }
}

/// The machine whose agent hears a subject as a command; none where it is another subject.
pub(crate) fn commanded(subject: &str) -> Option<MachineId> {
    subject.starts_with("muster.v1.cmd.").then(|| machine_of(subject)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_its_machine() {
        let machine = MachineId::new("node-1").expect("valid");
        assert_eq!(machine_of(&heartbeat(&machine)), Some(machine.clone()));
        assert_eq!(machine_of(&command(&machine, "jobs")), Some(machine));
        assert_eq!(machine_of("muster.v1.svc.scheduler.command"), None);
        assert_eq!(machine_of("muster.v1.agent.BAD.hb"), None);
    }
}
