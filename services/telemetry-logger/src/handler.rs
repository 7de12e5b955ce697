//! Requests: the archive of the decision logs.

use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, Request, body, each};
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
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
    let mut served = bus.serve(service, service.as_str(), &["archive"]).await?;
    let archive = served.endpoints.remove(0);
    let answering = each(archive, REQUESTS_MAX, |request| answer(store.clone(), request));
    stop.run_until_cancelled(answering).await;
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
    messages.map(|messages| v1::ArchiveReply { messages }).map_err(|error| refusal(&error))
}

fn refusal(error: &Error) -> Refusal {
    let next = "try again when PostgreSQL is back";
    Refusal::new(RefusalCode::Unavailable, "read the archive", error.to_string(), next)
}
