//! The invertible mix behind the body words. Linear over GF(2), so `mix(a ^ b) == mix(a) ^ mix(b)`: the part of a sector is
//! computed once per sector and the part of a word comes from a table, one exclusive-or per word.

use crate::sector::{BODY_WORDS, Expectation, HEADER_WORDS};

/// Rounds of xorshift: after three of them every bit of an identity moves many bits of the word.
const ROUNDS: u32 = 3;
const LEFT_1: u32 = 8;
const RIGHT: u32 = 29;
const LEFT_2: u32 = 19;

/// Added to every word. It is the mix of an identity whose word number is 0, a header word's, so that no body word in true form
/// is zero: zeroed data never pass.
const WHITE: u64 = mix(0x5EED_C0DE_4D55_5300 & !0x3F);

/// Identity of a body word: owner tag 16, generation 16, sector 26, word 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) tag: u16,
    pub(crate) generation: u16,
    pub(crate) sector: u32,
    pub(crate) word: u8,
}

/// Sectors are counted modulo this many (32 GiB); the header has the whole offset.
pub(crate) const SECTOR_MODULUS: u64 = 1 << 26;

impl Identity {
    pub(crate) const fn pack(self) -> u64 {
        (self.tag as u64) << 48 | (self.generation as u64) << 32 | (self.sector as u64) << 6 | self.word as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "each field is cut to its own bits")]
    pub(crate) const fn unpack(bits: u64) -> Self {
        Self {
            tag: (bits >> 48) as u16,
            generation: (bits >> 32) as u16,
            sector: (bits >> 6) as u32 & (SECTOR_MODULUS as u32 - 1),
            word: bits as u8 & 0x3F,
        }
    }
}

/// The linear part.
pub(crate) const fn mix(mut x: u64) -> u64 {
    let mut round = 0;
    while round < ROUNDS {
        x ^= x << LEFT_1;
        x ^= x >> RIGHT;
        x ^= x << LEFT_2;
        round += 1;
    }
    x
}

/// Sectors in a row that differ in so many low numbers only; the mix of the rest is computed once for all of them.
const ROW: usize = 16;

/// The part of each place in a row.
const PLACES: [u64; ROW] = {
    let mut table = [0; ROW];
    let mut index = 0;
    while index < ROW {
        table[index] = mix(Identity { tag: 0, generation: 0, sector: index as u32, word: 0 }.pack());
        index += 1;
    }
    table
};

/// What all words of a sector share, in its form, sector by sector: exclusive-or it with [`BODY`].
pub(crate) struct Bases {
    tag: u16,
    generation: u16,
    flip: u64,
    /// Of the next one.
    sector: u32,
    /// Of its row.
    row: u64,
}

impl Bases {
    /// From the first sector of an expectation on.
    #[inline(always)]
    pub(crate) fn of(expectation: &Expectation) -> Self {
        let (tag, generation) = (expectation.owner.tag(), expectation.generation());
        let mut bases = Self { tag, generation, flip: expectation.flip(), sector: expectation.sector(), row: 0 };
        bases.begin_row();
        bases
    }

    /// The next one.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> u64 {
        let place = self.sector as usize % ROW;
        if place == 0 {
            self.begin_row();
        }
        self.sector = self.sector.wrapping_add(1);
        self.row ^ PLACES[place]
    }

    #[inline(always)]
    fn begin_row(&mut self) {
        let sector = self.sector & (SECTOR_MODULUS as u32 - 1) & !(ROW as u32 - 1);
        let identity = Identity { tag: self.tag, generation: self.generation, sector, word: 0 };
        self.row = mix(identity.pack()) ^ WHITE ^ self.flip;
    }
}

/// The part of each body word, from word 8 on.
pub(crate) const BODY: [u64; BODY_WORDS] = {
    let mut table = [0; BODY_WORDS];
    let mut index = 0;
    while index < BODY_WORDS {
        table[index] = mix((index + HEADER_WORDS) as u64);
        index += 1;
    }
    table
};

/// The identity that a word in true form carries.
pub(crate) const fn identity_of(word: u64) -> Identity {
    Identity::unpack(unmix(word ^ WHITE))
}

const fn unmix(mut x: u64) -> u64 {
    let mut round = 0;
    while round < ROUNDS {
        x = undo_left(x, LEFT_2);
        x = undo_right(x, RIGHT);
        x = undo_left(x, LEFT_1);
        round += 1;
    }
    x
}

const fn undo_left(y: u64, shift: u32) -> u64 {
    let mut x = y;
    let mut known = shift;
    while known < 64 {
        x = y ^ (x << shift);
        known += shift;
    }
    x
}

const fn undo_right(y: u64, shift: u32) -> u64 {
    let mut x = y;
    let mut known = shift;
    while known < 64 {
        x = y ^ (x >> shift);
        known += shift;
    }
    x
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn mix_is_linear_and_inverts(a: u64, b: u64) {
            prop_assert_eq!(mix(a ^ b), mix(a) ^ mix(b));
            prop_assert_eq!(unmix(mix(a)), a);
            prop_assert_eq!(Identity::unpack(a).pack(), a);
        }
    }

    #[test]
    fn every_identity_bit_moves_many_word_bits_and_back() {
        for bit in 0..64 {
            assert!((12..=52).contains(&mix(1 << bit).count_ones()), "mix of bit {bit}");
            assert!((12..=52).contains(&unmix(1 << bit).count_ones()), "unmix of bit {bit}");
        }
    }

    #[test]
    fn bases_are_the_mix_of_each_sector_past_the_end_of_their_count_too() {
        for (first, sequence) in [(0, 0), (5, 1), ((1 << 26) - 3, 7)] {
            let expectation = Expectation { sequence, offset: first * 512, ..Expectation::default() };
            let mut bases = Bases::of(&expectation);
            for at in 0..50 {
                let place = expectation.advanced(at);
                let identity = Identity { tag: 0, generation: place.generation(), sector: place.sector(), word: 0 };
                assert_eq!(bases.next(), mix(identity.pack()) ^ WHITE ^ place.flip(), "{first} {at}");
            }
        }
    }

    #[test]
    fn the_wrong_form_never_decodes_to_its_own_word_number() {
        assert_ne!(unmix(u64::MAX) & 0x3F, 0);
    }
}
