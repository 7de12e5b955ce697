//! What the oracle needs, read from the streams, the archive, the agents' journals and the pool itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus, BusOptions, streams};
use muster_ledger::open_turn;
use muster_model::{Attempt, Dpid, JobNumber, Position, ProcessId, ProcessNumber, RunId};
use muster_proto::v1::{ArchiveQuery, Envelope, envelope::Body, report::Kind};
use muster_store::{Access, Store, StoreOptions};
use muster_testkit::lab::Lab;
use prost::Message as _;
use serde_json::Value;

use crate::facts::{Counts, Intent, Log, Machine, Message, Stream};

/// The archive answers within this.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(10);
/// Rows of the archive asked for at once.
const ROWS_MAX: u32 = 256;

/// A connection to a lab's bus itself.
pub(crate) async fn connect(lab: &Lab) -> anyhow::Result<Bus> {
    Bus::connect(&BusOptions::insecure_local(&lab.nats.url(), "chaos/oracle")).await.context("connect the oracle")
}

/// The three decision logs with their copies.
///
/// # Errors
/// When one can not be read.
pub(crate) fn logs(lab: &Lab, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Log>> {
    let mut logs = Vec::new();
    for name in [streams::JOBS, streams::MACHINES, streams::RESERVATIONS] {
        let payloads = muster_e2e::stream::messages(lab, name)?;
        let messages =
            payloads.iter().map(message).collect::<anyhow::Result<_>>().with_context(|| format!("read {name}"))?;
        let archived = runtime.block_on(async { archived(&connect(lab).await?, name).await })?;
        logs.push(Log { name: name.into(), messages, archived });
    }
    Ok(logs)
}

fn message(payload: &Bytes) -> anyhow::Result<Message> {
    let opened = open_turn(payload).map_err(anyhow::Error::msg)?;
    let Some(Body::Turn(turn)) = Envelope::decode(payload.clone())?.body else { anyhow::bail!("it is no turn") };
    let hash = *blake3::hash(payload).as_bytes();
    Ok(Message { position: opened.position, hash, previous: turn.previous_hash.to_vec(), entries: opened.entries })
}

/// Positions and hashes of all that the archive has of a log.
async fn archived(bus: &Bus, log: &str) -> anyhow::Result<Vec<(Position, Vec<u8>)>> {
    let mut found: Vec<(Position, Vec<u8>)> = Vec::new();
    loop {
        let last = found.last().map(|(position, _)| *position);
        let from = last.map(|last| Position::new(last.lineage.0, last.sequence.0 + 1).into());
        let query = ArchiveQuery { log: log.into(), from, head_only: false, limit: ROWS_MAX };
        let envelope = bus.envelope(Body::ArchiveQuery(query), Authority::default());
        let subject = subjects::service(Service::TelemetryLogger, "archive");
        let answer = bus.request(&subject, &envelope, ARCHIVE_LIMIT).await.context("ask the archive")?;
        let Some(Body::ArchiveReply(reply)) = answer.body else { anyhow::bail!("the archive answered something else") };
        if reply.messages.is_empty() {
            return Ok(found);
        }
        let rows = reply.messages.into_iter();
        found.extend(rows.map(|row| (row.position.unwrap_or_default().into(), row.hash.to_vec())));
    }
}

/// What the journals of so many agents hold.
///
/// # Errors
/// When one can not be read.
pub(crate) fn intents(directory: &Path, machines: u32) -> anyhow::Result<Vec<Intent>> {
    let mut found = Vec::new();
    for machine in 1..=machines {
        let path = directory.join(format!("node-{machine}/state/intents.jsonl"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        // Each line is a record behind its checksum.
        let records = text.lines().filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok());
        let intents = records.filter_map(|record: Value| record["intents"]["intents"].as_array().cloned()).flatten();
        found.extend(intents.filter_map(|intent| Some(Intent { machine, id: id_of(&intent["key"])? })));
    }
    Ok(found)
}

/// An identity as the journal has it: run, job, process, attempt.
fn id_of(key: &Value) -> Option<ProcessId> {
    let number = |place: usize| key[place].as_u64().and_then(|number| u32::try_from(number).ok());
    let dpid = Dpid { job: JobNumber(number(1)?), process: ProcessNumber(number(2)?) };
    Some(ProcessId { run: RunId(number(0)?), dpid, attempt: Attempt(number(3)?) })
}

/// The machines as `muster machine list` shows them; none where nobody answers.
pub(crate) fn machines(lab: &Lab) -> Vec<Machine> {
    rows(lab, &["machine", "list"])
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            Machine { name: text("machine"), health: text("health"), phase: text("phase"), tenure: text("tenure") }
        })
        .collect()
}

/// The streams and their limits.
///
/// # Errors
/// When the server does not answer.
pub(crate) fn stream_sizes(lab: &Lab, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Stream>> {
    let health =
        runtime.block_on(async { connect(lab).await?.stream_health().await.context("look at the streams") })?;
    let streams = health.into_iter();
    Ok(streams.map(|of| Stream { name: of.name, size: of.size_bytes, size_max: of.size_max_bytes }).collect())
}

/// What agents were acknowledged.
///
/// # Errors
/// When the streams can not be read.
pub(crate) fn acknowledged(lab: &Lab) -> anyhow::Result<Counts> {
    let (samples, _) = muster_e2e::stream::acknowledged(lab)?;
    let mut finals = BTreeSet::new();
    for payload in muster_e2e::stream::messages(lab, streams::REPORTS)? {
        let Some(Body::ReportBatch(batch)) = Envelope::decode(payload)?.body else { continue };
        let last = batch.reports.into_iter().filter_map(|report| match report.kind {
            Some(Kind::Final(last)) => last.id.map(ProcessId::from),
            _ => None,
        });
        finals.extend(last);
    }
    Ok(Counts { samples, finals: finals.len() as u64 })
}

/// What the store holds; nothing where it does not answer. A report would show only so many jobs.
pub(crate) fn stored(lab: &Lab) -> Counts {
    counted(&lab.postgres.url()).unwrap_or_default()
}

fn counted(url: &str) -> anyhow::Result<Counts> {
    // Job 0 is the machines' own.
    const COUNTS: &str = "SELECT (SELECT coalesce(sum(samples), 0)::bigint FROM job_stored WHERE job <> 0), \
                          (SELECT count(*) FROM final_report)";
    let options = StoreOptions {
        application: "muster-chaos".into(),
        access: Access::Read,
        connections_max: 1,
        statement_timeout: Duration::from_secs(60),
    };
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    runtime.block_on(async {
        let store = Store::open(url, &options)?;
        let row = store.client().await?.query_one(COUNTS, &[]).await?;
        let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
        Ok(Counts { samples: count(0), finals: count(1) })
    })
}

/// What `muster` lists; nothing where nobody answers.
pub(crate) fn rows(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    lab.muster_json(arguments).ok().and_then(|rows| rows.as_array().cloned()).unwrap_or_default()
}
