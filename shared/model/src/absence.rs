//! The words of an announced absence: a test says that its own machine goes away, before it does.

use std::fmt;
use std::time::Duration;

/// How a machine goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Absence {
    /// Its agent reboots it.
    Reboot,
    /// The test shuts it down; somebody switches it on again.
    Shutdown,
    /// The test crashes it.
    Crash,
}

impl Absence {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Reboot, Self::Shutdown, Self::Crash];
    /// A machine is awaited for no less.
    pub const WITHIN_MIN: Duration = Duration::from_secs(1);
    /// A machine is awaited for no longer.
    pub const WITHIN_MAX: Duration = Duration::from_secs(24 * 3_600);

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::Shutdown => "shutdown",
            Self::Crash => "crash",
        }
    }

    /// The absence of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|absence| absence.as_str() == word)
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for absence in Absence::ALL {
            assert_eq!(Absence::parse(absence.as_str()), Some(absence));
        }
        assert_eq!(Absence::parse("holiday"), None);
    }
}
