//! What a spool holds, in numbers: batches in segments, the first one that is not acknowledged, and what has to go when there
//! is too much. One batch is outstanding at a time, and always the oldest.

use std::collections::VecDeque;

/// One segment: consecutive batches in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Number of its first batch; also its name.
    pub first: u64,
    /// Number of its last batch.
    pub last: u64,
    /// Its size.
    pub size_bytes: u64,
}

/// Batches that were taken out without having been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
}

/// The numbers of a spool. The last segment is never removed: the next number follows from it, after any crash.
#[derive(Debug, Default)]
pub(crate) struct Window {
    segments: VecDeque<Segment>,
    acknowledged: u64,
}

impl Window {
    /// From segments in order of their numbers, and the last number that is known to be acknowledged.
    pub(crate) fn new(segments: Vec<Segment>, acknowledged: u64) -> Self {
        let last = segments.last().map_or(acknowledged, |segment| segment.last);
        Self { segments: segments.into(), acknowledged: acknowledged.min(last) }
    }

    /// Number of the newest batch; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.segments.back().map_or(self.acknowledged, |segment| segment.last)
    }

    /// Number of the newest batch that was acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The batch to send: the oldest that is not acknowledged, and the segment that holds it.
    pub(crate) fn next(&self) -> Option<(u64, &Segment)> {
        let segment = self.segments.iter().find(|segment| segment.last > self.acknowledged)?;
        Some((segment.first.max(self.acknowledged + 1), segment))
    }

    /// The segment to append to; none when a new one is due.
    pub(crate) fn open_segment(&self, segment_bytes_max: u64) -> Option<&Segment> {
        self.segments.back().filter(|segment| segment.size_bytes < segment_bytes_max)
    }

    /// A batch was appended: to the open segment, or as the first of a new one.
    pub(crate) fn appended(&mut self, size_bytes: u64, new_segment: bool) -> u64 {
        let number = self.last() + 1;
        match self.segments.back_mut() {
            Some(segment) if !new_segment => {
                segment.last = number;
                segment.size_bytes += size_bytes;
            }
            _ => self.segments.push_back(Segment { first: number, last: number, size_bytes }),
        }
        number
    }

    /// A batch was acknowledged; gives the segments that can go.
    pub(crate) fn acknowledge(&mut self, number: u64) -> Vec<Segment> {
        self.acknowledged = self.acknowledged.max(number.min(self.last()));
        let mut spent = Vec::new();
        while self.segments.len() > 1 && self.segments.front().is_some_and(|segment| segment.last <= self.acknowledged)
        {
            spent.extend(self.segments.pop_front());
        }
        spent
    }

    /// Takes the oldest segments out until the rest is within the bound; gives them, and which numbers are lost.
    pub(crate) fn shrink(&mut self, size_bytes_max: u64) -> (Vec<Segment>, Option<Gap>) {
        let mut dropped = Vec::new();
        while self.segments.len() > 1 && self.size_bytes() > size_bytes_max {
            dropped.extend(self.segments.pop_front());
        }
        let last = dropped.last().map_or(0, |segment: &Segment| segment.last);
        let gap = (last > self.acknowledged).then_some(Gap { from: self.acknowledged + 1, to: last });
        self.acknowledged = self.acknowledged.max(last);
        (dropped, gap)
    }

    fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_much_leaves_as_a_gap_from_the_oldest_on() {
        let mut window = Window::default();
        for _ in 0..10 {
            window.appended(100, true);
        }
        window.acknowledge(2);
        let (dropped, gap) = window.shrink(500);
        assert_eq!((dropped.len(), gap), (3, Some(Gap { from: 3, to: 5 })));
        assert_eq!(window.next().map(|next| next.0), Some(6));
    }

    proptest! {
        #[test]
        fn every_batch_leaves_once_in_order_or_is_in_a_gap(steps in prop::collection::vec((0..4_u8, 1..50_u64), 1..200)) {
            let mut window = Window::default();
            let mut expected = 1;
            for (kind, size) in steps {
                match kind {
                    0 | 1 => { window.appended(size, window.open_segment(100).is_none()); }
                    2 => if let Some((number, segment)) = window.next() {
                        prop_assert_eq!(number, expected);
                        prop_assert!(segment.first <= number && number <= segment.last);
                        window.acknowledge(number);
                        expected += 1;
                    },
                    _ => if let Some(gap) = window.shrink(300).1 {
                        prop_assert_eq!(gap.from, expected);
                        expected = gap.to + 1;
                    },
                }
                prop_assert!(window.last() + 1 >= expected, "numbers never fall");
            }
        }
    }
}
