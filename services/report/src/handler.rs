//! Requests on `svc.report.query`, several at once.

use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, Request, each};
use muster_proto::v1::envelope::Body;
use muster_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::QUESTIONS_MAX;
use crate::{answer, metrics};

/// Answers until `stop`. All replicas share one queue group: each question reaches one.
///
/// # Errors
/// When the bus is gone for good.
pub(crate) async fn serve(bus: &Bus, store: &Store, stop: &CancellationToken) -> anyhow::Result<()> {
    // One who asks much does not take all places.
    let bus = &bus.clone().with_requests_at_once(QUESTIONS_MAX / 2);
    let mut served = bus.serve(Service::Report, Service::Report.as_str(), &["query"]).await?;
    let queries = served.endpoints.remove(0);
    muster_chassis::set_ready(true);
    let answering = each(queries, QUESTIONS_MAX, |request| reply(bus.clone(), store.clone(), request));
    stop.run_until_cancelled(answering).await;
    served.stop().await;
    Ok(())
}

async fn reply(bus: Bus, store: Store, request: Request) {
    let answer = answer::answer(&bus, &store, &request.envelope).await;
    metrics::answered(answer.is_ok());
    match answer {
        Ok(reply) => request.answer(Body::ReportReply(reply), Authority::default()).await,
        Err(refusal) => request.refuse(&refusal).await,
    }
}
