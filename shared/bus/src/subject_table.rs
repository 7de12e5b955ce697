//! The one table of subjects: what each carries, and who says and hears it. The page of subjects, the page of permissions and the
//! permissions that servers enforce are made of it.

use crate::Role;
use crate::subjects::Service;

/// One row of the subject table.
#[derive(Debug, Clone, Copy)]
pub struct SubjectRow {
    /// The subject, with `<m>`, `<service>`, `<verb>`, `<kind>` for its variable tokens, and `<i>` for the two of the identity that
    /// says it (`user.anna`), which are left out on a bus without identities.
    pub subject: &'static str,
    /// How it travels.
    pub transport: &'static str,
    /// What it carries, as the body's name in Envelope.
    pub body: &'static str,
    /// Who says it -> who hears it, for people.
    pub parties: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// The same for servers. What is in none of them is permitted to nobody.
    pub rules: &'static [Rule],
}

/// Who may say and hear one subject.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The subject or a pattern. `<m>` is the machine of an agent for itself, and every machine for the others; `<i>` who says it for
    /// who says it, and everybody for who hears it.
    pub subject: &'static str,
    /// Who may publish on it.
    pub says: &'static [Party],
    /// Who may subscribe to it.
    pub hears: &'static [Party],
}

/// Whom a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// An agent, where `<m>` is its own machine.
    Agent,
    /// An agent, whatever machine `<m>` is.
    AnyAgent,
    /// A service.
    Service(Service),
    /// People of a role, and of those above it.
    People(Role),
    /// A machine that has a token, where `<m>` is that machine.
    Enrollment,
}

const RESERVATION: Party = Party::Service(Service::Reservation);
const MACHINE_LIFECYCLE: Party = Party::Service(Service::MachineLifecycle);
const SCHEDULER: Party = Party::Service(Service::Scheduler);
const TELEMETRY_LOGGER: Party = Party::Service(Service::TelemetryLogger);
const REPORT: Party = Party::Service(Service::Report);
const VIEWER: Party = Party::People(Role::Viewer);
const TESTER: Party = Party::People(Role::Tester);
const OWNER: Party = Party::People(Role::Owner);
const ADMINISTRATOR: Party = Party::People(Role::Administrator);

const fn rule(subject: &'static str, says: &'static [Party], hears: &'static [Party]) -> Rule {
    Rule { subject, says, hears }
}

/// The subject table.
pub const TABLE: &[SubjectRow] = &[
    SubjectRow {
        subject: "muster.v1.svc.<service>.command.<i>",
        transport: "request/reply, micro API, leader only",
        body: "job_command, machine_command, reservation_command",
        parties: "people by role, agents (reservation) -> leader",
        purpose: "a command; retried with the same cmd_id",
        rules: &[
            rule("muster.v1.svc.scheduler.command.<i>", &[TESTER], &[SCHEDULER]),
            rule("muster.v1.svc.machine-lifecycle.command.<i>", &[OWNER], &[MACHINE_LIFECYCLE]),
            rule("muster.v1.svc.reservation.command.<i>", &[TESTER, Party::AnyAgent], &[RESERVATION]),
            rule("muster.v1.svc.telemetry-logger.command.<i>", &[ADMINISTRATOR], &[TELEMETRY_LOGGER]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.svc.<service>.query.<i>",
        transport: "request/reply, micro API",
        body: "job_query, machine_query, reservation_query, report_query",
        parties: "people, services (scheduler: the clock), agents (reservation) -> leader, or any report service",
        purpose: "a query; changes nothing",
        rules: &[
            rule(
                "muster.v1.svc.scheduler.query.<i>",
                &[VIEWER, RESERVATION, MACHINE_LIFECYCLE, SCHEDULER, TELEMETRY_LOGGER, REPORT],
                &[SCHEDULER],
            ),
            rule("muster.v1.svc.machine-lifecycle.query.<i>", &[VIEWER], &[MACHINE_LIFECYCLE]),
            rule("muster.v1.svc.reservation.query.<i>", &[VIEWER, Party::AnyAgent], &[RESERVATION]),
            rule("muster.v1.svc.report.query.<i>", &[VIEWER], &[REPORT]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.svc.<service>.leader",
        transport: "core request/reply, leader only",
        body: "none: the source names the leader",
        parties: "follower -> leader",
        purpose: "the probe: who leads, if anyone does",
        rules: &[
            rule("muster.v1.svc.scheduler.leader", &[SCHEDULER], &[SCHEDULER]),
            rule("muster.v1.svc.machine-lifecycle.leader", &[MACHINE_LIFECYCLE], &[MACHINE_LIFECYCLE]),
            rule("muster.v1.svc.reservation.leader", &[RESERVATION], &[RESERVATION]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.svc.<service>.check.<i>",
        transport: "request/reply, micro API, leader only",
        body: "check_query",
        parties: "muster doctor -> leader",
        purpose: "a full pass now, and what it found and did",
        rules: &[
            rule("muster.v1.svc.scheduler.check.<i>", &[TESTER], &[SCHEDULER]),
            rule("muster.v1.svc.machine-lifecycle.check.<i>", &[TESTER], &[MACHINE_LIFECYCLE]),
            rule("muster.v1.svc.reservation.check.<i>", &[TESTER], &[RESERVATION]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.svc.<service>.replicas",
        transport: "core request, answered by every replica",
        body: "replica_query",
        parties: "muster doctor -> leader and standbys",
        purpose: "position and state hash of each replica",
        rules: &[
            rule("muster.v1.svc.scheduler.replicas", &[VIEWER], &[SCHEDULER]),
            rule("muster.v1.svc.machine-lifecycle.replicas", &[VIEWER], &[MACHINE_LIFECYCLE]),
            rule("muster.v1.svc.reservation.replicas", &[VIEWER], &[RESERVATION]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.svc.telemetry-logger.archive.<i>",
        transport: "request/reply, micro API",
        body: "archive_query",
        parties: "owning services, muster admin recover -> telemetry-logger",
        purpose: "the copy of the decision logs in PostgreSQL",
        rules: &[rule(
            "muster.v1.svc.telemetry-logger.archive.<i>",
            &[RESERVATION, MACHINE_LIFECYCLE, SCHEDULER, ADMINISTRATOR],
            &[TELEMETRY_LOGGER],
        )],
    },
    SubjectRow {
        subject: "muster.v1.log.<service>.<kind>",
        transport: "JetStream JOBS, MACHINES, RESERVATIONS",
        body: "turn",
        parties: "leader, muster admin (a new system, recovery) -> people, services",
        purpose: "the decision logs: the public event streams",
        rules: &[
            rule("muster.v1.log.scheduler.*", &[SCHEDULER, ADMINISTRATOR], &[]),
            rule("muster.v1.log.machine-lifecycle.*", &[MACHINE_LIFECYCLE, ADMINISTRATOR], &[]),
            rule("muster.v1.log.reservation.*", &[RESERVATION, ADMINISTRATOR], &[]),
            rule("muster.v1.log.>", &[], &[VIEWER]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.hb",
        transport: "core, 1/s, never stored",
        body: "heartbeat",
        parties: "agent -> machine-lifecycle, scheduler, people",
        purpose: "the machine lives; every fifth is answered, signed",
        rules: &[rule("muster.v1.agent.<m>.hb", &[Party::Agent], &[MACHINE_LIFECYCLE, SCHEDULER, VIEWER])],
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.ping",
        transport: "core, 1/s, never stored",
        body: "ping_batch",
        parties: "agent -> scheduler, command center",
        purpose: "results of the pings of its processes",
        rules: &[rule("muster.v1.agent.<m>.ping", &[Party::Agent], &[SCHEDULER, VIEWER])],
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.hello.<service>",
        transport: "request/reply, leader only",
        body: "hello",
        parties: "agent -> machine-lifecycle, scheduler",
        purpose: "said after every connection, before anything else; the answer is signed",
        rules: &[
            rule("muster.v1.agent.<m>.hello.machine-lifecycle", &[Party::Agent], &[MACHINE_LIFECYCLE, SCHEDULER]),
            rule("muster.v1.agent.<m>.hello.scheduler", &[Party::Agent], &[SCHEDULER]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.rpt",
        transport: "JetStream REPORTS",
        body: "report_batch",
        parties: "agent -> scheduler, machine-lifecycle, telemetry-logger",
        purpose: "durable reports, in order",
        rules: &[rule("muster.v1.agent.<m>.rpt", &[Party::Agent], &[])],
    },
    SubjectRow {
        subject: "muster.v1.agent.<m>.tel",
        transport: "JetStream TEL",
        body: "sample_batch",
        parties: "agent -> telemetry-logger",
        purpose: "batches of samples",
        rules: &[rule("muster.v1.agent.<m>.tel", &[Party::Agent], &[])],
    },
    SubjectRow {
        subject: "muster.v1.cmd.<m>.<verb>",
        transport: "core request/reply",
        body: "agent_command",
        parties: "leaders, muster logs, agents of a gang -> one agent",
        purpose: "verbs jobs, inventory, machine, install, reboot, storage, signed; logs, peer, clock",
        rules: &[
            rule("muster.v1.cmd.<m>.*", &[], &[Party::Agent]),
            rule("muster.v1.cmd.*.jobs", &[SCHEDULER], &[]),
            rule("muster.v1.cmd.*.inventory", &[SCHEDULER], &[]),
            rule("muster.v1.cmd.*.machine", &[MACHINE_LIFECYCLE], &[]),
            rule("muster.v1.cmd.*.install", &[MACHINE_LIFECYCLE], &[]),
            rule("muster.v1.cmd.*.reboot", &[MACHINE_LIFECYCLE], &[]),
            rule("muster.v1.cmd.*.storage", &[MACHINE_LIFECYCLE], &[]),
            rule("muster.v1.cmd.*.logs", &[VIEWER], &[]),
            rule("muster.v1.cmd.*.peer", &[Party::AnyAgent], &[]),
            rule("muster.v1.cmd.*.clock", &[Party::AnyAgent], &[]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.edge.trigger.<n>.<m>",
        transport: "core, never stored",
        body: "edge_fired",
        parties: "agent, muster trigger fire (as operator) -> agents",
        purpose: "trigger n fires; armed machines act, once for each firing",
        rules: &[
            rule("muster.v1.edge.trigger.*.*", &[], &[Party::AnyAgent]),
            rule("muster.v1.edge.trigger.*.<m>", &[Party::Agent], &[]),
            rule("muster.v1.edge.trigger.*.operator", &[TESTER], &[]),
        ],
    },
    SubjectRow {
        subject: "muster.v1.enroll.<m>",
        transport: "core request/reply",
        body: "enroll_request",
        parties: "a machine that has a token -> muster admin enroll",
        purpose: "presents the key that the machine made, to be approved",
        rules: &[rule("muster.v1.enroll.<m>", &[Party::Enrollment], &[ADMINISTRATOR])],
    },
];
