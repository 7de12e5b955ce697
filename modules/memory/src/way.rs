//! Ways to move bytes.

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the C library copies.
    Copy,
    /// With stores that pass by the caches; where the processor has none, as the C library copies.
    Stream,
    /// One byte at a time, between odd addresses.
    Bytes,
    /// As the C library copies, between odd addresses.
    Odd,
}

impl Way {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Copy, Self::Stream, Self::Bytes, Self::Odd];

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Stream => "stream",
            Self::Bytes => "bytes",
            Self::Odd => "odd",
        }
    }

    /// Moves bytes.
    ///
    /// # Panics
    /// When the two are not of one length: a mistake of the caller.
    pub(crate) fn copy(self, from: &[u8], to: &mut [u8]) {
        assert_eq!(from.len(), to.len(), "what is moved has one length");
        match self {
            Self::Copy | Self::Odd => to.copy_from_slice(from),
            Self::Stream => stream(from, to),
            Self::Bytes => bytes(from, to),
        }
    }
}

/// Volatile, so that the compiler makes no copy of more than a byte out of it.
fn bytes(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        // SAFETY: both are references to bytes of their slices.
        unsafe { std::ptr::from_mut(to).write_volatile(std::ptr::from_ref(from).read_volatile()) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn stream(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}

/// Whole vectors past the caches, what is before and after them as usual.
#[cfg(target_arch = "x86_64")]
fn stream(from: &[u8], to: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const VECTOR_BYTES: usize = 16;
    let head = (to.as_ptr().addr().next_multiple_of(VECTOR_BYTES) - to.as_ptr().addr()).min(to.len());
    let (from_head, from) = from.split_at(head);
    let (to_head, to) = to.split_at_mut(head);
    to_head.copy_from_slice(from_head);
    let (from_vectors, from_tail) = from.as_chunks::<VECTOR_BYTES>();
    let (to_vectors, to_tail) = to.as_chunks_mut::<VECTOR_BYTES>();
    for (to, from) in to_vectors.iter_mut().zip(from_vectors) {
        // SAFETY: SSE2 is a part of x86_64; both are arrays of a vector's length, and the one that is stored to is aligned.
        unsafe {
            let vector = _mm_loadu_si128(from.as_ptr().cast::<__m128i>());
            _mm_stream_si128(to.as_mut_ptr().cast::<__m128i>(), vector);
        }
    }
    to_tail.copy_from_slice(from_tail);
    // SAFETY: SSE is a part of x86_64.
    unsafe { _mm_sfence() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_moves_every_byte_from_and_to_any_address() {
        let from: Vec<u8> = (0..4096_u32).map(|byte| byte.to_le_bytes()[0] ^ byte.to_le_bytes()[1]).collect();
        for way in Way::ALL {
            for (begin, end, shift) in [(0, 4096, 0), (1, 4000, 3), (7, 20, 9), (16, 16, 0), (64, 4095, 63)] {
                let mut to = vec![0xAA; 5000];
                let moved = &from[begin..end];
                way.copy(moved, &mut to[shift..shift + moved.len()]);
                assert_eq!(to[shift..shift + moved.len()], *moved, "{way:?}");
                assert!(to[..shift].iter().chain(&to[shift + moved.len()..]).all(|byte| *byte == 0xAA), "{way:?}");
            }
        }
    }
}
