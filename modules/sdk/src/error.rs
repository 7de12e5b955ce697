//! Why a module can not begin.

use std::path::PathBuf;

use muster_module_protocol::PEER_WORDS_MAX_BYTES;

/// A parameter that is missing or can not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Neither given nor defaulted.
    #[error("parameter `{0}` is required: give it with --param {0}=VALUE")]
    Missing(String),
    /// Given, but not of its type or out of its range.
    #[error("parameter `{name}` can not be `{value}`: {reason}")]
    Invalid {
        /// Name.
        name: String,
        /// What was given.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

impl ParameterError {
    /// A value that is wrong for a reason that only the module knows.
    #[must_use]
    pub fn invalid(name: &str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { name: name.into(), value: value.into(), reason: reason.into() }
    }
}

/// Why words can not be said to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The process has no gang.
    #[error("this process has no gang: start the module with roles in its manifest, or by hand with --role and --peer")]
    NoGang,
    /// The gang has no other member of that role.
    #[error("the gang has no other member with the role `{0}`")]
    NoRole(String),
    /// The words are too long.
    #[error("{0} bytes of words are more than a peer takes: at most {max}", max = PEER_WORDS_MAX_BYTES)]
    TooLong(usize),
}

/// Why a session can not begin.
#[derive(Debug, thiserror::Error)]
pub enum SdkError {
    /// The environment lacks a variable that goes with the agent's socket.
    #[error("environment variable {0} is not set, though MUSTER_SOCKET is")]
    Environment(&'static str),
    /// The context file can not be read.
    #[error("failed to read context {0}")]
    ReadContext(PathBuf, #[source] std::io::Error),
    /// The context file is not a context.
    #[error("context {0} is not valid")]
    ParseContext(PathBuf, #[source] serde_json::Error),
    /// The module's own manifest is wrong.
    #[error("this module's manifest is not valid")]
    Manifest(#[from] toml::de::Error),
    /// A wrong command line.
    #[error("{0}; see --help")]
    Usage(String),
    /// The place where a gang meets by hand can not be used.
    #[error("failed to meet the peer at {0} (--peer)")]
    MeetingPlace(String, #[source] std::io::Error),
    /// The agent did not say start.
    #[error("no agent answered on {0} for two minutes")]
    NoAgent(PathBuf),
    /// The operating system refused what the session needs.
    #[error("failed to set up the session")]
    System(#[from] std::io::Error),
}
