//! Lines out of what is read in pieces.

use muster_module_protocol::{LINE_BYTES_MAX, ModuleMessage, decode_line};

/// What was received and is no whole line yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    part: Vec<u8>,
}

/// More than a line may have came without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    /// Takes what was read; gives the messages that are whole now. What is not understood is passed over.
    pub(super) fn take(&mut self, mut read: &[u8], messages: &mut Vec<ModuleMessage>) -> Result<(), TooLong> {
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = read.split_at(end + 1);
            if self.part.len() + line.len() > LINE_BYTES_MAX {
                return Err(TooLong);
            }
            if self.part.is_empty() {
                messages.extend(decode(line));
            } else {
                self.part.extend_from_slice(line);
                // Most connections are in the middle of no line: they keep no memory.
                messages.extend(decode(&std::mem::take(&mut self.part)));
            }
            read = rest;
        }
        self.part.extend_from_slice(read);
        if self.part.len() >= LINE_BYTES_MAX { Err(TooLong) } else { Ok(()) }
    }
}

fn decode(line: &[u8]) -> Option<ModuleMessage> {
    decode_line(line).unwrap_or_else(|error| {
        tracing::debug!(%error, "a module said something that is not understood");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pong(n: u64) -> ModuleMessage {
        ModuleMessage::Pong { n, iterations: 7 }
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let said = b"{\"type\":\"pong\",\"n\":1,\"iterations\":7}\nno message\n{\"type\":\"later\"}\n{\"type\":\"pong\",\"n\":2,\"iterations\":7}\n";
        for size in 1..=said.len() {
            let (mut lines, mut messages) = (Lines::default(), Vec::new());
            for piece in said.chunks(size) {
                lines.take(piece, &mut messages).unwrap();
            }
            assert_eq!(messages, [pong(1), pong(2)], "in pieces of {size}");
            assert_eq!(lines.part.capacity(), 0, "nothing is kept");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_and_the_longest_that_may_be_is_not() {
        let (mut lines, mut messages) = (Lines::default(), Vec::new());
        assert_eq!(lines.take(&vec![b' '; LINE_BYTES_MAX - 1], &mut messages), Ok(()));
        assert_eq!(lines.take(b"\n", &mut messages), Ok(()));
        assert_eq!(lines.take(&vec![b' '; LINE_BYTES_MAX - 1], &mut messages), Ok(()));
        assert_eq!(lines.take(b" ", &mut messages), Err(TooLong));
        let mut lines = Lines::default();
        let mut long = vec![b' '; LINE_BYTES_MAX];
        long.push(b'\n');
        assert_eq!(lines.take(&long, &mut messages), Err(TooLong));
        assert!(messages.is_empty());
    }
}
