//! Why a driver did not do what it was told, by what its caller can do about it.

/// Why a driver did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Nothing was begun: something is missing here, or the driver has no such action. Another try changes nothing by itself.
    #[error("{0}")]
    Unable(String),
    /// The other side was asked, and said that it failed.
    #[error("{0}")]
    Refused(String),
    /// It was begun, and nobody knows what came of it: only the machine itself is evidence. Never repeat it blindly.
    #[error("{0}")]
    Unclear(String),
}

impl DriverError {
    /// Whether something may have been done to the machine.
    #[must_use]
    pub fn was_begun(&self) -> bool {
        match self {
            Self::Unable(_) => false,
            Self::Refused(_) | Self::Unclear(_) => true,
        }
    }
}
