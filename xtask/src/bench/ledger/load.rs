//! Clients that give commands over NATS: each asks, waits for the answer, and asks again.
//!
//! Clients share a few connections, as programs behind one connection do; what they ask and what they wait for is each one's own.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::StreamExt;
use hdrhistogram::Histogram;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus, RequestError};
use muster_model::CommandId;
use muster_proto::v1::{Envelope, JobCommand, envelope::Body};
use prost::Message;

/// An answer comes within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Latencies in nanoseconds, of three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new(3).context("a histogram")
}

/// Lets so many clients of one connection give commands until a moment, and answers how long each command took.
pub(crate) async fn clients(bus: Bus, count: usize, until: Instant) -> anyhow::Result<Histogram<u64>> {
    let deadline = until.saturating_duration_since(Instant::now()) + ANSWER_TIMEOUT;
    // The budget of a task would end a round of answers in its middle.
    let asking = tokio::task::unconstrained(ask_until(&bus, count, until));
    tokio::time::timeout(deadline, asking).await.context("an answer did not come")?
}

async fn ask_until(bus: &Bus, count: usize, until: Instant) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    let inbox = bus.new_inbox();
    let subject = subjects::service(Service::Scheduler, "command");
    let mut answers = bus.client().subscribe(format!("{inbox}.*")).await?;
    let mut asked = vec![Instant::now(); count];
    for (client, asked) in asked.iter_mut().enumerate() {
        *asked = Instant::now();
        bus.client().publish_with_reply(subject.clone(), format!("{inbox}.{client}"), command(bus)).await?;
    }
    let mut open = count;
    while open > 0 {
        let answer = answers.next().await.context("the connection is gone")?;
        let client: usize = answer.subject.rsplit('.').next().unwrap_or_default().parse()?;
        let asked = asked.get_mut(client).context("an answer to nobody")?;
        check(answer.payload)?;
        let now = Instant::now();
        latencies.record(u64::try_from((now - *asked).as_nanos())?)?;
        if now >= until {
            open -= 1;
            continue;
        }
        *asked = now;
        bus.client().publish_with_reply(subject.clone(), answer.subject, command(bus)).await?;
    }
    Ok(latencies)
}

fn envelope(bus: &Bus) -> Envelope {
    let authority = Authority { command: Some(CommandId(muster_bus::fresh_id())), ..Authority::default() };
    bus.envelope(Body::JobCommand(JobCommand::default()), authority)
}

fn command(bus: &Bus) -> Bytes {
    envelope(bus).encode_to_vec().into()
}

/// An empty answer says that nobody serves.
fn check(payload: Bytes) -> anyhow::Result<()> {
    let body = Envelope::decode(payload)?.body;
    ensure!(matches!(body, Some(Body::JobReply(_))), "a command was refused: {body:?}");
    Ok(())
}

/// Gives one command, and answers whether it was taken.
pub(crate) async fn try_command(bus: &Bus, timeout: Duration) -> Result<bool, RequestError> {
    match bus.request(&subjects::service(Service::Scheduler, "command"), &envelope(bus), timeout).await {
        Ok(answer) => Ok(matches!(answer.body, Some(Body::JobReply(_)))),
        Err(RequestError::NoResponders { .. } | RequestError::TimedOut { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
