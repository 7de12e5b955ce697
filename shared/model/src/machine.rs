//! The words of a machine that every part shares: its phase, and the flags that people set. Two axes that are never mixed.

use std::fmt;

/// What is on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// Nothing on it can be trusted.
    #[default]
    Dirty,
    /// Being taken back to a known state.
    Reverting,
    /// Waiting for its ready check.
    Settling,
    /// A kernel is being installed.
    Installing,
    /// Going down and coming up.
    Rebooting,
    /// Up again; its boot is being proven.
    Verifying,
    /// Usable.
    Ready,
    /// Given up after its attempts were spent.
    Offline,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 8] = [
        Self::Dirty,
        Self::Reverting,
        Self::Settling,
        Self::Installing,
        Self::Rebooting,
        Self::Verifying,
        Self::Ready,
        Self::Offline,
    ];

    /// The transition is listed (invariant I8). Forward step by step; back to where a retry begins; dirty from anywhere; offline from
    /// every step that can spend its attempts; ready from dirty and offline by a hello, where no driver prepares machines.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use Phase::{Dirty, Installing, Offline, Ready, Rebooting, Reverting, Settling, Verifying};
        match self {
            Dirty => matches!(next, Reverting | Settling | Ready | Offline),
            Reverting => matches!(next, Settling | Dirty | Offline),
            Settling => matches!(next, Installing | Ready | Reverting | Dirty | Offline),
            Installing => matches!(next, Rebooting | Reverting | Dirty | Offline),
            Rebooting => matches!(next, Verifying | Installing | Dirty | Offline),
            Verifying => matches!(next, Ready | Rebooting | Installing | Dirty | Offline),
            Ready => matches!(next, Dirty | Reverting | Settling | Installing | Rebooting),
            Offline => matches!(next, Dirty | Ready),
        }
    }

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dirty => "dirty",
            Self::Reverting => "reverting",
            Self::Settling => "settling",
            Self::Installing => "installing",
            Self::Rebooting => "rebooting",
            Self::Verifying => "verifying",
            Self::Ready => "ready",
            Self::Offline => "offline",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Set by people only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Takes part.
    Active,
    /// Out for a while.
    Maintenance,
    /// Out for good.
    Retired,
}

impl Flag {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Maintenance => "maintenance",
            Self::Retired => "retired",
        }
    }
}

/// The flags of a machine. A new one has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Takes part.
    pub active: bool,
    /// Out for a while.
    pub maintenance: bool,
    /// Out for good.
    pub retired: bool,
}

impl Flags {
    /// Value of a flag.
    #[must_use]
    pub fn get(self, flag: Flag) -> bool {
        match flag {
            Flag::Active => self.active,
            Flag::Maintenance => self.maintenance,
            Flag::Retired => self.retired,
        }
    }

    /// Sets a flag.
    pub fn set(&mut self, flag: Flag, value: bool) {
        match flag {
            Flag::Active => self.active = value,
            Flag::Maintenance => self.maintenance = value,
            Flag::Retired => self.retired = value,
        }
    }

    /// It takes part: whether it is well counts for the brake.
    #[must_use]
    pub fn takes_part(self) -> bool {
        self.active && !self.maintenance && !self.retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant I8: the whole table of phases, as it is meant to be.
    #[test]
    fn only_listed_transitions_of_phase_are_legal() {
        use Phase::{Dirty, Installing, Offline, Ready, Rebooting, Reverting, Settling, Verifying};
        let table: [(Phase, &[Phase]); 8] = [
            (Dirty, &[Reverting, Settling, Ready, Offline]),
            (Reverting, &[Dirty, Settling, Offline]),
            (Settling, &[Dirty, Reverting, Installing, Ready, Offline]),
            (Installing, &[Dirty, Reverting, Rebooting, Offline]),
            (Rebooting, &[Dirty, Installing, Verifying, Offline]),
            (Verifying, &[Dirty, Installing, Rebooting, Ready, Offline]),
            (Ready, &[Dirty, Reverting, Settling, Installing, Rebooting]),
            (Offline, &[Dirty, Ready]),
        ];
        for (from, legal) in table {
            for to in Phase::ALL {
                assert_eq!(from.may_become(to), legal.contains(&to), "{from:?} -> {to:?}");
            }
        }
    }
}
