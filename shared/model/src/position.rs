//! Places in decision logs.

use std::fmt;

/// A life of a log: raised by one each time a lost log is rebuilt from the archive. 0 for streams that are not decision logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lineage(pub u64);

/// JetStream sequence in a stream; 0 is before the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// A place in a log. Orders by lineage, then by sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Life of the log.
    pub lineage: Lineage,
    /// Message in it.
    pub sequence: Sequence,
}

impl Position {
    /// Position of a message.
    #[must_use]
    pub fn new(lineage: u64, sequence: u64) -> Self {
        Self { lineage: Lineage(lineage), sequence: Sequence(sequence) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.lineage.0, self.sequence.0)
    }
}
