//! Asks everybody, all at once. What can not be asked is found as such: an examination never ends in its middle.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_model::{PoolTime, Position};
use muster_proto::v1::{self, envelope::Body};

use super::found::{Decided, Found, Heard, Passes, ServiceFound};
use crate::client::Client;
use crate::commands::admin::OWNERS;
use crate::decode::lines_of;
use crate::exit::Failure;
use crate::progress::Progress;

/// A service that does not answer within this is not there.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Agents beat once a second: two beats of each are heard within this.
const LISTEN: Duration = Duration::from_millis(2_300);
/// Replicas answer within this.
const REPLICAS_WAIT: Duration = Duration::from_millis(300);
/// Replicas are asked so often, until leader and standbys are met at one position.
const REPLICAS_ASKED_MAX: usize = 6;
/// Between two passes over what differs.
const PASS_PAUSE: Duration = Duration::from_millis(500);
/// Messages of a log that are read to say what was decided.
const DECIDED_MESSAGES_MAX: u64 = 200;
/// All of them are read within this.
const DECIDED_WITHIN: Duration = Duration::from_secs(2);
/// Parts of an examination: each owner's passes and the six of [`gather`].
const PARTS: u64 = OWNERS.len() as u64 + 6;

/// Shows how far it is.
struct Steps(Mutex<(u64, Progress)>);

impl Steps {
    fn begin() -> Self {
        Self(Mutex::new((0, Progress::begin("doctor", PARTS, false))))
    }

    fn done(&self, what: &str) {
        if let Ok(mut steps) = self.0.lock() {
            steps.0 += 1;
            let done = steps.0;
            steps.1.set(done, what);
        }
    }

    fn end(self) {
        if let Ok((_, progress)) = self.0.into_inner() {
            progress.clear();
        }
    }
}

/// Examines everything; what differs may take `wait` to be repaired.
pub(super) async fn gather(client: &Client, wait: Duration) -> Found {
    let steps = Steps::begin();
    let bus = client.bus();
    let clock = client.pool_time().await.map(|clocked| (clocked.time, Instant::now()));
    let (server, streams, programs, services, store, machines, heard) = tokio::join!(
        told(&steps, "the server", async { bus.server_health().await.map_err(|error| error.to_string()) }),
        told(&steps, "the streams", async { bus.stream_health().await.map_err(|error| error.to_string()) }),
        told(&steps, "the programs", async { bus.served_programs(REPLICAS_WAIT).await.unwrap_or_default() }),
        join_all(OWNERS.map(|service| told(&steps, service.as_str(), examine(client, service, wait)))),
        told(&steps, "the store", store(client)),
        told(&steps, "the machines", async {
            client.machines_quietly("look at the machines", ANSWER_MAX).await.map_err(|failure| why(&failure))
        }),
        told(&steps, "the agents", listen(bus, clock)),
    );
    steps.end();
    Found { server, streams, programs, services, store, machines, heard }
}

async fn told<T>(steps: &Steps, what: &str, part: impl Future<Output = T>) -> T {
    let done = part.await;
    steps.done(what);
    done
}

/// A failure as a reason: one line without the name of the program.
fn why(failure: &Failure) -> String {
    let text = failure.text();
    text.lines().next().unwrap_or_default().trim_start_matches("muster: ").to_owned()
}

async fn store(client: &Client) -> Result<v1::ReportReply, String> {
    let kind = v1::report_query::Kind::Status(v1::StoreStatusQuery {});
    let body = Body::ReportQuery(v1::ReportQuery { kind: Some(kind) });
    match client.query_quietly("look at the store", Service::Report, body, ANSWER_MAX).await {
        Ok(Body::ReportReply(reply)) => Ok(reply),
        Ok(_) => Err("the report service answered something else".into()),
        Err(failure) => Err(why(&failure)),
    }
}

async fn examine(client: &Client, service: Service, wait: Duration) -> ServiceFound {
    let bus = client.bus();
    let log = muster_ledger::inspect(bus, service);
    let (passes, replicas, log) = tokio::join!(pass(client, service, wait), replicas(bus, service), log);
    ServiceFound { service, passes, replicas, log: log.map_err(|error| error.to_string()) }
}

/// Full passes until nothing differs, or time is up.
async fn pass(client: &Client, service: Service, wait: Duration) -> Result<Passes, String> {
    let first = client.check(service, ANSWER_MAX).await.map_err(|failure| why(&failure))?;
    let (begun, mut last) = (Instant::now(), first.clone());
    while !last.differences.is_empty() && begun.elapsed() < wait {
        tokio::time::sleep(PASS_PAUSE).await;
        match client.check(service, ANSWER_MAX).await {
            Ok(found) => last = found,
            Err(failure) => return Err(why(&failure)),
        }
    }
    let took = begun.elapsed();
    let decided =
        if first.differences.is_empty() { Vec::new() } else { decided(client.bus(), service, &first, &last).await };
    Ok(Passes { first, last, took, decided })
}

/// What a service decided from its first pass to its last.
async fn decided(bus: &Bus, service: Service, first: &v1::CheckReply, last: &v1::CheckReply) -> Vec<Decided> {
    let at = |found: &v1::CheckReply| -> Position {
        found.status.as_ref().and_then(|status| status.position).unwrap_or_default().into()
    };
    let (from, to) = (at(first).sequence.0 + u64::from(first.events.is_empty()), at(last).sequence.0);
    let Some(log) = muster_bus::streams::log_of(service) else { return Vec::new() };
    let mut found = Vec::new();
    if from > to {
        return found;
    }
    let mut reader = bus.read(log, "", from);
    let reading = async {
        for _ in 0..(to - from + 1).min(DECIDED_MESSAGES_MAX) {
            let message = reader.next().await;
            for line in lines_of(log, message.sequence, &message.payload).unwrap_or_default() {
                let text = format!("{} {}", serde_json::Value::Object(line.about), line.fields);
                found.push(Decided { what: format!("{log} {} {}", line.position, line.kind), text });
            }
        }
    };
    // What can not be read in time is not told.
    drop(tokio::time::timeout(DECIDED_WITHIN, reading).await);
    found
}

/// Asks all replicas, until a leader and every standby were met at one position.
async fn replicas(bus: &Bus, service: Service) -> Vec<Vec<v1::ServiceStatus>> {
    let mut asked = Vec::new();
    for _ in 0..REPLICAS_ASKED_MAX {
        let envelope = bus.envelope(Body::ReplicaQuery(v1::ReplicaQuery {}), Authority::default());
        let answers = bus.ask_all(&subjects::replicas(service), &envelope, REPLICAS_WAIT).await.unwrap_or_default();
        let status = |answer: v1::Envelope| match answer.body {
            Some(Body::ReplicaStatus(status)) => Some(status),
            _ => None,
        };
        let answers: Vec<v1::ServiceStatus> = answers.into_iter().filter_map(status).collect();
        let together = answers.windows(2).all(|pair| pair[0].position == pair[1].position);
        asked.push(answers);
        if together {
            break;
        }
    }
    asked
}

/// Hears every agent for a while. Their clocks are compared with the pool's as it was told at some moment, where it was.
async fn listen(bus: &Bus, clock: Option<(PoolTime, Instant)>) -> BTreeMap<String, Heard> {
    let mut heard = BTreeMap::new();
    let Ok(mut heartbeats) = bus.subscribe(subjects::EVERY_HEARTBEAT, None).await else { return heard };
    let end = tokio::time::Instant::now() + LISTEN;
    while let Ok(Some(inbound)) = tokio::time::timeout_at(end, heartbeats.next()).await {
        let Ok(v1::Envelope { body: Some(Body::Heartbeat(heartbeat)), .. }) = inbound.envelope else { continue };
        let has_time = heartbeat.pool_time_ns != 0;
        let clock_error = has_time.then(|| Duration::from_nanos(u64::try_from(heartbeat.clock_error_ns).unwrap_or(0)));
        let now = clock.filter(|_| has_time).map(|(told, at)| told + at.elapsed());
        let ahead_ns = now.map_or(0, |now| heartbeat.pool_time_ns.saturating_sub(now.0));
        heard.insert(heartbeat.machine, Heard { clock_error, ahead_ns, containment: heartbeat.containment });
    }
    heard
}
