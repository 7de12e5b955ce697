//! What a test does first when data are wrong.

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is reported, and the test ends.
    #[default]
    Report,
    /// It is reported, and the test goes on; it fails in the end.
    Continue,
}

impl OnError {
    /// How they are written.
    pub const NAMES: [&str; 2] = ["report", "continue"];

    /// Reads one; nothing at all means the first.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "report" => Some(Self::Report),
            "continue" => Some(Self::Continue),
            _ => None,
        }
    }
}
