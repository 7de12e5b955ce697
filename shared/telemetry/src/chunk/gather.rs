//! From the rows of a partition to chunks, with little memory: rows come by groups of layouts, in each group by time.
//!
//! The part of a chunk says how many hours after its own its values came: 0 on time, -1 from a clock that is a little ahead. Where an
//! hour of a group has more values than are held at once, or a partition is there a second time, further pieces have ten million more each.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Chunk, HOUR, Points};
use crate::records::MetricKind;

/// Values that are held at once.
const VALUES_MAX: usize = 4_000_000;
/// Distance of the parts of two pieces.
const PIECE: i64 = 10_000_000;

/// A layout as the gatherer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its group: see [`super::groups`].
    pub group: i64,
    /// Series and their kinds, by position.
    pub series: Vec<(i64, MetricKind)>,
}

#[derive(Debug)]
struct Column {
    series: i64,
    kind: MetricKind,
    points: Points,
}

/// Gathers one partition.
#[derive(Debug)]
pub struct Gather {
    layouts: HashMap<i64, Placed>,
    /// The hour in which all of it was received, since 1970.
    received: i64,
    /// Pieces of this partition that are stored already, from an earlier time that it was there.
    earlier: i64,
    group: Option<i64>,
    hour: i64,
    newest: i64,
    pieces: i64,
    held: usize,
    values_max: usize,
    columns: Vec<Column>,
    places: HashMap<i64, usize>,
    positions: HashMap<i64, Arc<[usize]>>,
    /// Chunks that are ready.
    pub ready: Vec<Chunk>,
}

impl Gather {
    /// For the rows that were received in an hour (since 1970) whose partition was compacted so often before.
    #[must_use]
    pub fn new(layouts: HashMap<i64, Placed>, received: i64, times_before: i64) -> Self {
        Self {
            layouts,
            received,
            earlier: times_before * 1_000,
            group: None,
            hour: 0,
            newest: 0,
            pieces: 0,
            held: 0,
            values_max: VALUES_MAX,
            columns: Vec::new(),
            places: HashMap::new(),
            positions: HashMap::new(),
            ready: Vec::new(),
        }
    }

    /// The same with another limit of values in memory.
    #[must_use]
    pub fn holding(self, values_max: usize) -> Self {
        Self { values_max, ..self }
    }

    /// Every layout that is known, and the group of each.
    #[must_use]
    pub fn grouped(&self) -> (Vec<i64>, Vec<i64>) {
        self.layouts.iter().map(|(layout, placed)| (*layout, placed.group)).unzip()
    }

    /// Takes the next row: of the same group and not earlier, or of another group. Of two rows of one time the second is the newer.
    /// False when no such layout is known.
    pub fn push(&mut self, layout: i64, at: i64, values: &[f64]) -> bool {
        let Some(group) = self.layouts.get(&layout).map(|placed| placed.group) else { return false };
        if self.group != Some(group) {
            self.flush();
            self.group = Some(group);
            (self.pieces, self.columns, self.places, self.positions) = Default::default();
        }
        let hour = at.div_euclid(HOUR);
        if self.hour != hour {
            self.flush();
            (self.hour, self.pieces) = (hour, 0);
        } else if self.held >= self.values_max && at > self.newest {
            self.flush();
            self.pieces += 1;
        }
        self.newest = at;
        let positions = self.positions_of(layout);
        for (place, value) in positions.iter().zip(values).filter(|(_, value)| !value.is_nan()) {
            self.columns[*place].points.push(at, *value);
        }
        self.held += values.len();
        true
    }

    /// Ends the last group.
    pub fn finish(&mut self) {
        self.flush();
    }

    /// Where the values of a layout go.
    fn positions_of(&mut self, layout: i64) -> Arc<[usize]> {
        if let Some(known) = self.positions.get(&layout) {
            return known.clone();
        }
        let mut positions = Vec::new();
        for &(series, kind) in &self.layouts[&layout].series {
            let next = self.columns.len();
            let place = *self.places.entry(series).or_insert(next);
            if place == next {
                self.columns.push(Column { series, kind, points: Points::default() });
            }
            positions.push(place);
        }
        let positions: Arc<[usize]> = positions.into();
        self.positions.insert(layout, positions.clone());
        positions
    }

    fn flush(&mut self) {
        let part = self.received - self.hour + PIECE * (self.earlier + self.pieces);
        let start = self.hour * HOUR;
        for Column { series, kind, points } in &mut self.columns {
            self.ready.extend(Chunk::new(*series, *kind, start, part, points));
            points.times.clear();
            points.values.clear();
        }
        self.held = 0;
    }
}

/// Of a part: how many hours later it came, and which piece it is.
pub(super) fn received(part: i64) -> (i64, i64) {
    let piece = (part + PIECE / 2).div_euclid(PIECE);
    (part - piece * PIECE, piece)
}
