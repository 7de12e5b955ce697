//! `muster admin telemetry`: what the telemetry store keeps of samples.

use std::time::Duration;

use muster_bus::subjects::Service;
use muster_model::quantity::print_duration;
use muster_proto::v1::{self, cell::Value, envelope::Body, report_query, telemetry_command, telemetry_reply};

use super::{Session, reports};
use crate::arguments::{ReinitialiseArguments, Retention, RetentionArguments, TelemetryCommand};
use crate::client::unexpected;
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, command: &TelemetryCommand) -> Result<(), Failure> {
    match command {
        TelemetryCommand::Status => reports::show(session, &status(session).await?),
        TelemetryCommand::Retention(arguments) => retention(session, arguments).await,
        TelemetryCommand::Reinitialise(arguments) => reinitialise(session, arguments).await,
    }
}

async fn status(session: &Session) -> Result<v1::ReportReply, Failure> {
    let kind = report_query::Kind::TelemetryStatus(v1::TelemetryStatusQuery {});
    session.client.report("admin telemetry status", kind).await
}

async fn retention(session: &Session, arguments: &RetentionArguments) -> Result<(), Failure> {
    let what = "set the retention";
    let command = match &arguments.retention {
        None => v1::SetRetention::default(),
        Some(Retention { table, keep }) => {
            if let Some(keep) = keep {
                let touched = format!("everything in `{table}` that is older than {}", print_duration(*keep));
                confirm(what, &[touched], arguments.yes).await?;
            }
            let keep_seconds = keep.map_or(0, |keep| i64::try_from(keep.as_secs()).unwrap_or(i64::MAX));
            v1::SetRetention { table: table.clone(), keep_seconds }
        }
    };
    let kind = command_kind(session, what, telemetry_command::Kind::SetRetention(command)).await?;
    let telemetry_reply::Kind::Retentions(retentions) = kind else {
        return Err(unexpected(Service::TelemetryLogger.as_str()));
    };
    let mut table = Table::new(["table", "keep"].into_iter().map(Column::new).collect());
    for v1::Retention { table: name, keep_seconds } in retentions.tables {
        let keep = match u64::try_from(keep_seconds) {
            Ok(seconds @ 1..) => print_duration(Duration::from_secs(seconds)),
            Ok(0) | Err(_) => "everything".into(),
        };
        table.push(vec![Cell::text(name), Cell::text(keep)]);
    }
    session.print(&table).await
}

async fn reinitialise(session: &Session, arguments: &ReinitialiseArguments) -> Result<(), Failure> {
    let what = "reinitialise the samples";
    let status = status(session).await?;
    let (samples, series) = (number(&status, "samples"), number(&status, "series"));
    let touched = format!("{samples} samples of {series} series, which are deleted for good");
    confirm(what, &[touched], arguments.yes).await?;
    let command = telemetry_command::Kind::Reinitialise(v1::ReinitialiseTelemetry {});
    let telemetry_reply::Kind::Reinitialised(gone) = command_kind(session, what, command).await? else {
        return Err(unexpected(Service::TelemetryLogger.as_str()));
    };
    let cells = vec![("samples", Cell::Integer(gone.samples)), ("series", Cell::Integer(gone.series))];
    session.print(&Table::record(cells)).await
}

async fn command_kind(
    session: &Session,
    what: &str,
    kind: telemetry_command::Kind,
) -> Result<telemetry_reply::Kind, Failure> {
    let body = Body::TelemetryCommand(v1::TelemetryCommand { kind: Some(kind) });
    match session.client.command(what, Service::TelemetryLogger, body).await? {
        Body::TelemetryReply(v1::TelemetryReply { kind: Some(kind) }) => Ok(kind),
        _ => Err(unexpected(Service::TelemetryLogger.as_str())),
    }
}

/// A number of the status.
fn number(status: &v1::ReportReply, name: &str) -> i64 {
    let named = |row: &&v1::Row| row.cells.first().is_some_and(|cell| cell.value == Some(Value::Text(name.into())));
    match status.rows.iter().find(named).and_then(|row| row.cells.get(1)?.value.clone()) {
        Some(Value::Integer(number)) => number,
        _ => 0,
    }
}
