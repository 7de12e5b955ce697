//! A buffer that direct I/O accepts, and the clock of a write.

use std::ops::{Deref, DerefMut};
use std::time::{SystemTime, UNIX_EPOCH};

/// Suits every sector and page size in use.
const ALIGNMENT: usize = 4096;

/// Zeroed bytes that begin at a multiple of the alignment.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let address = memory.as_ptr().addr();
        Self { start: address.next_multiple_of(ALIGNMENT) - address, memory, length }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Nanoseconds since 1970.
pub(crate) fn write_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_of_their_length() {
        for length in [512, 4096, 65_536] {
            let buffer = Buffer::new(length);
            assert_eq!((buffer.as_ptr().addr() % ALIGNMENT, buffer.len()), (0, length));
        }
    }
}
