//! The order in which packets of a stream came: right, or what is wrong with it.
//!
//! A gap alone does not say whether its packet is lost or late, so that is decided a few packets later, or at the end.

use std::fmt;
use std::ops::Range;

/// Packets after a gap until what it lacks counts as dropped and not as late.
const LATE_MAX: u64 = 16;

/// What can be wrong with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// A packet that was sent did not come.
    Dropped,
    /// A packet came again.
    Duplicated,
    /// A packet came after later ones.
    Reordered,
}

impl Disorder {
    pub(crate) const ALL: [Self; 3] = [Self::Dropped, Self::Duplicated, Self::Reordered];

    /// Its name in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "DROPPED",
            Self::Duplicated => "DUPLICATED",
            Self::Reordered => "REORDERED",
        }
    }
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A wrong order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What it is.
    pub(crate) disorder: Disorder,
    /// The packets concerned.
    pub(crate) packets: Range<u64>,
    /// Packet that was next when the last of them came, or was given up.
    pub(crate) next: u64,
}

/// A gap that may yet be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gap {
    packets: Range<u64>,
    /// Packets that came since.
    since: u64,
}

/// The packets that came so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    next: u64,
    gap: Option<Gap>,
}

impl Sequence {
    /// Before a first packet of this number.
    pub(crate) fn new(next: u64) -> Self {
        Self { next, gap: None }
    }

    /// The packet that should come now.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a packet.
    pub(crate) fn take(&mut self, packet: u64) -> Result<(), Wrong> {
        if packet < self.next {
            let late = self.gap.as_ref().is_some_and(|gap| gap.packets.contains(&packet));
            let disorder = if late { Disorder::Reordered } else { Disorder::Duplicated };
            return Err(Wrong { disorder, packets: packet..packet + 1, next: self.next });
        }
        if packet > self.next {
            self.give_up_gap(0)?;
            self.gap = Some(Gap { packets: self.next..packet, since: 0 });
        }
        self.next = packet + 1;
        if let Some(gap) = &mut self.gap {
            gap.since += 1;
        }
        self.give_up_gap(LATE_MAX)
    }

    /// Takes the end: the number of the last packet that was sent.
    pub(crate) fn finish(&mut self, last: u64) -> Result<(), Wrong> {
        self.give_up_gap(0)?;
        let wrong = |disorder, packets| Wrong { disorder, packets, next: self.next };
        match self.next.cmp(&(last + 1)) {
            std::cmp::Ordering::Less => Err(wrong(Disorder::Dropped, self.next..last + 1)),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(wrong(Disorder::Duplicated, last + 1..self.next)),
        }
    }

    /// Goes on after a wrong order that was told: the gap that it was about, or that a late packet has begun to fill, is over.
    pub(crate) fn pass_over(&mut self, wrong: &Wrong) {
        match wrong.disorder {
            Disorder::Dropped | Disorder::Reordered => self.gap = None,
            Disorder::Duplicated => {}
        }
    }

    fn give_up_gap(&self, since: u64) -> Result<(), Wrong> {
        match &self.gap {
            Some(gap) if gap.since >= since => {
                Err(Wrong { disorder: Disorder::Dropped, packets: gap.packets.clone(), next: self.next })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a stream of packets 1..=last is, that came in this order.
    fn check(came: &[u64], last: u64) -> Result<(), (Disorder, Range<u64>)> {
        let mut sequence = Sequence::new(1);
        let all = came.iter().try_for_each(|packet| sequence.take(*packet)).and_then(|()| sequence.finish(last));
        all.map_err(|wrong| (wrong.disorder, wrong.packets))
    }

    #[test]
    fn a_gap_is_dropped_when_it_stays_and_reordered_when_it_is_filled() {
        let many: Vec<u64> = [1, 2, 4].into_iter().chain(5..100).collect();
        assert_eq!(check(&many, 99), Err((Disorder::Dropped, 3..4)));
        assert_eq!(check(&[1, 2, 5, 6], 6), Err((Disorder::Dropped, 3..5)));
        assert_eq!(check(&[1, 2, 4, 3, 5], 5), Err((Disorder::Reordered, 3..4)));
        assert_eq!(check(&[1, 4, 5, 6, 3], 6), Err((Disorder::Reordered, 3..4)));
        assert_eq!(check(&[1, 3, 5], 5), Err((Disorder::Dropped, 2..3)));
    }

    #[test]
    fn what_came_again_is_duplicated_and_what_lacks_at_the_end_is_dropped() {
        assert_eq!(check(&[1, 2, 2, 3], 3), Err((Disorder::Duplicated, 2..3)));
        assert_eq!(check(&[1, 2, 3, 1], 3), Err((Disorder::Duplicated, 1..2)));
        assert_eq!(check(&[1, 2, 3], 5), Err((Disorder::Dropped, 4..6)));
        assert_eq!(check(&[1, 2, 3], 2), Err((Disorder::Duplicated, 3..4)));
        assert_eq!(check(&[], 0), Ok(()));
    }

    /// What is told of a stream of packets 1..=last whose receiver goes on.
    fn told(came: &[u64], last: u64) -> Vec<(Disorder, Range<u64>)> {
        let (mut sequence, mut told) = (Sequence::new(1), Vec::new());
        for packet in came {
            while let Err(wrong) = sequence.take(*packet) {
                sequence.pass_over(&wrong);
                told.push((wrong.disorder, wrong.packets));
                if *packet < sequence.next() {
                    break;
                }
            }
        }
        told.extend(sequence.finish(last).err().map(|wrong| (wrong.disorder, wrong.packets)));
        told
    }

    #[test]
    fn who_goes_on_is_told_of_each_wrong_order_once() {
        let many: Vec<u64> = [1, 2, 4].into_iter().chain(5..100).chain([99]).chain(101..150).collect();
        let wrong = [(Disorder::Dropped, 3..4), (Disorder::Duplicated, 99..100), (Disorder::Dropped, 100..101)];
        assert_eq!(told(&many, 149), wrong);
        assert_eq!(told(&[1, 3, 5, 6], 6), [(Disorder::Dropped, 2..3), (Disorder::Dropped, 4..5)]);
        assert_eq!(told(&[1, 2, 4, 3, 5], 5), [(Disorder::Reordered, 3..4)]);
        assert_eq!(told(&[1, 2], 4), [(Disorder::Dropped, 3..5)]);
        assert_eq!(told(&[1, 2, 3], 3), []);
    }

    proptest! {
        #[test]
        fn the_right_order_is_right_and_every_other_is_wrong(last in 1u64..60, from in 0usize..60, to in 0usize..60) {
            let mut came: Vec<u64> = (1..=last).collect();
            prop_assert_eq!(check(&came, last), Ok(()));
            let (from, to) = (from % came.len(), to % came.len());
            let moved = came.remove(from);
            prop_assert!(check(&came, last).is_err());
            came.insert(to, moved);
            prop_assert_eq!(check(&came, last).is_ok(), from == to);
        }
    }
}
