//! What ends the test before its time, by what it says of the memory.

use muster_sdk::ParameterError;

/// Why the test ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Data were corrupt. It was reported already.
    #[error("{0}")]
    Corrupt(String),
    /// A parameter is wrong.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The test could not be done; this says nothing of the memory.
    #[error("{0}")]
    Setting(String),
}
