//! What ends the test before its time, by what it says of the product.

use muster_sdk::{ParameterError, PeerError};

/// Why the test ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A lock, or what it protects, was wrong. It was reported already.
    #[error("{0}")]
    Wrong(String),
    /// A stop came before the server was met.
    #[error("stopped before it met the lock server")]
    NotMet,
    /// The server or the clients are not there, or no longer; this says nothing of the product.
    #[error("{0}")]
    Gone(String),
    /// A parameter is wrong.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// There is nobody to ask for the server.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The test could not be done; this says nothing of the product.
    #[error("{0}")]
    Setting(String),
}
