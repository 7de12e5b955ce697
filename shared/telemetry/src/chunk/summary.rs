//! What most questions ask of the points of a chunk: numbers that add up over chunks.

use super::{Points, step};
use crate::records::MetricKind;

/// Aggregates of at least one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many.
    pub count: u32,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Sum; one that no number can hold stays at the greatest that can be held.
    pub sum: f64,
    /// Sum of their squares; the same.
    pub sum_squares: f64,
    /// Pool time of the first, nanoseconds.
    pub first_at: i64,
    /// Pool time of the last.
    pub last_at: i64,
    /// The first.
    pub first: f64,
    /// The last.
    pub last: f64,
    /// Rise from the first to the last of a counter, with its resets; the sum of deltas, with the first; none of a gauge.
    pub increase: Option<f64>,
}

impl Summary {
    /// Of the points; none of none.
    #[must_use]
    pub fn of(kind: MetricKind, points: &Points) -> Option<Self> {
        let (first_at, last_at) = (*points.times.first()?, *points.times.last()?);
        let (first, last) = (*points.values.first()?, *points.values.last()?);
        let values = || points.values.iter().copied();
        Some(Self {
            count: u32::try_from(points.len()).unwrap_or(u32::MAX),
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
            sum: finite(values().sum()),
            sum_squares: finite(values().map(|value| value * value).sum()),
            first_at,
            last_at,
            first,
            last,
            increase: increase(kind, &points.values),
        })
    }

    /// Adds what came after it.
    pub fn join(&mut self, kind: MetricKind, later: &Self) {
        self.increase = match (kind, self.increase, later.increase) {
            (MetricKind::Counter, Some(before), Some(after)) => {
                Some(finite(before + step(kind, self.last, later.first).unwrap_or(0.0) + after))
            }
            (MetricKind::Delta, Some(before), Some(after)) => Some(finite(before + after)),
            _ => None,
        };
        self.count = self.count.saturating_add(later.count);
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.sum = finite(self.sum + later.sum);
        self.sum_squares = finite(self.sum_squares + later.sum_squares);
        (self.last_at, self.last) = (later.last_at, later.last);
    }
}

fn increase(kind: MetricKind, values: &[f64]) -> Option<f64> {
    let within = || values.windows(2).filter_map(|pair| step(kind, pair[0], pair[1])).sum();
    match kind {
        MetricKind::Gauge => None,
        MetricKind::Counter => Some(finite(within())),
        MetricKind::Delta => Some(finite(values.iter().sum())),
    }
}

/// Infinities would make NaN of what is added to them.
fn finite(sum: f64) -> f64 {
    sum.clamp(f64::MIN, f64::MAX)
}
