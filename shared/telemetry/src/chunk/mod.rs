//! Chunks: the values of one series in one hour as one row, with what most questions ask of them beside.
//!
//! Pure: from points to rows and back, no SQL and no clock. [`crate::write`] stores chunks, [`crate::query`] reads them.

mod day;
mod gather;
mod groups;
mod increase;
mod line;
mod packed;
mod sketch;
mod summary;
mod tally;

pub use day::{DAY, Days, Rolled};
pub use gather::{Gather, Placed};
pub use groups::groups;
pub use increase::step;
pub use line::{Bounds, Hot, Line, Segment, Span};
pub use packed::{Damaged, pack, unpack};
pub use sketch::Sketch;
pub use summary::Summary;
pub use tally::Tally;

use crate::records::MetricKind;

/// Nanoseconds of an hour: what one chunk spans at most.
pub const HOUR: i64 = 3_600_000_000_000;

/// Values of one series in the order of their pool times, which are nanoseconds. None is missing, no time is there twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// Pool times, ascending.
    pub times: Vec<i64>,
    /// A value for each.
    pub values: Vec<f64>,
}

impl Points {
    /// Adds what came after; a second value of the same time takes the place of the first.
    pub fn push(&mut self, at: i64, value: f64) {
        debug_assert!(self.times.last().is_none_or(|last| *last <= at), "points come in order");
        match (self.times.last(), self.values.last_mut()) {
            (Some(last), Some(earlier)) if *last == at => *earlier = value,
            _ => {
                self.times.push(at);
                self.values.push(value);
            }
        }
    }

    /// Time and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        self.times.iter().copied().zip(self.values.iter().copied())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// A row of the table `chunk`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Series.
    pub series: i64,
    /// Start of the hour of its times, nanoseconds.
    pub hour: i64,
    /// 0 for what came in its own hour, more for what came later: see [`Gather`].
    pub part: i64,
    /// What most questions ask.
    pub summary: Summary,
    /// Its times, packed.
    pub times: Vec<u8>,
    /// Its values, packed.
    pub values: Vec<u8>,
    /// Its sketch, encoded; empty for counters, whose own values say nothing.
    pub sketch: Vec<u8>,
}

impl Chunk {
    /// Packs the points of one hour; none of none.
    #[must_use]
    pub fn new(series: i64, kind: MetricKind, hour: i64, part: i64, points: &Points) -> Option<Self> {
        let summary = Summary::of(kind, points)?;
        let (times, values) = pack(hour, points);
        let sketch = match kind {
            MetricKind::Gauge | MetricKind::Delta => Sketch::of(&points.values).encode(),
            MetricKind::Counter => Vec::new(),
        };
        Some(Self { series, hour, part, summary, times, values, sketch })
    }

    /// Bytes of what is packed.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.times.len() + self.values.len() + self.sketch.len()
    }
}
