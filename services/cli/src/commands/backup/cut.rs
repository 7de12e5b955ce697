//! A consistent cut through logs that follow each other: whatever one of them has taken of another is in the other, too. Pure.

use std::collections::BTreeMap;

use muster_ledger::LogExtent;
use muster_model::Position;

/// Moves the ends of logs up to what others have taken of them. False when that was so already: the cut is consistent.
///
/// What was taken stands in the other log, so an end is never moved beyond it; and a log that goes on says no more of what was
/// copied already, so this comes to its end.
pub(super) fn raise<'a>(
    ends: &mut BTreeMap<&'static str, Position>,
    extents: impl IntoIterator<Item = &'a LogExtent>,
) -> bool {
    let mut raised = false;
    for (stream, taken) in extents.into_iter().flat_map(|extent| &extent.followed) {
        // Of an older lineage, whatever was repeated stands in the present one.
        if let Some(end) = ends.get_mut(stream.as_str())
            && end.lineage == taken.lineage
            && end.sequence < taken.sequence
        {
            *end = *taken;
            raised = true;
        }
    }
    raised
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::{SystemId, Term};

    fn extent(followed: &[(&str, u64, u64)]) -> LogExtent {
        let followed =
            followed.iter().map(|(stream, lineage, at)| ((*stream).to_owned(), Position::new(*lineage, *at)));
        LogExtent {
            first: Position::new(1, 1),
            last: Position::new(1, 9),
            last_hash: [0; 32],
            term: Term(1),
            system: SystemId([0; 16]),
            followed: followed.collect(),
        }
    }

    #[test]
    fn an_end_is_moved_to_what_another_log_has_taken_and_no_further() {
        let mut ends = BTreeMap::from([("JOBS", Position::new(1, 5)), ("MACHINES", Position::new(2, 7))]);
        let extents = [extent(&[("JOBS", 1, 8), ("REPORTS", 0, 99)]), extent(&[("MACHINES", 1, 30)])];
        assert!(raise(&mut ends, &extents));
        assert_eq!(ends, [("JOBS", Position::new(1, 8)), ("MACHINES", Position::new(2, 7))].into());
        assert!(!raise(&mut ends, &extents), "and then it is consistent");
    }
}
