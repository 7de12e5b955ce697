//! Asking a service as a patient client does.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_bus::Bus;
use muster_proto::v1::{Envelope, RefusalCode, envelope::Body};

/// How long one try waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const STEP: Duration = Duration::from_millis(50);

/// Asks until somebody answers with something else than that it is not the time: the same envelope again, as a client does while a
/// leader is found.
///
/// # Errors
/// When nobody does within `limit`, or the answer is empty.
pub async fn answered(bus: &Bus, subject: &str, envelope: &Envelope, limit: Duration) -> anyhow::Result<Body> {
    let start = Instant::now();
    loop {
        let why = match bus.request(subject, envelope, ANSWER_TIMEOUT).await {
            Ok(answer) => match answer.body.context("read the answer")? {
                Body::Refusal(refusal) if refusal.code() == RefusalCode::Unavailable => refusal.why,
                body => return Ok(body),
            },
            Err(error) => error.to_string(),
        };
        ensure!(start.elapsed() < limit, "nobody answers on {subject}: {why}");
        tokio::time::sleep(STEP).await;
    }
}
