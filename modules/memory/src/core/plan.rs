//! Which move comes next: pure, from the seed and the number of the move.
//!
//! All areas but one hold a datum of their own; the free one still holds what was moved away from it, so that a move that did
//! not happen, or not whole, leaves data that name another datum or an older pass. In each round every datum is moved once.

use muster_pattern::scramble;

use crate::way::Way;

/// A pass moves at least so many bytes, however small its areas are.
const PASS_BYTES_MIN: u64 = 64 << 20;
/// Rounds of a pass with the largest areas.
const ROUNDS_MIN: u64 = 2;
/// Where an area's data begin, from its beginning: positions of which one is taken.
const SHIFTS: u64 = 4096;

/// What is the same in all passes.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Areas, the free one included.
    pub(crate) areas: usize,
    /// Bytes of an area, of one pass after the other.
    pub(crate) sizes: Vec<u64>,
    /// The only way; none for all of them.
    pub(crate) way: Option<Way>,
    pub(crate) seed: u64,
}

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    /// What is moved.
    pub(crate) datum: usize,
    pub(crate) way: Way,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Bytes from the beginning of the area to where the datum is to begin.
    pub(crate) shift: usize,
}

/// One pass.
#[derive(Debug)]
pub(crate) struct Plan {
    /// From 1, so that there is one before it to be stale by.
    pub(crate) pass: u64,
    /// Bytes of a datum.
    pub(crate) bytes: u64,
    way: Option<Way>,
    seed: u64,
    /// Area of each datum.
    places: Vec<usize>,
    free: usize,
    /// The data in the order of this round.
    order: Vec<usize>,
    moved: u64,
    moves: u64,
}

impl Plan {
    /// A pass, and where its data begin.
    pub(crate) fn new(shape: &Shape, pass: u64) -> Self {
        let data = shape.areas - 1;
        let turn = usize::try_from(pass.saturating_sub(1) % shape.sizes.len() as u64).unwrap_or(0);
        let bytes = shape.sizes[turn];
        let rounds = (PASS_BYTES_MIN / (bytes * data as u64)).max(ROUNDS_MIN);
        Self {
            pass,
            bytes,
            way: shape.way,
            seed: scramble(shape.seed ^ scramble(pass)),
            places: (0..data).collect(),
            free: data,
            order: Vec::new(),
            moved: 0,
            moves: rounds * data as u64,
        }
    }

    /// Data of a pass.
    pub(crate) fn data(&self) -> usize {
        self.places.len()
    }

    /// The next move; none when the pass is over.
    pub(crate) fn next(&mut self) -> Option<Move> {
        if self.moved == self.moves {
            return None;
        }
        let random = scramble(self.seed ^ self.moved);
        let datum = self.next_datum();
        let way = self.way.unwrap_or(Way::ALL[below(random, Way::ALL.len())]);
        let (from, to) = (self.places[datum], self.free);
        (self.places[datum], self.free) = (to, from);
        self.moved += 1;
        Some(Move { datum, way, from, to, shift: shift(way, random >> 32) })
    }

    /// In each round another order.
    fn next_datum(&mut self) -> usize {
        if self.order.is_empty() {
            self.order = (0..self.places.len()).collect();
            let seed = scramble(self.seed ^ !self.moved);
            for at in (1..self.order.len()).rev() {
                self.order.swap(at, below(scramble(seed ^ at as u64), at + 1));
            }
        }
        self.order.pop().expect("a round has at least one datum, as there are at least two areas")
    }
}

/// Whole cache lines, as streaming stores need them; for odd moves never even.
fn shift(way: Way, random: u64) -> usize {
    const LINE_BYTES: u64 = 64;
    let shift = match way {
        Way::Odd | Way::Bytes => (random % SHIFTS) | 1,
        Way::Copy | Way::Stream => random % SHIFTS / LINE_BYTES * LINE_BYTES,
    };
    usize::try_from(shift).unwrap_or(0)
}

fn below(random: u64, count: usize) -> usize {
    usize::try_from(random % count.max(1) as u64).unwrap_or(0)
}

/// Bytes that an area is larger than its data.
pub(crate) const SLACK_BYTES: u64 = SHIFTS;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shape(areas: usize, seed: u64) -> Shape {
        Shape { areas, sizes: vec![512, 8 << 20, 64 << 20], way: None, seed }
    }

    proptest! {
        #[test]
        fn a_datum_is_moved_from_where_it_is_to_the_free_area(areas in 2usize..=64, seed: u64, pass in 1u64..9) {
            let mut plan = Plan::new(&shape(areas, seed), pass);
            let mut holds: Vec<Option<usize>> = (0..areas).map(|area| (area + 1 < areas).then_some(area)).collect();
            let mut moves = 0;
            let mut round = BTreeSet::new();
            while let Some(next) = plan.next().filter(|_| moves < 1000) {
                prop_assert_eq!(holds[next.from], Some(next.datum));
                prop_assert_eq!(holds[next.to], None);
                holds.swap(next.from, next.to);
                prop_assert!(next.shift < 4096);
                prop_assert_eq!(next.shift % 2 == 1, matches!(next.way, Way::Odd | Way::Bytes));
                prop_assert!(round.insert(next.datum), "each datum once in a round");
                if round.len() == areas - 1 {
                    round.clear();
                }
                moves += 1;
            }
            prop_assert!(moves >= 2 * (areas - 1));
        }
    }

    #[test]
    fn sizes_come_in_turn_and_small_areas_are_moved_more_often() {
        let shape = shape(3, 1);
        let sizes: Vec<u64> = (1..=4).map(|pass| Plan::new(&shape, pass).bytes).collect();
        assert_eq!(sizes, [512, 8 << 20, 64 << 20, 512]);
        let moves: Vec<u64> = (1..=3).map(|pass| Plan::new(&shape, pass).moves).collect();
        assert_eq!(moves, [131_072, 8, 4]);
    }

    #[test]
    fn the_same_seed_moves_the_same_and_another_seed_does_not() {
        let moves = |seed| {
            let mut plan = Plan::new(&shape(5, seed), 2);
            std::iter::from_fn(|| plan.next()).collect::<Vec<_>>()
        };
        assert_eq!(moves(1), moves(1));
        assert_ne!(moves(1), moves(2));
        let ways: BTreeSet<&str> = moves(1).iter().map(|next| next.way.as_str()).collect();
        assert_eq!(ways.len(), Way::ALL.len());
    }
}
