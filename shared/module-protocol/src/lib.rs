//! The module protocol: what a test process and its agent say to each other, and what a module says of itself.
//!
//! Language-neutral: one JSON object a line over a Unix socket; stdout and stderr are the log. Context comes as environment
//! variables and one JSON file. No I/O here; muster-sdk speaks it for modules, the agent for machines.

mod client;
mod context;
mod line;
mod manifest;
mod message;
mod wish;

pub use client::{Asker, ask_as_holder};
pub use context::{Context, ContextGang, ContextMember, ContextResource, SYSTEM_PATH, environment};
pub use line::{LINE_BYTES_MAX, Line, LineError, decode_line, encode_line};
pub use manifest::{Manifest, ManifestArtifact, ManifestParameter, ManifestRequirement};
pub use message::{
    AgentMessage, Corruption, ModuleMessage, Outcome, PEER_WORDS_MAX_BYTES, PROTOCOL, Status, SyncEnd, Vote,
};
pub use wish::{Client, ClientWish, HolderWish};
