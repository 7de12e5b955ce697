//! Signatures under what agents are told: who may say it, and that it was said to this machine, once.
//!
//! Responsible for keys, for what is signed, for keys that are pinned and how they change, and for judging a message. Pure: files with
//! keys are the bus's and the agent's. Not for what a message may do once it is known who says it (terms, epochs, incarnations and
//! generations are the agent's to compare).

mod change;
mod guard;
mod key;
mod pins;
mod seal;
mod statement;
mod window;

pub use change::{CHANGES_MAX, change};
pub use guard::{Guard, Occasion, Refused};
pub use key::{KeyError, PublicKey, Signer, SigningKey};
pub use pins::{KEYS_MAX, Pins, PinsError};
pub use seal::{Seal, content, seal};

#[cfg(test)]
mod tests;
