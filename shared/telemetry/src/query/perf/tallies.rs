//! Counts by bucket and group, of which only the first rows are ever shown.

use std::collections::BTreeMap;

use crate::chunk::Tally;

/// Tallies by bucket, then group.
pub(super) struct Tallies {
    /// Tallies that are kept: those of the lowest keys.
    kept_max: usize,
    kept: BTreeMap<(i64, usize), Tally>,
    beyond: Tally,
}

impl Tallies {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept_max, kept: BTreeMap::new(), beyond: Tally::default() }
    }

    /// The tally of a key. What lies behind everything that is kept is counted where nobody looks.
    pub(super) fn of(&mut self, key: (i64, usize)) -> &mut Tally {
        if !self.kept.contains_key(&key) && self.kept.len() >= self.kept_max {
            if self.kept.last_key_value().is_some_and(|(last, _)| *last < key) {
                return &mut self.beyond;
            }
            self.kept.pop_last();
        }
        self.kept.entry(key).or_default()
    }

    pub(super) fn into_rows(self) -> Vec<((i64, usize), Tally)> {
        self.kept.into_iter().filter(|(_, tally)| tally.count > 0).collect()
    }
}
