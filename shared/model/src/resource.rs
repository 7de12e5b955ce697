//! Kinds of resources: what tests may use of a machine.

use std::fmt;

/// The type of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// One logical CPU.
    Cpu,
    /// A disk, or a directory that stands for one.
    Disk,
    /// A network interface.
    Nic,
    /// The machine's memory as a whole.
    Memory,
    /// A tape drive.
    Tape,
}

impl ResourceKind {
    /// All kinds, in order.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Disk, Self::Nic, Self::Memory, Self::Tape];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Nic => "nic",
            Self::Memory => "memory",
            Self::Tape => "tape",
        }
    }

    /// The kind that a word names; none where no kind has that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// All kinds in words, for a hint.
    #[must_use]
    pub fn words() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// Load number of a resource for which none was set: processes that fit comfortably at once. A logical CPU is shared by 8
    /// mostly waiting test processes; a disk keeps 32 requests in flight (the depth of a SATA queue); a NIC feeds 16 streams before
    /// they starve one another; memory as a whole takes 64 processes; a tape has one position.
    #[must_use]
    pub fn default_load(self) -> u32 {
        match self {
            Self::Cpu => 8,
            Self::Disk => 32,
            Self::Nic => 16,
            Self::Memory => 64,
            Self::Tape => 1,
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_from_its_word_and_nothing_else_is() {
        for kind in ResourceKind::ALL {
            assert_eq!(ResourceKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(ResourceKind::from_word("CPU"), None);
        assert_eq!(ResourceKind::from_word(""), None);
    }
}
