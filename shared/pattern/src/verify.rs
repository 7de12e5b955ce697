//! Verifying a buffer against the pattern. The difference is gathered per sector, without an expected buffer and with one test
//! per sector; what a mismatch is, is found out later, away from the hot path ([`crate::classify()`]).

use crate::mix::{BODY, Bases};
use crate::sector::{
    BODY_WORDS, Expectation, HEADER_WORDS, OFFSET_WORD, SECTOR_BYTES, VERSION, WORDS, check_sum, fold_check,
};

/// The first wrong sector of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Sector of the buffer, from 0.
    pub sector: usize,
    /// Its absolute byte offset.
    pub offset: u64,
}

/// Verifies a buffer, which begins at the offset of the expectation.
///
/// # Errors
/// The first sector that is not what was expected.
///
/// # Panics
/// When the buffer is not whole sectors, or its offset is not at a sector: a mistake of the caller.
pub fn verify(buffer: &[u8], expectation: &Expectation) -> Result<(), Mismatch> {
    assert!(buffer.len().is_multiple_of(SECTOR_BYTES), "a buffer is whole sectors");
    assert!(expectation.offset.is_multiple_of(SECTOR_BYTES as u64), "an offset is at a sector");
    match dispatch(buffer, expectation) {
        None => Ok(()),
        Some(sector) => Err(Mismatch { sector, offset: expectation.advanced(sector).offset }),
    }
}

#[cfg(target_arch = "x86_64")]
fn dispatch(buffer: &[u8], expectation: &Expectation) -> Option<usize> {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
        // SAFETY: the features that the function is compiled for were just found on this processor.
        unsafe { verify_avx512(buffer, expectation) }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { verify_avx2(buffer, expectation) }
    } else {
        verify_any(buffer, expectation)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch(buffer: &[u8], expectation: &Expectation) -> Option<usize> {
    verify_any(buffer, expectation)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn verify_avx512(buffer: &[u8], expectation: &Expectation) -> Option<usize> {
    verify_any(buffer, expectation)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn verify_avx2(buffer: &[u8], expectation: &Expectation) -> Option<usize> {
    verify_any(buffer, expectation)
}

/// The one text that is compiled for each set of instructions. Plain indices inside: an adaptor that is not inlined would be
/// compiled without them, and called for each sector.
#[inline(always)]
fn verify_any(buffer: &[u8], expectation: &Expectation) -> Option<usize> {
    let (mut known, mut bases) = (Known::of(expectation), Bases::of(expectation));
    let (sectors, _) = buffer.as_chunks::<SECTOR_BYTES>();
    for (position, sector) in sectors.iter().enumerate() {
        ahead(sector);
        let words: &[[u8; 8]; WORDS] = sector.as_chunks().0.try_into().expect("a sector is whole words");
        let (base, mut difference) = (bases.next(), known.difference(words));
        known.advance();
        let mut index = 0;
        while index < BODY_WORDS {
            difference |= u64::from_le_bytes(words[HEADER_WORDS + index]) ^ base ^ BODY[index];
            index += 1;
        }
        if difference != 0 {
            return Some(position);
        }
    }
    None
}

/// What is known of a header beforehand.
struct Known {
    flip: u64,
    /// Words 0-4 in true form, of which the offset changes from sector to sector.
    words: [u64; 5],
    /// Their part of the check word's sum.
    sum: u64,
}

impl Known {
    #[inline(always)]
    fn of(expectation: &Expectation) -> Self {
        let words = expectation.known_words();
        Self { flip: expectation.flip(), words, sum: check_sum(&words, 0) }
    }

    /// Becomes that of the next sector.
    #[inline(always)]
    fn advance(&mut self) {
        const STEP: u64 = SECTOR_BYTES as u64;
        self.words[OFFSET_WORD] = self.words[OFFSET_WORD].wrapping_add(STEP);
        self.sum = self.sum.wrapping_add(check_sum(&[STEP], OFFSET_WORD));
    }

    /// Not zero where the header is wrong: words 0-4 are known, 5 and 6 are held by the check word.
    #[inline(always)]
    fn difference(&self, words: &[[u8; 8]; WORDS]) -> u64 {
        let word = |index: usize| u64::from_le_bytes(words[index]) ^ self.flip;
        let (time, position) = (word(5), word(6));
        let check = fold_check(self.sum.wrapping_add(check_sum(&[time, position], 5)));
        let mut difference = ((position >> 48) ^ VERSION) | (word(HEADER_WORDS - 1) ^ check);
        let mut index = 0;
        while index < self.words.len() {
            difference |= word(index) ^ self.words[index];
            index += 1;
        }
        difference
    }
}

/// How far ahead of what is verified memory is asked for: the processor's own guesses end with a page.
const AHEAD_BYTES: usize = 4096;

#[inline(always)]
fn ahead(sector: &[u8; SECTOR_BYTES]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let mut line = 0;
        while line < SECTOR_BYTES {
            // SAFETY: a hint, which reads nothing, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(sector.as_ptr().wrapping_add(AHEAD_BYTES + line).cast()) };
            line += 64;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sector::{Owner, Stamp};

    prop_compose! {
        fn expectations()(
            run: u32, job: u32, process: u32, attempt: u16, target: u32, machine: u32,
            sequence in 0u64..1 << 48, sector in 0u64..1 << 54,
        ) -> Expectation {
            Expectation {
                owner: Owner { run, job, process, attempt }, target, machine, sequence, offset: sector * SECTOR_BYTES as u64,
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_filled_verifies(expectation in expectations(), time: u64, sectors in 0usize..9, from in 0usize..9) {
            let mut buffer = vec![0xAA; sectors * SECTOR_BYTES];
            crate::fill(&mut buffer, &Stamp { expectation, time });
            prop_assert_eq!(verify(&buffer, &expectation), Ok(()));
            let from = from.min(sectors);
            prop_assert_eq!(verify(&buffer[from * SECTOR_BYTES..], &expectation.advanced(from)), Ok(()));
        }

        #[test]
        fn any_flipped_bit_is_found_in_its_sector(expectation in expectations(), time: u64, bit in 0usize..3 * SECTOR_BYTES * 8) {
            let mut buffer = vec![0; 3 * SECTOR_BYTES];
            crate::fill(&mut buffer, &Stamp { expectation, time });
            buffer[bit / 8] ^= 1 << (bit % 8);
            let sector = bit / 8 / SECTOR_BYTES;
            let offset = expectation.offset + (sector * SECTOR_BYTES) as u64;
            prop_assert_eq!(verify(&buffer, &expectation), Err(Mismatch { sector, offset }));
            prop_assert_eq!(verify_any(&buffer, &expectation), Some(sector));
        }
    }
}
