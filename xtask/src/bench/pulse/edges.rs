//! What marks of many processes say about moments at which all of them should have gone on. Pure.

use std::time::Duration;

/// What became of some moments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// From the first process to the last, of each moment; ascending.
    pub(super) skews: Vec<Duration>,
    /// Of each process at each moment: how far behind the first it was; ascending.
    pub(super) behind: Vec<Duration>,
    /// Processes that did not go on at a moment, all told.
    pub(super) missed: usize,
}

/// Takes, of every process, its first mark of each moment: one not further from it than `within`. All times are nanoseconds of one
/// clock; the marks of a process ascend.
pub(super) fn edges(marks: &[Vec<u64>], moments: &[u64], within: Duration) -> Edges {
    let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    let mut found = Edges::default();
    for moment in moments {
        let mark = |marks: &Vec<u64>| {
            let first = marks.partition_point(|mark| *mark < moment.saturating_sub(within));
            marks.get(first).copied().filter(|mark| *mark <= moment.saturating_add(within))
        };
        let seen: Vec<u64> = marks.iter().filter_map(mark).collect();
        found.missed += marks.len() - seen.len();
        let (Some(first), Some(last)) = (seen.iter().min(), seen.iter().max()) else { continue };
        found.skews.push(Duration::from_nanos(last - first));
        found.behind.extend(seen.iter().map(|mark| Duration::from_nanos(mark - first)));
    }
    found.skews.sort_unstable();
    found.behind.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanoseconds(times: &[u64]) -> Vec<Duration> {
        times.iter().copied().map(Duration::from_nanos).collect()
    }

    #[test]
    fn the_skew_is_from_the_first_process_to_the_last() {
        let marks = [vec![100, 200, 300], vec![103, 201, 299], vec![101, 209, 300]];
        let found = edges(&marks, &[100, 200, 300], Duration::from_nanos(25));
        let behind = nanoseconds(&[0, 0, 0, 1, 1, 1, 1, 3, 9]);
        assert_eq!(found, Edges { skews: nanoseconds(&[1, 3, 9]), behind, missed: 0 });
    }

    #[test]
    fn who_does_not_go_on_is_missed_and_what_is_far_away_belongs_to_no_moment() {
        let marks = [vec![100, 150, 205], vec![126, 200], vec![]];
        let found = edges(&marks, &[100, 200, 900], Duration::from_nanos(25));
        assert_eq!((found.skews, found.missed), (nanoseconds(&[0, 5]), 2 + 1 + 3));
    }
}
