//! Which lock a taker takes next, and how: by its seed, so that the same seed asks for the same.

use muster_pattern::scramble;

use super::Mode;

/// The requests of one taker.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    count: u64,
    locks: u32,
    shared_percent: u64,
}

impl Plan {
    /// Of a taker of a process with this seed.
    pub(crate) fn new(seed: u64, taker: usize, locks: u32, shared_percent: u64) -> Self {
        Self { seed: scramble(seed ^ scramble(taker as u64 + 1)), count: 0, locks, shared_percent }
    }

    /// The next lock, and how it is taken.
    pub(crate) fn next(&mut self) -> (u32, Mode) {
        self.count += 1;
        let drawn = scramble(self.seed.wrapping_add(self.count));
        let lock = u32::try_from((drawn >> 32) % u64::from(self.locks)).unwrap_or(0);
        let mode = if (drawn & 0xFFFF) % 100 < self.shared_percent { Mode::Shared } else { Mode::Exclusive };
        (lock, mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_asks_for_the_same_and_all_locks_and_modes_get_their_share() {
        let draw = |seed, taker, percent| {
            let mut plan = Plan::new(seed, taker, 8, percent);
            (0..8000).map(|_| plan.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 0, 25), draw(7, 0, 25));
        assert_ne!(draw(7, 0, 25), draw(7, 1, 25));
        assert_ne!(draw(7, 0, 25), draw(8, 0, 25));
        let drawn = draw(7, 0, 25);
        for lock in 0..8 {
            let share = drawn.iter().filter(|(known, _)| *known == lock).count();
            assert!((800..1200).contains(&share), "{lock}: {share}");
        }
        let shared = |drawn: &[(u32, Mode)]| drawn.iter().filter(|(_, mode)| *mode == Mode::Shared).count();
        assert!((1700..2300).contains(&shared(&drawn)));
        assert_eq!((shared(&draw(1, 0, 0)), shared(&draw(1, 0, 100))), (0, 8000));
    }
}
