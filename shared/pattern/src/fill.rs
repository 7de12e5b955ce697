//! Filling a buffer with the pattern. The expectation lives in registers: per word one exclusive-or and one store.

use crate::mix::{BODY, Bases};
use crate::sector::{BODY_WORDS, Expectation, HEADER_WORDS, SECTOR_BYTES, Stamp, check_word, position_word};

/// Fills a buffer, which is one transfer.
///
/// # Panics
/// When the buffer is not whole sectors, or its offset is not at a sector: a mistake of the caller.
pub fn fill(buffer: &mut [u8], stamp: &Stamp) {
    check(buffer, stamp);
    dispatch(buffer, stamp);
}

pub(crate) fn check(buffer: &[u8], stamp: &Stamp) {
    assert!(buffer.len().is_multiple_of(SECTOR_BYTES), "a buffer is whole sectors");
    assert!(stamp.expectation.offset.is_multiple_of(SECTOR_BYTES as u64), "an offset is at a sector");
}

#[cfg(target_arch = "x86_64")]
fn dispatch(buffer: &mut [u8], stamp: &Stamp) {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
        // SAFETY: the features that the function is compiled for were just found on this processor.
        unsafe { fill_avx512(buffer, stamp) }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { fill_avx2(buffer, stamp) }
    } else {
        fill_any(buffer, stamp);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch(buffer: &mut [u8], stamp: &Stamp) {
    fill_any(buffer, stamp);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn fill_avx512(buffer: &mut [u8], stamp: &Stamp) {
    fill_any(buffer, stamp);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_avx2(buffer: &mut [u8], stamp: &Stamp) {
    fill_any(buffer, stamp);
}

/// The one text that is compiled for each set of instructions. Plain indices inside: an adaptor that is not inlined would be
/// compiled without them, and called for each sector.
#[inline(always)]
fn fill_any(buffer: &mut [u8], stamp: &Stamp) {
    let mut bases = Bases::of(&stamp.expectation);
    let (sectors, _) = buffer.as_chunks_mut::<SECTOR_BYTES>();
    let count = sectors.len();
    for (position, sector) in sectors.iter_mut().enumerate() {
        let place = stamp.expectation.advanced(position);
        write_header(sector, &header_words(&place, stamp.time, position, count));
        let base = bases.next();
        let (words, _) = sector.as_chunks_mut::<8>();
        let mut index = 0;
        while index < BODY_WORDS {
            words[HEADER_WORDS + index] = (base ^ BODY[index]).to_le_bytes();
            index += 1;
        }
    }
}

#[inline(always)]
fn write_header(sector: &mut [u8; SECTOR_BYTES], header: &[u64; HEADER_WORDS]) {
    let (words, _) = sector.as_chunks_mut::<8>();
    let mut index = 0;
    while index < HEADER_WORDS {
        words[index] = header[index].to_le_bytes();
        index += 1;
    }
}

/// The header of the sector at `position` of a transfer of `sectors`, in its form.
#[inline(always)]
pub(crate) fn header_words(place: &Expectation, time: u64, position: usize, sectors: usize) -> [u64; HEADER_WORDS] {
    let [w0, w1, w2, w3, w4] = place.known_words();
    let head = [w0, w1, w2, w3, w4, time, position_word(position, sectors)];
    let flip = place.flip();
    let mut words = [check_word(&head) ^ flip; HEADER_WORDS];
    let mut index = 0;
    while index < head.len() {
        words[index] = head[index] ^ flip;
        index += 1;
    }
    words
}

/// Fills one sector as the one at `position` of a transfer of `sectors`.
pub(crate) fn fill_at(sector: &mut [u8; SECTOR_BYTES], stamp: &Stamp, position: usize, sectors: usize) {
    fill_any(sector, stamp);
    write_header(sector, &header_words(&stamp.expectation, stamp.time, position, sectors));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sector::Owner;

    #[test]
    fn every_instruction_set_writes_the_same_bytes() {
        let owner = Owner { run: 1, job: 2, process: 3, attempt: 1 };
        for sequence in [0, 1, 131_075] {
            let expectation = Expectation { owner, target: 5, machine: 6, sequence, offset: 1 << 40 };
            let stamp = Stamp { expectation, time: 7 };
            let mut portable = vec![0; 33 * SECTOR_BYTES];
            let mut dispatched = portable.clone();
            fill_any(&mut portable, &stamp);
            fill(&mut dispatched, &stamp);
            assert!(portable == dispatched);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature was just found.
                unsafe { fill_avx2(&mut dispatched, &stamp) };
                assert!(portable == dispatched);
            }
        }
    }

    #[test]
    fn the_odd_pass_complements_every_body_bit_and_no_word_is_zero() {
        let mut even = vec![0; SECTOR_BYTES];
        let mut odd = even.clone();
        let mut stamp = Stamp { expectation: Expectation { sequence: 6, ..Expectation::default() }, time: 1 };
        fill(&mut even, &stamp);
        stamp.expectation.sequence = 7;
        fill(&mut odd, &stamp);
        assert!(even[64..].iter().zip(&odd[64..]).all(|(a, b)| *a == !*b));
        assert!(even.as_chunks::<8>().0[8..].iter().all(|word| *word != [0; 8]));
    }

    #[test]
    #[should_panic(expected = "whole sectors")]
    fn a_part_of_a_sector_is_refused() {
        fill(&mut [0; 100], &Stamp::default());
    }
}
