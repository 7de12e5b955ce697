//! Which numbers of a service's messages were taken: each counts once, in whatever order they come, within a bound.

use std::collections::BTreeSet;

/// So many of the highest numbers are remembered; a message that comes later than so many after it is refused.
const REMEMBERED_MAX: usize = 1_024;

/// The numbers of one service, in its newest term.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    term: u64,
    /// This and all below were taken, or came too late.
    floor: u64,
    taken: BTreeSet<u64>,
}

/// Why a number does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// Its leader was deposed: a later one has signed.
    OldTerm,
    /// It was taken, or comes too late for anybody to tell.
    Taken,
}

impl Window {
    /// Takes a number, once. The first of a higher term ends the lower one.
    pub(crate) fn take(&mut self, term: u64, number: u64) -> Result<(), Stale> {
        if term < self.term {
            return Err(Stale::OldTerm);
        }
        if term > self.term {
            *self = Self { term, ..Self::default() };
        }
        if number <= self.floor || !self.taken.insert(number) {
            return Err(Stale::Taken);
        }
        if self.taken.len() > REMEMBERED_MAX {
            self.floor = self.taken.pop_first().unwrap_or(self.floor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_once_in_any_order_and_not_when_it_is_forgotten() {
        let mut window = Window::default();
        for number in [5, 1, 3] {
            assert_eq!(window.take(1, number), Ok(()));
            assert_eq!(window.take(1, number), Err(Stale::Taken));
        }
        let last = 10 * REMEMBERED_MAX as u64;
        for number in 6..=last {
            assert_eq!(window.take(1, number), Ok(()));
        }
        assert_eq!(window.taken.len(), REMEMBERED_MAX);
        for number in 0..=last {
            assert_eq!(window.take(1, number), Err(Stale::Taken), "{number}");
        }
    }

    #[test]
    fn a_later_term_counts_anew_and_ends_the_ones_before_it() {
        let mut window = Window::default();
        assert_eq!(window.take(2, 7), Ok(()));
        assert_eq!(window.take(3, 7), Ok(()));
        assert_eq!(window.take(2, 8), Err(Stale::OldTerm));
        assert_eq!(window.take(3, 7), Err(Stale::Taken));
    }
}
