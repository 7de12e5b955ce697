//! Phases: what is on a machine, and which follows which.

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
