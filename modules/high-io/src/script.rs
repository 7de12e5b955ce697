//! What a pass does next: pure, from what was begun and what has ended.

use muster_pattern::scramble;

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write the transfer at this place of the order.
    Write(u64),
    /// Read and verify the one at this place.
    Read(u64),
    /// Nothing until a transfer has ended.
    Later,
    /// Nothing any more.
    Over,
}

/// A part of a pass.
pub(crate) trait Script {
    /// The next step. Of the writes that were begun, all at places before `settled` have ended.
    fn next(&mut self, settled: u64) -> Step;

    /// Whether it asks what is settled.
    fn asks_settled(&self) -> bool;
}

/// Writes each place once, with reads of what was written mixed in: `percent` of all transfers.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) places: u64,
    pub(crate) percent: u64,
    pub(crate) seed: u64,
    /// Places whose write was begun.
    pub(crate) begun: u64,
    /// Hundredths of transfers; a read is due at `100 - percent`.
    reads_due: u64,
    reads: u64,
}

impl Writing {
    pub(crate) fn new(places: u64, percent: u64, seed: u64) -> Self {
        Self { places, percent, seed, begun: 0, reads_due: 0, reads: 0 }
    }
}

impl Script for Writing {
    fn next(&mut self, settled: u64) -> Step {
        let (read_each, is_written) = (100 - self.percent, self.begun == self.places);
        let settled = settled.min(self.begun);
        if self.reads_due >= read_each && settled > 0 {
            self.reads_due -= read_each;
            self.reads += 1;
            return Step::Read(scramble(self.reads ^ self.seed) % settled);
        }
        if is_written {
            return if self.reads_due >= read_each { Step::Later } else { Step::Over };
        }
        self.reads_due += self.percent;
        self.begun += 1;
        Step::Write(self.begun - 1)
    }

    fn asks_settled(&self) -> bool {
        self.percent > 0
    }
}

/// Reads each place once.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) places: u64,
    /// Places whose read was begun.
    pub(crate) begun: u64,
}

impl Script for Reading {
    fn next(&mut self, _settled: u64) -> Step {
        if self.begun == self.places {
            return Step::Over;
        }
        self.begun += 1;
        Step::Read(self.begun - 1)
    }

    fn asks_settled(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_place_is_written_once_and_only_what_has_ended_is_read(
            places in 1u64..500, percent in 0u64..=90, seed: u64, depth in 1u64..64,
        ) {
            let mut script = Writing::new(places, percent, seed);
            // With nothing under way everything that was begun has ended.
            let (mut written, mut reads, mut settled) = (0, 0, u64::MAX);
            loop {
                match script.next(settled) {
                    Step::Write(place) => {
                        prop_assert_eq!(place, written);
                        written += 1;
                        settled = written.saturating_sub(depth);
                    }
                    Step::Read(place) => {
                        prop_assert!(place < settled.min(written));
                        reads += 1;
                    }
                    Step::Later => {
                        prop_assert!(settled < written);
                        settled = u64::MAX;
                    }
                    Step::Over => break,
                }
            }
            prop_assert_eq!(written, places);
            // Reads are the asked percentage of all transfers, to one transfer.
            prop_assert_eq!(reads, places * percent / (100 - percent));
        }
    }

    #[test]
    fn reading_reads_each_place_once() {
        let mut script = Reading { places: 2, begun: 0 };
        assert_eq!([(); 3].map(|()| script.next(0)), [Step::Read(0), Step::Read(1), Step::Over]);
    }
}
