//! What is done to a machine from outside, and what is seen of it.

use std::fmt;

/// Whether a machine has power, as its driver sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PowerState {
    /// It has.
    On,
    /// It has none.
    Off,
    /// The driver can not tell, or was told something that it does not understand.
    Unknown,
}

impl PowerState {
    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is done to the power of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PowerAction {
    /// Power is given.
    On,
    /// Power is taken away at once, whatever runs.
    Off,
    /// Off, a pause, and on.
    Cycle,
    /// The processors begin anew, and the power stays.
    Reset,
    /// The kernel is made to write a dump of itself, or its memory is written from outside.
    Dump,
}

impl PowerAction {
    /// All actions.
    pub const ALL: [Self; 5] = [Self::On, Self::Off, Self::Cycle, Self::Reset, Self::Dump];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Cycle => "cycle",
            Self::Reset => "reset",
            Self::Dump => "dump",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// The state that a machine is in once it was done.
    #[must_use]
    pub fn leads_to(self) -> PowerState {
        match self {
            Self::Off => PowerState::Off,
            Self::On | Self::Cycle | Self::Reset | Self::Dump => PowerState::On,
        }
    }
}

impl fmt::Display for PowerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is done with the snapshot of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotAction {
    /// What is on the machine now becomes its snapshot.
    Take,
    /// The machine is taken back to it.
    Revert,
}

impl SnapshotAction {
    /// All actions.
    pub const ALL: [Self; 2] = [Self::Take, Self::Revert];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Revert => "revert",
        }
    }
}

impl fmt::Display for SnapshotAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
