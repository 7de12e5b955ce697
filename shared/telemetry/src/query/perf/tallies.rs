//! Counts by bucket and group, of which only the first rows are ever shown.

use std::collections::BTreeMap;

use super::ROWS_MAX;
use crate::chunk::Tally;

/// Tallies that are kept: those of the lowest keys. All rows that are shown are among them.
const KEPT_MAX: usize = 10 * ROWS_MAX;

/// Tallies by bucket, then group.
#[derive(Default)]
pub(super) struct Tallies {
    kept: BTreeMap<(i64, usize), Tally>,
    beyond: Tally,
}

impl Tallies {
    /// The tally of a key. What lies behind everything that is kept is counted where nobody looks.
    pub(super) fn of(&mut self, key: (i64, usize)) -> &mut Tally {
        if !self.kept.contains_key(&key) && self.kept.len() >= KEPT_MAX {
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
