//! Requests: the archive of the decision logs, and commands about what is kept of samples.

use std::time::Duration;

use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, Request, body, each};
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_proto::v1::{telemetry_command, telemetry_reply};
use muster_store::{Error, Store, read_retrying};
use muster_telemetry::write;
use tokio_util::sync::CancellationToken;

use crate::config::REQUESTS_MAX;

/// Answers until `stop`. Every replica answers: they read the same store.
///
/// # Errors
/// When the bus is gone for good.
pub(crate) async fn serve(bus: &Bus, store: &Store, stop: &CancellationToken) -> anyhow::Result<()> {
    let service = Service::TelemetryLogger;
    let mut served = bus.serve(service, service.as_str(), &["archive", "command"]).await?;
    let (archive, commands) = (served.endpoints.remove(0), served.endpoints.remove(0));
    let answering = each(archive, REQUESTS_MAX, |request| answer(store.clone(), request));
    let obeying = each(commands, 1, |request| obey(store.clone(), request));
    stop.run_until_cancelled(futures::future::join(answering, obeying)).await;
    served.stop().await;
    Ok(())
}

async fn answer(store: Store, request: Request) {
    match ask(&store, &request).await {
        Ok(reply) => request.answer(Body::ArchiveReply(reply), Authority::default()).await,
        Err(refusal) => request.refuse(&refusal).await,
    }
}

async fn ask(store: &Store, request: &Request) -> Result<v1::ArchiveReply, Refusal> {
    let invalid = |why: &str| {
        Refusal::new(RefusalCode::Invalid, "read the archive", why, "ask with an archive_query of a log, as `JOBS`")
    };
    let envelope = request.envelope.clone().map_err(|error| invalid(&error))?;
    let Body::ArchiveQuery(query) = body(envelope).map_err(invalid)? else {
        return Err(invalid("the request is no archive_query"));
    };
    let messages = if query.head_only {
        read_retrying(|| write::archive_head(store, &query.log)).await.map(|head| head.into_iter().collect())
    } else {
        let from = query.from.unwrap_or_default();
        read_retrying(|| write::archive_page(store, &query.log, from.into(), query.limit)).await
    };
    messages.map(|messages| v1::ArchiveReply { messages }).map_err(|error| refusal("read the archive", &error))
}

async fn obey(store: Store, request: Request) {
    match carry_out(&store, &request).await {
        Ok(kind) => {
            let reply = v1::TelemetryReply { kind: Some(kind) };
            request.answer(Body::TelemetryReply(reply), Authority::default()).await;
        }
        Err(refusal) => request.refuse(&refusal).await,
    }
}

/// Carries out a command. Each may be asked again: the second time changes nothing more.
async fn carry_out(store: &Store, request: &Request) -> Result<telemetry_reply::Kind, Refusal> {
    let what = "change what is kept";
    let invalid = |why: &str| Refusal::new(RefusalCode::Invalid, what, why, "see `muster admin telemetry --help`");
    let envelope = request.envelope.clone().map_err(|error| invalid(&error))?;
    let actor = envelope.actor.clone();
    let Body::TelemetryCommand(command) = body(envelope).map_err(invalid)? else {
        return Err(invalid("the request is no telemetry_command"));
    };
    match command.kind.ok_or_else(|| invalid("it asks nothing that this version knows"))? {
        telemetry_command::Kind::SetRetention(v1::SetRetention { table, keep_seconds }) => {
            if !table.is_empty() {
                let keep = u64::try_from(keep_seconds).map_err(|_| invalid("the time is below zero"))?;
                let keep = (keep > 0).then(|| Duration::from_secs(keep));
                let set = write::set_retention(store, &table, keep, &actor).await;
                if !set.map_err(|error| refusal(what, &error))? {
                    let tables = write::retained_tables().join(", ");
                    let why = format!("the retention of `{}` can not be set", table.escape_debug());
                    return Err(Refusal::new(RefusalCode::NotFound, what, why, format!("tables: {tables}")));
                }
                tracing::info!(table, keep_seconds, actor, "the retention is set");
            }
            let keeping = write::retentions(store).await.map_err(|error| refusal(what, &error))?;
            Ok(telemetry_reply::Kind::Retentions(retentions(&keeping)))
        }
        telemetry_command::Kind::Reinitialise(v1::ReinitialiseTelemetry {}) => {
            let emptied = write::reinitialise(store).await.map_err(|error| refusal(what, &error))?;
            let (samples, series) = (emptied.samples, emptied.series);
            tracing::warn!(samples, series, actor, "all samples were taken away");
            Ok(telemetry_reply::Kind::Reinitialised(v1::TelemetryReinitialised { samples, series }))
        }
    }
}

/// What every table keeps whose retention can be set.
fn retentions(keeping: &[(String, Duration)]) -> v1::Retentions {
    let of = |table: &str| keeping.iter().find(|(name, _)| name == table).map_or(0, |(_, keep)| keep.as_secs());
    let row =
        |table: &str| v1::Retention { table: table.into(), keep_seconds: i64::try_from(of(table)).unwrap_or(i64::MAX) };
    v1::Retentions { tables: write::retained_tables().into_iter().map(row).collect() }
}

fn refusal(what: &str, error: &Error) -> Refusal {
    let next = "try again when PostgreSQL is back";
    Refusal::new(RefusalCode::Unavailable, what, error.to_string(), next)
}
