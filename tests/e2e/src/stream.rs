//! What the streams of a lab hold, read beside Muster: the count that the store is compared with.

use std::collections::BTreeMap;

use anyhow::Context;
use muster_bus::{Bucket, Bus, BusOptions, streams};
use muster_proto::v1::{Envelope, SampleRow, envelope::Body};
use muster_testkit::lab::Lab;
use prost::Message;

/// A connection to a lab's bus.
///
/// # Errors
/// When it does not answer.
pub async fn connect(lab: &Lab) -> anyhow::Result<Bus> {
    Bus::connect(&BusOptions::insecure_local(&lab.nats_url(), "e2e/test")).await.context("connect to the lab")
}

/// Values of processes in the sample rows that TEL holds: what agents have acknowledged. Those of machines, which belong to no run and
/// so to no summary, are left out. A batch that an agent said again, because a restart of the server swallowed the acknowledgement,
/// counts once; said again with another content, it is an error.
///
/// # Errors
/// When the stream can not be read, or one batch number was given to two contents.
pub async fn samples(bus: &Bus) -> anyhow::Result<u64> {
    let mut batches = BTreeMap::new();
    for payload in payloads(bus, streams::TEL).await? {
        let envelope = Envelope::decode(payload)?;
        let incarnation = envelope.incarnation;
        if let Some(Body::SampleBatch(batch)) = envelope.body {
            let key = (batch.machine.clone(), incarnation, batch.batch);
            let values = |row: &SampleRow| row.values.iter().filter(|value| !value.is_nan()).count() as u64;
            let of_process = |row: &&SampleRow| batch.layouts.get(row.layout as usize).is_some_and(|l| l.id.is_some());
            let count: u64 = batch.rows.iter().filter(of_process).map(values).sum();
            let before = batches.insert(key.clone(), (count, batch.rows.len()));
            anyhow::ensure!(before.is_none_or(|same| same == (count, batch.rows.len())), "{key:?} has two contents");
        }
    }
    Ok(batches.values().map(|(count, _)| count).sum())
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

/// What a lab's agents have acknowledged: samples of processes, and final reports.
///
/// # Errors
/// As [`samples`].
pub fn acknowledged(lab: &Lab) -> anyhow::Result<(u64, u64)> {
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    runtime.block_on(async {
        let bus = connect(lab).await?;
        Ok((samples(&bus).await?, final_reports(&bus).await?))
    })
}

/// Where the three decision logs end, and the names in every object store.
///
/// # Errors
/// When one can not be looked at.
pub fn ends_and_objects(lab: &Lab) -> anyhow::Result<(Vec<u64>, Vec<Vec<String>>)> {
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    runtime.block_on(async {
        let bus = connect(lab).await?;
        let (mut ends, mut objects) = (Vec::new(), Vec::new());
        for log in [streams::JOBS, streams::MACHINES, streams::RESERVATIONS] {
            ends.push(bus.stream_state(log).await?.with_context(|| format!("find {log}"))?.last);
        }
        for bucket in Bucket::ALL {
            objects.push(bus.list_objects(bucket).await?);
        }
        Ok((ends, objects))
    })
}

/// The sum of one total over all final reports that REPORTS holds; a report that was said twice counts once.
///
/// # Errors
/// When the stream can not be read.
pub fn total(lab: &Lab, name: &str) -> anyhow::Result<f64> {
    use muster_proto::v1::report::Kind;
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    runtime.block_on(async {
        let bus = connect(lab).await?;
        let mut totals = BTreeMap::new();
        for payload in payloads(&bus, streams::REPORTS).await? {
            let Some(Body::ReportBatch(batch)) = Envelope::decode(payload)?.body else { continue };
            for report in batch.reports {
                let Some(Kind::Final(last)) = report.kind else { continue };
                let value = last.totals.iter().find(|total| total.key == name).map_or(0.0, |total| total.value);
                totals.insert(last.id.map(muster_model::ProcessId::from), value);
            }
        }
        Ok(totals.values().sum())
    })
}

/// Every message that a stream of a lab holds.
///
/// # Errors
/// When it can not be read.
pub fn messages(lab: &Lab, stream: &str) -> anyhow::Result<Vec<bytes::Bytes>> {
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    runtime.block_on(async { payloads(&connect(lab).await?, stream).await })
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
