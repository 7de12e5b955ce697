//! Process states and verdicts: two axes that are never mixed.

use std::fmt;

/// Where a process stands (docs/glossary.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessState {
    /// Placed; not heard of yet.
    Starting,
    /// Its first ping was answered.
    Running,
    /// Three pings of 1 s were missed.
    Mia,
    /// Finishing: told to stop.
    Fip,
    /// Ended as it should. Final.
    Finished,
    /// Ended otherwise. Final.
    Dead,
    /// Its machine rebooted unannounced, was fenced, or was down for too long. Final.
    Lost,
    /// In an announced reboot.
    Away,
}

impl ProcessState {
    /// All states, in order.
    pub const ALL: [Self; 8] =
        [Self::Starting, Self::Running, Self::Mia, Self::Fip, Self::Finished, Self::Dead, Self::Lost, Self::Away];

    /// Nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Finished | Self::Dead | Self::Lost => true,
            Self::Starting | Self::Running | Self::Mia | Self::Fip | Self::Away => false,
        }
    }

    /// The transition is listed (invariant I8). A stop may overtake the first ping, so starting -> fip is listed too.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use ProcessState::{Away, Dead, Finished, Fip, Lost, Mia, Running, Starting};
        match self {
            Starting => matches!(next, Running | Fip | Finished | Dead | Lost),
            Running => matches!(next, Mia | Fip | Finished | Dead | Lost | Away),
            Mia => matches!(next, Running | Fip | Finished | Dead | Lost),
            Fip => matches!(next, Finished | Dead | Lost),
            // It goes on where its machine did not go away, and may end before that does.
            Away => matches!(next, Starting | Running | Fip | Finished | Dead | Lost),
            Finished | Dead | Lost => false,
        }
    }

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Mia => "mia",
            Self::Fip => "fip",
            Self::Finished => "finished",
            Self::Dead => "dead",
            Self::Lost => "lost",
            Self::Away => "away",
        }
    }
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a test says of the product. Trouble of the infrastructure is never a failure of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Verdict {
    /// None given.
    #[default]
    None,
    /// The product passed.
    Pass,
    /// The product failed.
    Fail,
    /// Could not be tried.
    Skip,
    /// The test or the infrastructure went wrong.
    Error,
}

impl Verdict {
    /// All verdicts, in order.
    pub const ALL: [Self; 5] = [Self::None, Self::Pass, Self::Fail, Self::Skip, Self::Error];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A status of wait(2), for people: `exited with 3`, `killed by signal 9`.
#[must_use]
pub fn describe_exit(status: i32) -> String {
    let signal = status & 0x7f;
    if signal == 0 { format!("exited with {}", (status >> 8) & 0xff) } else { format!("killed by signal {signal}") }
}
