//! Filling a buffer past the caches: for sets of buffers that are larger than those, where an ordinary store would first read
//! every line from memory only to overwrite it. The bytes are those of [`crate::fill()`].

use crate::fill::fill;
use crate::sector::Stamp;

/// Fills a buffer, which is one transfer, with stores that pass by the caches; where the processor has none that suit, or the
/// buffer does not begin at a multiple of 64 bytes, as [`crate::fill()`] does.
///
/// # Panics
/// When the buffer is not whole sectors, or its offset is not at a sector: a mistake of the caller.
pub fn fill_streaming(buffer: &mut [u8], stamp: &Stamp) {
    if !dispatch(buffer, stamp) {
        fill(buffer, stamp);
    }
}

#[cfg(target_arch = "x86_64")]
fn dispatch(buffer: &mut [u8], stamp: &Stamp) -> bool {
    crate::fill::check(buffer, stamp);
    if !buffer.as_ptr().addr().is_multiple_of(x86::ALIGNMENT) {
        return false;
    }
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
        // SAFETY: the features that the function is compiled for were just found, and the buffer is aligned.
        unsafe { x86::stream_avx512(buffer, stamp) };
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { x86::stream_avx2(buffer, stamp) };
    } else {
        return false;
    }
    true
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch(_buffer: &mut [u8], _stamp: &Stamp) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm_sfence, _mm256_loadu_si256, _mm256_set1_epi64x, _mm256_stream_si256, _mm256_xor_si256,
        _mm512_loadu_si512, _mm512_set1_epi64, _mm512_stream_si512, _mm512_xor_si512,
    };

    use crate::fill::header_words;
    use crate::mix::{BODY, sector_base};
    use crate::sector::{HEADER_WORDS, SECTOR_BYTES, Stamp, WORDS};

    /// What a streaming store asks of the buffer.
    pub(super) const ALIGNMENT: usize = 64;

    /// A sector's header in its form, zeros after it; and what its body words share.
    #[inline(always)]
    fn parts(stamp: &Stamp, position: usize, sectors: usize) -> ([u64; HEADER_WORDS], u64) {
        let place = stamp.expectation.advanced(position);
        let base = sector_base(place.owner.tag(), place.generation(), place.sector()) ^ place.flip();
        (header_words(&place, stamp.time, position, sectors), base)
    }

    /// # Safety
    /// The processor has these features, and the buffer begins at a multiple of [`ALIGNMENT`].
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) unsafe fn stream_avx512(buffer: &mut [u8], stamp: &Stamp) {
        const LANES: usize = 8;
        let (sectors, _) = buffer.as_chunks_mut::<SECTOR_BYTES>();
        let count = sectors.len();
        for (position, sector) in sectors.iter_mut().enumerate() {
            let (head, base) = parts(stamp, position, count);
            let (slots, base) = (sector.as_mut_ptr().cast::<__m512i>(), _mm512_set1_epi64(base.cast_signed()));
            // SAFETY: a sector is WORDS words, aligned as the caller promises; BODY is as long as the rest of it.
            unsafe {
                _mm512_stream_si512(slots, _mm512_loadu_si512(head.as_ptr().cast()));
                for vector in 1..WORDS / LANES {
                    let part = _mm512_loadu_si512(BODY.as_ptr().add(vector * LANES - HEADER_WORDS).cast());
                    _mm512_stream_si512(slots.add(vector), _mm512_xor_si512(base, part));
                }
            }
        }
        _mm_sfence();
    }

    /// # Safety
    /// The processor has this feature, and the buffer begins at a multiple of [`ALIGNMENT`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn stream_avx2(buffer: &mut [u8], stamp: &Stamp) {
        const LANES: usize = 4;
        let (sectors, _) = buffer.as_chunks_mut::<SECTOR_BYTES>();
        let count = sectors.len();
        for (position, sector) in sectors.iter_mut().enumerate() {
            let (head, base) = parts(stamp, position, count);
            let (slots, base) = (sector.as_mut_ptr().cast::<__m256i>(), _mm256_set1_epi64x(base.cast_signed()));
            // SAFETY: as above.
            unsafe {
                for vector in 0..HEADER_WORDS / LANES {
                    _mm256_stream_si256(
                        slots.add(vector),
                        _mm256_loadu_si256(head.as_ptr().add(vector * LANES).cast()),
                    );
                }
                for vector in HEADER_WORDS / LANES..WORDS / LANES {
                    let part = _mm256_loadu_si256(BODY.as_ptr().add(vector * LANES - HEADER_WORDS).cast());
                    _mm256_stream_si256(slots.add(vector), _mm256_xor_si256(base, part));
                }
            }
        }
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sector::{Expectation, Owner, SECTOR_BYTES};

    const SECTORS: usize = 33;

    /// A buffer that begins so many bytes after a multiple of 64.
    fn at(memory: &mut [u8], shift: usize) -> &mut [u8] {
        let begin = memory.as_ptr().addr().next_multiple_of(64) - memory.as_ptr().addr() + shift;
        &mut memory[begin..begin + SECTORS * SECTOR_BYTES]
    }

    #[test]
    fn every_way_to_fill_writes_the_same_bytes_at_every_position() {
        let owner = Owner { run: 1, job: 2, process: 3, attempt: 4 };
        let (mut plain, mut streamed) = (vec![0; SECTORS * SECTOR_BYTES], vec![0; SECTORS * SECTOR_BYTES + 256]);
        for (sequence, shift) in [(0, 0), (1, 0), (131_075, 64), (2, 8), (3, 1)] {
            let expectation = Expectation { owner, target: 5, machine: 6, sequence, offset: 1 << 40 };
            let stamp = Stamp { expectation, time: 7 };
            fill(&mut plain, &stamp);
            let buffer = at(&mut streamed, shift);
            buffer.fill(0xAA);
            fill_streaming(buffer, &stamp);
            assert!(*plain == *buffer, "{sequence} {shift}");
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && shift % x86::ALIGNMENT == 0 {
                buffer.fill(0xAA);
                // SAFETY: the feature was just found, and the buffer is aligned.
                unsafe { x86::stream_avx2(buffer, &stamp) };
                assert!(*plain == *buffer, "{sequence} {shift}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole sectors")]
    fn a_part_of_a_sector_is_refused() {
        fill_streaming(&mut [0; 100], &Stamp::default());
    }
}
