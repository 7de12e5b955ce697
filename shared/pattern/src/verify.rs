//! Verifying a buffer against the pattern. The difference is gathered per sector, without an expected buffer and with one test
//! per sector; what a mismatch is, is found out later, away from the hot path ([`crate::classify()`]).

use crate::mix::{BODY, sector_base};
use crate::sector::{BODY_WORDS, Expectation, HEADER_WORDS, SECTOR_BYTES, VERSION, WORDS, check_word};

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
    let (flip, tag, generation) = (expectation.flip(), expectation.owner.tag(), expectation.generation());
    let (sectors, _) = buffer.as_chunks::<SECTOR_BYTES>();
    for (position, sector) in sectors.iter().enumerate() {
        let place = expectation.advanced(position);
        let words: &[[u8; 8]; WORDS] = sector.as_chunks().0.try_into().expect("a sector is whole words");
        let base = sector_base(tag, generation, place.sector()) ^ flip;
        let mut difference = header_difference(words, &place, flip);
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

/// Not zero where the header is wrong: words 0-4 are known, 5 and 6 are held by the check word.
#[inline(always)]
fn header_difference(words: &[[u8; 8]; WORDS], place: &Expectation, flip: u64) -> u64 {
    let mut head = [0; HEADER_WORDS - 1];
    let mut index = 0;
    while index < head.len() {
        head[index] = u64::from_le_bytes(words[index]) ^ flip;
        index += 1;
    }
    let (mut difference, known) = ((head[6] >> 48) ^ VERSION, place.known_words());
    index = 0;
    while index < known.len() {
        difference |= head[index] ^ known[index];
        index += 1;
    }
    difference | (u64::from_le_bytes(words[HEADER_WORDS - 1]) ^ flip ^ check_word(&head))
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
