//! Refusals: what was refused, why, and what to do next. A refusal changes nothing.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a caller can do about a refusal; decides the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// The request itself is wrong (exit 2).
    Invalid,
    /// Not permitted in the present state (exit 3).
    Refused,
    /// What is named does not exist (exit 4).
    NotFound,
    /// Try again: not the leader, or its log is not reachable (exit 69).
    Unavailable,
    /// The command id is older than the memory of replies (exit 3).
    TooOld,
    /// A limit was hit (exit 3).
    Limit,
}

impl RefusalCode {
    /// Exit code of the command line (docs/cli.md).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::Refused | Self::TooOld | Self::Limit => 3,
            Self::NotFound => 4,
            Self::Unavailable => 69,
        }
    }
}

/// A place in a text that is wrong: bytes `from..to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub text: String,
    /// First wrong byte.
    pub from: usize,
    /// Byte after the last wrong one.
    pub to: usize,
}

/// What was refused, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What a caller can do about it.
    pub code: RefusalCode,
    /// What was refused: `start high-io`.
    pub what: String,
    /// Why: `no machine has a free disk`.
    pub why: String,
    /// What to do next; never empty.
    pub next: String,
    /// The place that is wrong, where one can be marked.
    pub place: Option<Place>,
    /// The same is taken after so many milliseconds. A `Duration` would make every result that can be a refusal larger than 128 bytes.
    pub again_after_ms: Option<NonZeroU32>,
}

impl Refusal {
    /// A refusal without a marked place.
    #[must_use]
    pub fn new(code: RefusalCode, what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, what: what.into(), why: why.into(), next: next.into(), place: None, again_after_ms: None }
    }

    /// The same refusal, of what is taken after a while; whole milliseconds.
    #[must_use]
    pub fn with_again_after(mut self, wait: Duration) -> Self {
        self.again_after_ms = NonZeroU32::new(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// The same is taken after this: the caller waits, and asks again.
    #[must_use]
    pub fn again_after(&self) -> Option<Duration> {
        self.again_after_ms.map(|milliseconds| Duration::from_millis(milliseconds.get().into()))
    }

    /// The same refusal with a place marked.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.what, self.why, self.next)
    }
}

impl std::error::Error for Refusal {}
