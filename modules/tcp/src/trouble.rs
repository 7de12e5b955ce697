//! What ends the test before its time, by what it says of the product.

use muster_sdk::{ParameterError, PeerError};

/// Why the test ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Data were corrupt, here or at the peer: the product failed. It was reported already, where it was found.
    #[error("{0}")]
    Corrupt(String),
    /// A stop came before the peer.
    #[error("stopped before it met its peer")]
    NotMet,
    /// The peer is not there, or no longer; this says nothing of the product.
    #[error("{0}")]
    Gone(String),
    /// A parameter is wrong.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// There is no peer to talk to.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The test could not be done; this says nothing of the product.
    #[error("{0}")]
    Setting(String),
}
