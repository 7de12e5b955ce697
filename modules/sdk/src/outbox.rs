//! Lines that wait for the agent: bounded, and what can be spared goes first.

use std::collections::VecDeque;

/// Most lines that wait.
const LINES_MAX: usize = 4096;
/// Most bytes that wait.
const BYTES_MAX: usize = 1024 * 1024;

/// What may be dropped when the agent is away for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Metrics and events: counters are totals, so later ones say it again.
    Spare,
    /// Corruption, artifacts, ready.
    Keep,
    /// The last line.
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    pub(crate) worth: Worth,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lines: VecDeque<Line>,
    bytes: usize,
    dropped: u64,
}

impl Outbox {
    /// Adds a line; the oldest that can be spared makes room, else the new one is dropped. Done is never dropped.
    pub(crate) fn push(&mut self, line: Line) {
        while self.lines.len() >= LINES_MAX || self.bytes + line.bytes.len() > BYTES_MAX {
            let Some(at) = self.lines.iter().position(|line| line.worth == Worth::Spare) else { break };
            if let Some(spared) = self.lines.remove(at) {
                self.bytes -= spared.bytes.len();
                self.dropped += 1;
            }
        }
        let full = self.lines.len() >= LINES_MAX || self.bytes + line.bytes.len() > BYTES_MAX;
        if full && line.worth != Worth::Done {
            self.dropped += 1;
        } else {
            self.bytes += line.bytes.len();
            self.lines.push_back(line);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Line> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.bytes.len();
        Some(line)
    }

    /// Puts a line back that did not reach the agent.
    pub(crate) fn put_back(&mut self, line: Line) {
        self.bytes += line.bytes.len();
        self.lines.push_front(line);
    }

    /// Lines dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(worth: Worth, size: usize) -> Line {
        Line { bytes: vec![b'x'; size], worth }
    }

    #[test]
    fn a_full_outbox_drops_what_can_be_spared_and_never_done() {
        let mut outbox = Outbox::default();
        outbox.push(line(Worth::Keep, 10));
        for _ in 0..LINES_MAX + 5 {
            outbox.push(line(Worth::Spare, 10));
        }
        assert_eq!(outbox.take_dropped(), 6);
        assert_eq!(outbox.lines.len(), LINES_MAX);
        for _ in 0..2 * LINES_MAX {
            outbox.push(line(Worth::Keep, 10));
        }
        outbox.push(line(Worth::Spare, 10));
        outbox.push(line(Worth::Done, 10));
        assert_eq!(outbox.lines.len(), LINES_MAX + 1);
        assert!(outbox.take_dropped() > 0);
        assert_eq!(std::iter::from_fn(|| outbox.pop()).last(), Some(line(Worth::Done, 10)));
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.push(line(Worth::Spare, 60_000));
        }
        assert!(outbox.bytes <= BYTES_MAX);
        assert_eq!(outbox.take_dropped(), 100 - u64::try_from(BYTES_MAX / 60_000).unwrap());
    }
}
