//! When an append is certain: what follows from what was heard of an attempt, and from what stands at its sequence. Without I/O.
//!
//! An append whose outcome is unknown is settled by occupying the next sequence: the same bytes go out again with the same expected
//! sequence until they are acknowledged or another message stands there. Finding nothing there is not final: a write that timed out
//! can still land.

/// What was heard of one attempt to append right after `expected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heard {
    /// It was stored at this sequence.
    Acknowledged(u64),
    /// Something else stands at the sequence, or this message does.
    Occupied,
    /// It was not stored, and never will be as it is.
    Refused,
    /// It may have been stored, or may still be.
    Unknown,
    /// The server is not ready; this attempt was not stored.
    NotReady,
}

/// What stands at the sequence that an append was to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stands {
    /// Its own bytes.
    Ours,
    /// Another message.
    Another,
    /// Nothing; the log ends here.
    Nothing(u64),
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Our message stands there: what it decided may be answered.
    Landed,
    /// It does not: the state must be folded again, and nothing is answered.
    Lost,
    /// Look what stands there.
    Look,
    /// Send the same bytes with the same expected sequence.
    Again,
    /// The log is damaged: it acknowledged another sequence, or is shorter than what it acknowledged before.
    Damaged,
}

/// What follows from an attempt.
#[must_use]
pub fn after_attempt(expected: u64, heard: Heard) -> Next {
    match heard {
        Heard::Acknowledged(sequence) if sequence == expected + 1 => Next::Landed,
        Heard::Acknowledged(_) => Next::Damaged,
        Heard::Occupied => Next::Look,
        Heard::Refused => Next::Lost,
        Heard::Unknown | Heard::NotReady => Next::Again,
    }
}

/// What follows from what stands there.
#[must_use]
pub fn after_look(expected: u64, stands: Stands) -> Next {
    match stands {
        Stands::Ours => Next::Landed,
        Stands::Another => Next::Lost,
        Stands::Nothing(last) if last < expected => Next::Damaged,
        Stands::Nothing(last) if last > expected => Next::Lost,
        Stands::Nothing(_) => Next::Again,
    }
}

/// Whether what is applied is all that a log holds: landed where it is, lost where the log goes on.
#[must_use]
pub fn after_end(applied: u64, last: u64) -> Next {
    match last {
        last if last < applied => Next::Damaged,
        last if last > applied => Next::Lost,
        _ => Next::Landed,
    }
}
