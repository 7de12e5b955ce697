//! How much a metric rose by one value.

use crate::records::MetricKind;

/// What one value adds after the previous one of its series: nothing for a gauge, itself for a delta, the rise for a counter. A
/// counter that fell was reset and rose from 0 since.
#[must_use]
pub fn step(kind: MetricKind, previous: f64, value: f64) -> Option<f64> {
    match kind {
        MetricKind::Gauge => None,
        MetricKind::Delta => Some(value),
        MetricKind::Counter if value >= previous => Some(value - previous),
        MetricKind::Counter => Some(value),
    }
}
