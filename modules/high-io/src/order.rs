//! Orders of transfers that need no memory: one after the other, or pseudo-random through a Feistel network over just enough
//! bits, walked until it lands below the count.

use muster_pattern::scramble;

const ROUNDS: u64 = 4;

/// An order of `0..count`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    seed: u64,
    count: u64,
    /// None for one after the other.
    half_bits: u32,
}

impl Order {
    /// A pseudo-random order.
    pub(crate) fn random(seed: u64, count: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self { seed, count, half_bits: bits.div_ceil(2).max(1) }
    }

    /// One after the other.
    pub(crate) fn sequential(count: u64) -> Self {
        Self { seed: 0, count, half_bits: 0 }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// What comes at a place, both below the count. The walk ends: the network is a permutation, so it comes back to where it
    /// began, which is below the count; it is at most four times as large, so it is short.
    pub(crate) fn at(&self, place: u64) -> u64 {
        debug_assert!(place < self.count, "a place is below the count");
        if self.half_bits == 0 {
            return place;
        }
        let mut at = self.step(place);
        while at >= self.count {
            at = self.step(at);
        }
        at
    }

    fn step(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            let mixed = scramble(self.seed ^ scramble(right << 8 | round));
            (left, right) = (right, left ^ (mixed & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_transfer_comes_once(seed: u64, count in 1u64..3000) {
            let order = Order::random(seed, count);
            let mut seen: Vec<u64> = (0..count).map(|place| order.at(place)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_is_not_sequential_and_follows_the_seed() {
        let order = |seed| (0..1000).map(|place| Order::random(seed, 1000).at(place)).collect::<Vec<_>>();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let neighbours = order(1).windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
        assert!(neighbours < 20, "{neighbours}");
    }
}
