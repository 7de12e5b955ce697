//! Days: the chunks of a series in one day become one summary, where they follow each other.

use super::{Sketch, Summary};
use crate::records::MetricKind;

/// Nanoseconds of a day: what one such summary spans at most.
pub const DAY: i64 = 24 * super::HOUR;

/// A day of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Rolled {
    /// Series.
    pub series: i64,
    /// What its chunks come to.
    pub summary: Summary,
    /// Their quantiles.
    pub sketch: Sketch,
}

/// Gathers chunks, which come by series, and of each series in the order of time.
#[derive(Debug, Default)]
pub struct Days {
    current: Option<Current>,
    /// Days that are whole.
    pub ready: Vec<Rolled>,
    /// Series whose chunks overlap: only their values tell what counts.
    pub overlapping: Vec<i64>,
}

#[derive(Debug)]
struct Current {
    rolled: Rolled,
    overlaps: bool,
}

impl Days {
    /// Adds a chunk.
    pub fn push(&mut self, series: i64, kind: MetricKind, summary: &Summary, sketch: &Sketch) {
        if let Some(Current { rolled, overlaps }) = self.current.as_mut().filter(|now| now.rolled.series == series) {
            *overlaps |= summary.first_at <= rolled.summary.last_at;
            rolled.summary.join(kind, summary);
            rolled.sketch.merge(sketch);
            return;
        }
        self.finish();
        let rolled = Rolled { series, summary: *summary, sketch: sketch.clone() };
        self.current = Some(Current { rolled, overlaps: false });
    }

    /// There is no more.
    pub fn finish(&mut self) {
        match self.current.take() {
            None => {}
            Some(Current { rolled, overlaps: true }) => self.overlapping.push(rolled.series),
            Some(Current { rolled, overlaps: false }) => self.ready.push(rolled),
        }
    }
}
