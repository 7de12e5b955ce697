//! What the streams of a lab hold, read beside Muster: the count that the store is compared with.

use anyhow::Context;
use muster_bus::{Bus, BusOptions, streams};
use muster_proto::v1::{Envelope, envelope::Body};
use muster_testkit::lab::Lab;
use prost::Message;

/// A connection to a lab's bus.
///
/// # Errors
/// When it does not answer.
pub async fn connect(lab: &Lab) -> anyhow::Result<Bus> {
    Bus::connect(&BusOptions::new(&lab.nats.url(), "e2e/test")).await.context("connect to the lab")
}

/// Values in all sample rows that TEL holds: what agents have acknowledged.
///
/// # Errors
/// When the stream can not be read.
pub async fn samples(bus: &Bus) -> anyhow::Result<u64> {
    let mut count = 0;
    for payload in payloads(bus, streams::TEL).await? {
        if let Some(Body::SampleBatch(batch)) = Envelope::decode(payload)?.body {
            count += batch.rows.iter().map(|row| row.values.iter().filter(|v| !v.is_nan()).count() as u64).sum::<u64>();
        }
    }
    Ok(count)
}

/// Final reports that REPORTS holds.
///
/// # Errors
/// When the stream can not be read.
pub async fn final_reports(bus: &Bus) -> anyhow::Result<u64> {
    use muster_proto::v1::report::Kind;
    let mut count = 0;
    for payload in payloads(bus, streams::REPORTS).await? {
        if let Some(Body::ReportBatch(batch)) = Envelope::decode(payload)?.body {
            count += batch.reports.iter().filter(|report| matches!(report.kind, Some(Kind::Final(_)))).count() as u64;
        }
    }
    Ok(count)
}

async fn payloads(bus: &Bus, stream: &str) -> anyhow::Result<Vec<bytes::Bytes>> {
    let mut handle = bus.jetstream().get_stream(stream).await.with_context(|| format!("look at {stream}"))?;
    let last = handle.info().await.with_context(|| format!("look at {stream}"))?.state.last_sequence;
    let mut reader = bus.read(stream, "", 1);
    let mut found = Vec::new();
    let mut seen = 0;
    while seen < last {
        let message = reader.next().await;
        seen = message.sequence;
        found.push(message.payload);
    }
    Ok(found)
}
