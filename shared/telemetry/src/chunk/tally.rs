//! What an answer says of a group: counted from values and from whole chunks alike.

use super::{Segment, Sketch};
use crate::records::MetricKind;

/// Values that wait for the sketch.
const LOOSE_MAX: usize = 4_096;

/// Counts of one group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// How many values.
    pub count: u64,
    /// Rise of counters and deltas; none of gauges.
    pub increase: Option<f64>,
    /// The moments that bound it: of what was before its first value, and of its last.
    pub since_until: Option<(i64, i64)>,
    /// Least, greatest and sum of gauges.
    levels: Option<(f64, f64, f64)>,
    sketch: Sketch,
    loose: Vec<f64>,
}

impl Tally {
    pub(super) fn span(&mut self, since: i64, until: i64) {
        let (first, last) = self.since_until.unwrap_or((since, until));
        self.since_until = Some((first.min(since), last.max(until)));
    }

    pub(super) fn value(&mut self, kind: MetricKind, value: f64, rise: Option<f64>) {
        self.count += 1;
        self.rise(rise);
        if kind == MetricKind::Gauge {
            self.level(value, value, value);
            self.loose.push(value);
            if self.loose.len() >= LOOSE_MAX {
                self.settle();
            }
        }
    }

    pub(super) fn segment(&mut self, kind: MetricKind, segment: &Segment, rise: Option<f64>) {
        self.count += u64::from(segment.summary.count);
        self.rise(rise);
        if kind == MetricKind::Gauge {
            self.level(segment.summary.min, segment.summary.max, segment.summary.sum);
            self.sketch.merge(&segment.sketch);
        }
    }

    fn rise(&mut self, rise: Option<f64>) {
        if let Some(rise) = rise {
            self.increase = Some(self.increase.unwrap_or(0.0) + rise);
        }
    }

    fn level(&mut self, min: f64, max: f64, sum: f64) {
        let (least, greatest, total) = self.levels.unwrap_or((min, max, 0.0));
        self.levels = Some((least.min(min), greatest.max(max), (total + sum).clamp(f64::MIN, f64::MAX)));
    }

    fn settle(&mut self) {
        self.sketch.merge(&Sketch::of(&self.loose));
        self.loose.clear();
    }

    /// Least, mean and greatest of gauges.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub fn levels(&self) -> [Option<f64>; 3] {
        let Some((min, max, sum)) = self.levels else { return [None; 3] };
        [Some(min), Some(sum / self.count as f64), Some(max)]
    }

    /// Quantiles of gauges, each for a part of all from 0 to 1: within 1 %, and never beyond what was seen.
    #[must_use]
    pub fn quantiles<const COUNT: usize>(&mut self, parts: [f64; COUNT]) -> [Option<f64>; COUNT] {
        self.settle();
        let Some((min, max, _)) = self.levels else { return [None; COUNT] };
        parts.map(|part| self.sketch.quantile(part).map(|value| value.clamp(min, max)))
    }
}
