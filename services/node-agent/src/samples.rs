//! Samples: what processes and the machine measure, gathered into batches that are complete in themselves.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ProcessId;
use muster_proto::v1::{Layout, Metric, MetricKind, SampleRow};

/// Rows of one batch at most.
pub(crate) const ROWS_MAX: usize = 500;
/// Metrics of one layout at most; a further one is left out.
const METRICS_MAX: usize = 200;

/// Whose values a row holds: a process and a device, or the machine itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    /// The process; none for the machine.
    pub id: Option<ProcessId>,
    /// Resource that they concern; empty for the whole.
    pub device: String,
}

/// What a layout says beside its metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds {
    /// Module name.
    pub module: String,
    /// Device type.
    pub device_type: String,
    /// Machine type.
    pub machine_type: String,
}

#[derive(Debug)]
struct Row {
    subject: Subject,
    time_ns: i64,
    values: BTreeMap<String, f64>,
}

/// Rows that wait for the next batch.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    rows: Vec<Row>,
    metrics: BTreeMap<Subject, (Kinds, BTreeMap<String, MetricKind>)>,
}

impl Samples {
    /// Takes one message of values; true when a batch is full.
    pub(crate) fn take(
        &mut self,
        subject: Subject,
        kinds: impl FnOnce() -> Kinds,
        time_ns: i64,
        counters: BTreeMap<String, f64>,
        gauges: BTreeMap<String, f64>,
    ) -> bool {
        let (_, known) = self.metrics.entry(subject.clone()).or_insert_with(|| (kinds(), BTreeMap::new()));
        let mut values = BTreeMap::new();
        for (of, kind) in [(counters, MetricKind::Counter), (gauges, MetricKind::Gauge)] {
            for (name, value) in of {
                if known.contains_key(&name) || known.len() < METRICS_MAX {
                    known.insert(name.clone(), kind);
                    values.insert(name, value);
                }
            }
        }
        if !values.is_empty() {
            self.rows.push(Row { subject, time_ns, values });
        }
        self.rows.len() >= ROWS_MAX
    }

    /// The batch of all rows that wait; none where there are none.
    pub(crate) fn batch(&mut self) -> Option<(Vec<Layout>, Vec<SampleRow>)> {
        if self.rows.is_empty() {
            return None;
        }
        let rows = std::mem::take(&mut self.rows);
        let known = std::mem::take(&mut self.metrics);
        let used: BTreeSet<&Subject> = rows.iter().map(|row| &row.subject).collect();
        let places: BTreeMap<&Subject, usize> =
            used.iter().enumerate().map(|(place, subject)| (*subject, place)).collect();
        let layouts = used.iter().filter_map(|subject| Some(layout(subject, known.get(subject)?))).collect();
        let rows = rows.iter().filter_map(|row| {
            let (_, metrics) = known.get(&row.subject)?;
            let values = metrics.keys().map(|name| row.values.get(name).copied().unwrap_or(f64::NAN)).collect();
            Some(SampleRow { time_ns: row.time_ns, layout: u32::try_from(*places.get(&row.subject)?).ok()?, values })
        });
        Some((layouts, rows.collect()))
    }
}

fn layout(subject: &Subject, (kinds, metrics): &(Kinds, BTreeMap<String, MetricKind>)) -> Layout {
    let metric = |(name, kind): (&String, &MetricKind)| Metric {
        name: name.clone(),
        kind: (*kind).into(),
        unit: unit(name).into(),
    };
    Layout {
        id: subject.id.map(Into::into),
        module: kinds.module.clone(),
        device: subject.device.clone(),
        device_type: kinds.device_type.clone(),
        machine_type: kinds.machine_type.clone(),
        metrics: metrics.iter().map(metric).collect(),
    }
}

/// The unit that a name ends with.
fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("bytes") => "bytes",
        Some("seconds") => "seconds",
        _ => "1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_batch_is_complete_in_itself_and_what_is_missing_is_nan() {
        let mut samples = Samples::default();
        let subject = Subject { id: Some(ProcessId::default()), device: "disk-a".into() };
        samples.take(subject.clone(), Kinds::default, 1, values(&[("read_bytes", 5.0)]), values(&[]));
        samples.take(subject, Kinds::default, 2, values(&[("read_bytes", 6.0)]), values(&[("depth", 2.0)]));
        let (layouts, rows) = samples.batch().unwrap();
        let names: Vec<_> =
            layouts[0].metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
        assert_eq!(names, [("depth", "1"), ("read_bytes", "bytes")]);
        assert!(rows[0].values[0].is_nan());
        assert_eq!((rows[0].values[1], rows[1].values.as_slice()), (5.0, [2.0, 6.0].as_slice()));
        assert!(samples.batch().is_none());
    }

    #[test]
    fn a_subject_has_a_bounded_number_of_metrics() {
        let mut samples = Samples::default();
        let many: BTreeMap<String, f64> = (0..500).map(|number| (format!("m{number}"), 1.0)).collect();
        samples.take(Subject { id: None, device: String::new() }, Kinds::default, 1, many, BTreeMap::new());
        assert_eq!(samples.batch().unwrap().0[0].metrics.len(), METRICS_MAX);
    }
}
