//! `muster admin`: sets a system up, and shows its services.

use std::time::Duration;

use futures::future::join_all;
use muster_bus::Bus;
use muster_bus::streams::{self, InitOptions};
use muster_bus::subjects::Service;
use muster_ledger::LedgerError;
use muster_model::{Position, Refusal, RefusalCode, SystemId};
use muster_proto::v1::{self, envelope::Body};

use super::{Session, audit, backup, recover, telemetry};
use crate::arguments::{AdminCommand, InitArguments};
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

/// Services that own a decision log.
pub(super) const OWNERS: [Service; 3] = [Service::Scheduler, Service::MachineLifecycle, Service::Reservation];
/// A service that does not answer within this is shown as silent.
const STATUS_TIMEOUT_MAX: Duration = Duration::from_secs(3);

pub(super) async fn run(session: &Session, command: &AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::Init(arguments) => init(session, arguments).await,
        AdminCommand::Recover(arguments) => recover::run(session, arguments).await,
        AdminCommand::Backup(arguments) => backup::take(session, arguments).await,
        AdminCommand::Restore(arguments) => backup::restore(session, arguments).await,
        AdminCommand::Status => status(session).await,
        AdminCommand::Telemetry(command) => telemetry::run(session, command).await,
        AdminCommand::Audit(command) => audit::run(session, command).await,
        AdminCommand::Enroll(_)
        | AdminCommand::User(_)
        | AdminCommand::Identities(_)
        | AdminCommand::Revoke(_)
        | AdminCommand::Rotate(_)
        | AdminCommand::Retire(_) => {
            Err(Failure::Usage("keys are files: use this in a shell, `muster admin ...`".into()))
        }
    }
}

async fn init(session: &Session, arguments: &InitArguments) -> Result<(), Failure> {
    let bus = session.client.bus();
    let size_divisor = match arguments.size_divisor {
        Some(divisor) => divisor,
        None => bus.size_divisor(arguments.replicas).await?,
    };
    if size_divisor > 1 {
        eprintln!(
            "muster: the streams are made with 1/{size_divisor} of their full sizes: the server has no more room"
        );
    }
    bus.init_streams(InitOptions { replicas: arguments.replicas, size_divisor }).await?;
    let mut cells = vec![("streams", Cell::text("ready")), ("size_divisor", Cell::Signed(size_divisor))];
    if arguments.new_system && !(arguments.if_missing && has_system(bus).await?) {
        let fresh = SystemId(*uuid::Uuid::now_v7().as_bytes());
        let made = muster_ledger::initialise(bus, fresh).await;
        let system = made.map_err(|error| refused("begin a new system", error))?;
        cells.push(("system", Cell::text(uuid::Uuid::from_bytes(system.0).to_string())));
    }
    session.print(&Table::record(cells)).await
}

/// Whether every decision log holds something already.
async fn has_system(bus: &Bus) -> Result<bool, Failure> {
    for service in OWNERS {
        let state = match streams::log_of(service) {
            Some(log) => bus.stream_state(log).await?,
            None => None,
        };
        if state.is_none_or(|state| state.last == 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A ledger's error as a refusal of `what`.
pub(super) fn refused(what: &str, error: LedgerError) -> Failure {
    match error {
        LedgerError::Refused { log, reason, next } => {
            Refusal::new(RefusalCode::Refused, what, format!("{log}: {reason}"), next).into()
        }
        LedgerError::Bus(error) => error.into(),
    }
}

/// What one service says of itself.
struct Answer {
    service: Service,
    status: Option<v1::ServiceStatus>,
    trouble: String,
}

async fn status(session: &Session) -> Result<(), Failure> {
    let services = [Service::Scheduler, Service::MachineLifecycle, Service::Reservation, Service::Report];
    let answers = join_all(services.map(|service| ask(session, service))).await;
    let names = ["service", "answers", "instance", "term", "position", "followed", "trouble"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["system", "state_hash"].map(Column::programs));
    let mut table = Table::new(columns);
    for answer in &answers {
        table.push(row(answer));
    }
    session.print(&table).await?;
    let silent: Vec<&str> =
        answers.iter().filter(|answer| !answer.trouble.is_empty()).map(|answer| answer.service.as_str()).collect();
    if silent.is_empty() {
        return Ok(());
    }
    Err(Failure::Unreachable(format!("{}: no good answer; see the log of the service", silent.join(", "))))
}

async fn ask(session: &Session, service: Service) -> Answer {
    let limit = STATUS_TIMEOUT_MAX.min(session.client.timeout());
    match session.client.query_quietly("ask for the status", service, question(service), limit).await {
        Ok(body) => Answer { service, status: status_of(body), trouble: String::new() },
        Err(Failure::Refused(refusal)) => Answer { service, status: None, trouble: refusal.why },
        Err(Failure::TimedOut(_)) => Answer { service, status: None, trouble: format!("no answer within {limit:?}") },
        Err(_) => Answer { service, status: None, trouble: "nobody answers".into() },
    }
}

/// The question for the status of a service.
pub(super) fn question(service: Service) -> Body {
    match service {
        Service::Scheduler => {
            Body::JobQuery(v1::JobQuery { kind: Some(v1::job_query::Kind::Status(v1::JobServiceStatus {})) })
        }
        Service::MachineLifecycle => {
            let kind = v1::machine_query::Kind::Status(v1::MachineServiceStatus {});
            Body::MachineQuery(v1::MachineQuery { kind: Some(kind) })
        }
        Service::Reservation => {
            let kind = v1::reservation_query::Kind::Status(v1::ReservationServiceStatus {});
            Body::ReservationQuery(v1::ReservationQuery { kind: Some(kind) })
        }
        Service::Report | Service::TelemetryLogger => {
            Body::ReportQuery(v1::ReportQuery { kind: Some(v1::report_query::Kind::Status(v1::StoreStatusQuery {})) })
        }
    }
}

/// The status that an owning service answers with; the report service has none, its answer is enough.
pub(super) fn status_of(body: Body) -> Option<v1::ServiceStatus> {
    match body {
        Body::JobReply(v1::JobReply { kind: Some(v1::job_reply::Kind::Status(status)) })
        | Body::MachineReply(v1::MachineReply { kind: Some(v1::machine_reply::Kind::Status(status)) })
        | Body::ReservationReply(v1::ReservationReply { kind: Some(v1::reservation_reply::Kind::Status(status)) }) => {
            Some(status)
        }
        _ => None,
    }
}

fn row(answer: &Answer) -> Vec<Cell> {
    let position = |at: &Option<v1::Position>| Position::from(at.unwrap_or_default()).to_string();
    let mut cells = vec![Cell::text(answer.service.as_str()), Cell::Flag(answer.trouble.is_empty())];
    match &answer.status {
        Some(status) => {
            let followed = status.followed.iter().map(|one| format!("{} {}", one.stream, position(&one.position)));
            cells.extend([
                Cell::text(&status.instance),
                Cell::Integer(status.term),
                Cell::text(position(&status.position)),
                Cell::List(followed.collect()),
                Cell::text(&answer.trouble),
                Cell::text(&status.system),
                Cell::text(&status.state_hash),
            ]);
        }
        None => {
            cells.extend([Cell::None, Cell::None, Cell::None, Cell::None]);
            cells.extend([Cell::text(&answer.trouble), Cell::None, Cell::None]);
        }
    }
    cells
}
