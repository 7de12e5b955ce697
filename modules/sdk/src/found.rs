//! Wrong data of a test that goes on after them: each is reported once, and only so many are.

use std::collections::BTreeSet;

/// Reports of one process at most; what is found beyond is counted.
const REPORTS_MAX: u64 = 1_000;
/// Reports whose files are kept: two of the size of a transfer, and two of text.
const KEPT_MAX: u64 = 64;
/// Places of a pass that are remembered, so that one that is read again is not told again.
const PLACES_MAX: usize = 65_536;

/// What is to be done about wrong data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Report it and keep its files.
    Files,
    /// Report it.
    Report,
    /// Count it.
    Count,
    /// It was found already, in this pass.
    Nothing,
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Found {
    count: u64,
    reported: u64,
    /// What the first one was.
    first: Option<String>,
    pass: u64,
    /// Places of the pass that were found wrong.
    places: BTreeSet<u64>,
}

impl Found {
    /// Takes in what is wrong at a place of a pass.
    pub fn take(&mut self, pass: u64, place: u64) -> Worth {
        if self.pass != pass {
            self.pass = pass;
            self.places.clear();
        }
        let remembers = self.places.len() < PLACES_MAX;
        if remembers && !self.places.insert(place) || !remembers && self.places.contains(&place) {
            return Worth::Nothing;
        }
        self.count += 1;
        if self.reported >= REPORTS_MAX || !remembers {
            return Worth::Count;
        }
        self.reported += 1;
        if self.reported <= KEPT_MAX { Worth::Files } else { Worth::Report }
    }

    /// Notes what it was.
    pub fn note(&mut self, what: String) {
        self.first.get_or_insert(what);
    }

    /// Why the test fails, where it does; `things` are what was wrong: transfers, moves, packets.
    #[must_use]
    pub fn reason(&self, things: &str) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(format!("{} {things} were corrupt, {} of them reported; the first: {first}", self.count, self.reported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_once_in_each_pass_and_the_number_of_reports_and_files_is_bounded() {
        let mut found = Found::default();
        assert_eq!(
            (found.take(1, 7), found.take(1, 7), found.take(2, 7)),
            (Worth::Files, Worth::Nothing, Worth::Files)
        );
        let worths: Vec<Worth> = (0..2_000).map(|place| found.take(3, place)).collect();
        let count = |wanted: Worth| worths.iter().filter(|worth| **worth == wanted).count() as u64;
        assert_eq!(count(Worth::Files), KEPT_MAX - 2);
        assert_eq!(count(Worth::Report), REPORTS_MAX - KEPT_MAX);
        assert_eq!(count(Worth::Count), 2_000 - REPORTS_MAX + 2);
        assert_eq!(found.reason("transfers"), None);
        found.note("a".into());
        found.note("b".into());
        let reason = found.reason("transfers").expect("it was noted");
        assert_eq!(reason, "2002 transfers were corrupt, 1000 of them reported; the first: a");
    }
}
