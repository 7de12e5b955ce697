//! How tests of the report service ask it.

use std::time::Duration;

use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_proto::v1::report_query::Kind;
use muster_testkit::until;

/// Asks, again while the service is not there yet, until `limit`.
pub(crate) async fn ask(bus: &Bus, kind: Kind, limit: Duration) -> Result<v1::ReportReply, v1::Refusal> {
    let query = Body::ReportQuery(v1::ReportQuery { kind: Some(kind) });
    let envelope = bus.envelope(query, Authority::default());
    let subject = subjects::service(Service::Report, "query");
    let look = async || Ok(bus.request(&subject, &envelope, Duration::from_secs(10)).await);
    let answer = until("it answers", limit, look, Result::is_ok).await.expect("it answers").expect("an answer");
    match answer.body.expect("a body") {
        Body::ReportReply(reply) => Ok(reply),
        Body::Refusal(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}
