//! What came of a machine's boots, and what trouble it made: the words that its flakiness is counted in.

use std::collections::BTreeMap;
use std::fmt;

use crate::BootVerdict;

/// The end of a boot, or a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occurrence {
    /// The kernel that was ordered runs: the only one that is no failure.
    Verified,
    /// Another kernel came up.
    WrongKernel,
    /// Another build of the kernel came up.
    WrongBuild,
    /// No new boot was seen in time.
    StaleBoot,
    /// A proven kernel was left without an order.
    CrashedBack,
    /// A kernel could not be installed.
    InstallFailed,
    /// Its power was not switched.
    PowerFailed,
    /// Nobody can tell whether its power was switched.
    PowerUnclear,
    /// It was in use, and went down by itself.
    WentDown,
    /// It booted, and nobody had ordered that.
    UnorderedBoot,
}

impl Occurrence {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::Verified,
        Self::WrongKernel,
        Self::WrongBuild,
        Self::StaleBoot,
        Self::CrashedBack,
        Self::InstallFailed,
        Self::PowerFailed,
        Self::PowerUnclear,
        Self::WentDown,
        Self::UnorderedBoot,
    ];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::WrongKernel => "wrong_kernel",
            Self::WrongBuild => "wrong_build",
            Self::StaleBoot => "stale_boot",
            Self::CrashedBack => "crashed_back",
            Self::InstallFailed => "install_failed",
            Self::PowerFailed => "power_failed",
            Self::PowerUnclear => "power_unclear",
            Self::WentDown => "went_down",
            Self::UnorderedBoot => "unordered_boot",
        }
    }

    /// Not as it should be.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self != Self::Verified
    }

    /// How many failures of which kind there are: the most frequent kind first.
    #[must_use]
    pub fn failures(found: impl IntoIterator<Item = Self>) -> Vec<(Self, usize)> {
        let mut counts = BTreeMap::<Self, usize>::new();
        for failure in found.into_iter().filter(|found| found.is_failure()) {
            *counts.entry(failure).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}

impl From<BootVerdict> for Occurrence {
    fn from(verdict: BootVerdict) -> Self {
        match verdict {
            BootVerdict::Verified => Self::Verified,
            BootVerdict::WrongKernel => Self::WrongKernel,
            BootVerdict::WrongBuild => Self::WrongBuild,
            BootVerdict::StaleBoot => Self::StaleBoot,
            BootVerdict::CrashedBack => Self::CrashedBack,
        }
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Occurrence::{StaleBoot, Verified, WentDown, WrongKernel};
    use super::*;

    #[test]
    fn failures_are_counted_by_kind_and_what_went_well_is_none() {
        let found = [WentDown, Verified, StaleBoot, StaleBoot, Verified, WrongKernel];
        assert_eq!(Occurrence::failures(found), [(StaleBoot, 2), (WrongKernel, 1), (WentDown, 1)]);
        assert_eq!(Occurrence::failures([Verified]), []);
    }

    #[test]
    fn words_are_those_of_verdicts_where_there_is_one() {
        for verdict in BootVerdict::ALL {
            assert_eq!(Occurrence::from(verdict).as_str(), verdict.as_str());
        }
    }
}
