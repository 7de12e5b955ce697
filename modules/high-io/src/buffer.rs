//! Memory that direct I/O accepts, and how much of it the caches hold.

use std::ops::{Deref, DerefMut};

/// Suits every sector and page size in use.
pub(crate) const ALIGNMENT: usize = 4096;
/// What is taken for the largest cache where the kernel does not say.
const CACHE_BYTES_DEFAULT: u64 = 32 << 20;
/// Most caches of a processor that are looked at.
const CACHES_MAX: usize = 8;

/// Zeroed bytes that begin at a multiple of the alignment. Their place in memory never changes.
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

/// Bytes of this machine's largest cache.
pub(crate) fn cache_bytes() -> u64 {
    let size = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().strip_suffix('K')?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    };
    (0..CACHES_MAX).filter_map(size).max().unwrap_or(CACHE_BYTES_DEFAULT)
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
