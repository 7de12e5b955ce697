//! One transfer at a time, through pread and pwrite.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Kind;

/// Transfers that have ended and were not asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    ended: VecDeque<(usize, io::Result<usize>)>,
}

impl Plain {
    /// Carries a transfer out, perhaps short.
    pub(crate) fn perform(&mut self, slot: usize, kind: Kind, file: &File, bytes: &mut [u8], offset: u64) {
        let result = match kind {
            Kind::Read => file.read_at(bytes, offset),
            Kind::Write => file.write_at(bytes, offset),
        };
        self.ended.push_back((slot, result));
    }

    /// The next one that has ended.
    pub(crate) fn next_ended(&mut self) -> Option<(usize, io::Result<usize>)> {
        self.ended.pop_front()
    }
}
