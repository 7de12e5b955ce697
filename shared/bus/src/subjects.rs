//! Every subject of Muster (docs/subjects.md is generated from [`TABLE`]). The version stands in the subject.

use muster_model::{MachineId, TriggerNumber};

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

/// `muster.v1.svc.<service>.<verb>`: a request to a service.
#[must_use]
pub fn service(service: Service, verb: &str) -> String {
    format!("muster.v1.svc.{}.{verb}", service.as_str())
}

/// `muster.v1.svc.<service>.leader`: where the leader of an owning service says that it lives.
#[must_use]
pub fn leader(service: Service) -> String {
    self::service(service, "leader")
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

/// The machine that an agent's subject names; none where the subject is not an agent's.
#[must_use]
pub fn machine_of(subject: &str) -> Option<MachineId> {
    let mut tokens = subject.strip_prefix("muster.v1.")?.split('.');
    match tokens.next()? {
        "agent" | "cmd" => MachineId::new(tokens.next()?).ok(),
        _ => None,
    }
}

/// One row of the subject table.
#[derive(Debug, Clone, Copy)]
pub struct SubjectRow {
    /// The subject, with `<m>`, `<service>`, `<verb>`, `<kind>` for its variable tokens.
    pub subject: &'static str,
    /// How it travels.
    pub transport: &'static str,
    /// What it carries, as the body's name in Envelope.
    pub body: &'static str,
    /// Who says it -> who hears it.
    pub parties: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// The subject table.
pub const TABLE: &[SubjectRow] = &[
    SubjectRow {
        subject: "muster.v1.svc.<service>.command",
        transport: "request/reply, micro API, leader only",
        body: "job_command, machine_command, reservation_command",
        parties: "anyone -> leader",
        purpose: "a command; retried with the same cmd_id",
    },
    SubjectRow {
        subject: "muster.v1.svc.<service>.query",
        transport: "request/reply, micro API",
        body: "job_query, machine_query, reservation_query, report_query",
        parties: "anyone -> leader, or any report service",
        purpose: "a query; changes nothing",
    },
    SubjectRow {
        subject: "muster.v1.svc.<service>.leader",
        transport: "core request/reply, leader only",
        body: "none: the source names the leader",
        parties: "follower -> leader",
        purpose: "the probe: who leads, if anyone does",
    },
    SubjectRow {
        subject: "muster.v1.svc.telemetry-logger.archive",
        transport: "request/reply, micro API",
        body: "archive_query",
        parties: "owning services, muster admin recover -> telemetry-logger",
        purpose: "the copy of the decision logs in PostgreSQL",
    },
    SubjectRow {
        subject: "muster.v1.log.<service>.<kind>",
        transport: "JetStream JOBS, MACHINES, RESERVATIONS",
        body: "turn",
        parties: "leader -> anyone",
        purpose: "the decision logs: the public event streams",
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.hb",
        transport: "core, 1/s, never stored",
        body: "heartbeat",
        parties: "agent -> machine-lifecycle, scheduler",
        purpose: "the machine lives; every fifth is answered",
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.ping",
        transport: "core, 1/s, never stored",
        body: "ping_batch",
        parties: "agent -> scheduler, command center",
        purpose: "results of the pings of its processes",
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.hello.<service>",
        transport: "request/reply, leader only",
        body: "hello",
        parties: "agent -> machine-lifecycle, scheduler",
        purpose: "said after every connection, before anything else",
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.rpt",
        transport: "JetStream REPORTS",
        body: "report_batch",
        parties: "agent -> scheduler, machine-lifecycle, telemetry-logger",
        purpose: "durable reports, in order",
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.tel",
        transport: "JetStream TEL",
        body: "sample_batch",
        parties: "agent -> telemetry-logger",
        purpose: "batches of samples",
    },
    SubjectRow {
        subject: "muster.v1.cmd.<m>.<verb>",
        transport: "core request/reply",
        body: "agent_command",
        parties: "leaders, muster logs, agents of a gang -> one agent",
        purpose: "verbs jobs, machine, inventory, logs, peer, clock, install, reboot, storage",
    },
    SubjectRow {
        subject: "muster.v1.edge.trigger.<n>.<m>",
        transport: "core, never stored",
        body: "edge_fired",
        parties: "agent, muster trigger fire (as operator) -> agents",
        purpose: "trigger n fires; armed machines act, once for each firing",
    },
];

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
