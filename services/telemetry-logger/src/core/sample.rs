//! Batches of samples -> layouts and hot rows.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{PoolTime, ProcessId};
use muster_proto::v1;
use muster_proto::v1::envelope::Body;
use muster_telemetry::records::{Layout, MetricKind, Origin, Records, Sample, Series};
use prost::Message as _;

use super::{Decoded, Message, check_machine, reject};

/// A sample may be so far ahead of the moment at which the stream stored it.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Series of the layouts that are remembered, some 300 bytes each.
const KNOWN_MAX: usize = 200_000;
/// Values of one row at most.
const VALUES_MAX: usize = 200;

/// Decodes a batch.
///
/// # Errors
/// Why the whole of it can not be taken; single rows that can not are rejects in the result.
pub(super) fn decode(message: &Message, envelope: v1::Envelope, known: &mut Layouts) -> Result<Decoded, String> {
    let incarnation = envelope.incarnation;
    let Some(Body::SampleBatch(batch)) = envelope.body else {
        return Err("the envelope holds no batch of samples".into());
    };
    check_machine(message, &batch.machine)?;
    let layouts: Vec<Layout> =
        batch.layouts.iter().map(|layout| known.of(&batch.machine, layout)).collect::<Result<_, _>>()?;
    let mut records = Records::default();
    let mut refused: BTreeMap<&'static str, u32> = BTreeMap::new();
    for row in batch.rows {
        match make_sample(message, &layouts, row) {
            Ok(sample) => records.samples.push(sample),
            Err(reason) => *refused.entry(reason).or_default() += 1,
        }
    }
    records.rejects = refused.into_iter().map(|(reason, rows)| reject(message, reason.into(), rows)).collect();
    records.layouts = layouts.into_iter().map(|layout| (layout.id, layout)).collect();
    Ok(Decoded { batch: Some((Origin { machine: batch.machine, incarnation }, batch.batch)), records })
}

fn make_sample(message: &Message, layouts: &[Layout], row: v1::SampleRow) -> Result<Sample, &'static str> {
    let layout = layouts.get(row.layout as usize).ok_or("its layout is not in the batch")?;
    if row.values.len() != layout.series.len() {
        return Err("it has another number of values than its layout");
    }
    if row.time_ns <= 0 {
        return Err("it has no time");
    }
    let at = PoolTime(row.time_ns);
    if at > message.stored + AHEAD_MAX {
        return Err("its time is more than 5 minutes ahead");
    }
    if row.values.iter().any(|value| value.is_infinite()) {
        return Err("a value is infinite");
    }
    let (received, sequence) = (message.stored, message.sequence);
    Ok(Sample { at, received, sequence, layout: layout.id, values: row.values })
}

/// Layouts that were met, by a hash of what was said of them: a machine says the same ones again and again.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    known: BTreeMap<[u8; 32], Layout>,
    series: usize,
}

impl Layouts {
    fn of(&mut self, machine: &str, said: &v1::Layout) -> Result<Layout, String> {
        let key = key_of(machine, said);
        if let Some(layout) = self.known.get(&key) {
            return Ok(layout.clone());
        }
        let layout = make_layout(machine, said)?;
        if self.series + layout.series.len() > KNOWN_MAX {
            *self = Self::default();
        }
        self.series += layout.series.len();
        self.known.insert(key, layout.clone());
        Ok(layout)
    }
}

fn key_of(machine: &str, said: &v1::Layout) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(machine.len() as u64).to_be_bytes()).update(machine.as_bytes()).update(&said.encode_to_vec());
    *hasher.finalize().as_bytes()
}

fn make_layout(machine: &str, layout: &v1::Layout) -> Result<Layout, String> {
    if layout.metrics.is_empty() || layout.metrics.len() > VALUES_MAX {
        return Err(format!("a layout has {} metrics: 1 to {VALUES_MAX} are taken", layout.metrics.len()));
    }
    let series: Vec<Series> =
        layout.metrics.iter().map(|metric| make_series(machine, layout, metric)).collect::<Result<_, _>>()?;
    Ok(layout_of(series))
}

/// The layout of these series, in their order.
pub(super) fn layout_of(series: Vec<Series>) -> Layout {
    let mut hasher = blake3::Hasher::new();
    for series in &series {
        hasher.update(&series.id.to_be_bytes());
    }
    Layout { id: short(&hasher), series: series.into() }
}

fn make_series(machine: &str, layout: &v1::Layout, metric: &v1::Metric) -> Result<Series, String> {
    let kind = match metric.kind() {
        v1::MetricKind::Unspecified => return Err(format!("metric `{}` has no kind", metric.name.escape_debug())),
        v1::MetricKind::Gauge => MetricKind::Gauge,
        v1::MetricKind::Counter => MetricKind::Counter,
        v1::MetricKind::Delta => MetricKind::Delta,
    };
    let device_type = if layout.device_type.is_empty() { &layout.device } else { &layout.device_type };
    let series = Series {
        id: 0,
        machine: machine.to_owned(),
        machine_type: layout.machine_type.clone(),
        process: layout.id.map(ProcessId::from),
        module: layout.module.clone(),
        device: layout.device.clone(),
        device_type: device_type.clone(),
        metric: metric.name.clone(),
        kind,
        unit: metric.unit.clone(),
    };
    Ok(Series { id: series_id(&series), ..series })
}

/// The id of a series is a hash of what it is, so that no writer has to ask for one.
fn series_id(series: &Series) -> i64 {
    let id = series.process.unwrap_or_default();
    let numbers = [id.run.0, id.dpid.job.0, id.dpid.process.0, id.attempt.0];
    let texts = [
        &series.machine,
        &series.machine_type,
        &series.module,
        &series.device,
        &series.device_type,
        &series.metric,
        &series.unit,
    ];
    let mut hasher = blake3::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_be_bytes());
    }
    for text in texts.into_iter().map(String::as_str).chain([series.kind.as_str()]) {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    short(&hasher)
}

/// The first 8 bytes of a hash: among a million ids, two are the same once in 40 million systems.
fn short(hasher: &blake3::Hasher) -> i64 {
    let hash = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    i64::from_be_bytes(first)
}
