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
        _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256, _mm512_loadu_si512, _mm512_stream_si512,
    };

    use crate::fill::header_words;
    use crate::mix::{BODY, Bases};
    use crate::sector::{SECTOR_BYTES, Stamp};

    /// What a streaming store asks of the buffer: a line of the cache.
    pub(super) const ALIGNMENT: usize = 64;
    const WORDS_OF_LINE: usize = ALIGNMENT / 8;

    type Line = [u8; ALIGNMENT];

    /// # Safety
    /// The processor has these features, and the buffer begins at a multiple of [`ALIGNMENT`].
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) unsafe fn stream_avx512(buffer: &mut [u8], stamp: &Stamp) {
        stream(buffer, stamp, |line, words| {
            // SAFETY: a line is one vector, aligned as the caller promises, and so are its words.
            unsafe { _mm512_stream_si512(line.as_mut_ptr().cast(), _mm512_loadu_si512(words.as_ptr().cast())) };
        });
        _mm_sfence();
    }

    /// # Safety
    /// The processor has this feature, and the buffer begins at a multiple of [`ALIGNMENT`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn stream_avx2(buffer: &mut [u8], stamp: &Stamp) {
        stream(buffer, stamp, |line, words| {
            let (to, from) = (line.as_mut_ptr().cast(), words.as_ptr().cast());
            // SAFETY: a line is two vectors, aligned as the caller promises, and so are its words.
            unsafe {
                _mm256_stream_si256(to, _mm256_loadu_si256(from));
                _mm256_stream_si256(to.add(1), _mm256_loadu_si256(from.add(1)));
            }
        });
        _mm_sfence();
    }

    /// The one text that is compiled for each set of instructions.
    #[inline(always)]
    fn stream(buffer: &mut [u8], stamp: &Stamp, store: impl Fn(&mut Line, &[u64; WORDS_OF_LINE])) {
        let mut bases = Bases::of(&stamp.expectation);
        let (sectors, _) = buffer.as_chunks_mut::<SECTOR_BYTES>();
        let count = sectors.len();
        for (position, sector) in sectors.iter_mut().enumerate() {
            let base = bases.next();
            let (lines, _) = sector.as_chunks_mut::<ALIGNMENT>();
            let place = stamp.expectation.advanced(position);
            store(&mut lines[0], &header_words(&place, stamp.time, position, count));
            let mut line = 1;
            while line < SECTOR_BYTES / ALIGNMENT {
                let (mut words, mut index) = ([base; WORDS_OF_LINE], 0);
                while index < WORDS_OF_LINE {
                    words[index] ^= BODY[(line - 1) * WORDS_OF_LINE + index];
                    index += 1;
                }
                store(&mut lines[line], &words);
                line += 1;
            }
        }
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
