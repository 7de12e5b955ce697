//! The words for why an entry of a decision log stands there.

use crate::v1::{Entry, cause::Kind};

impl Entry {
    /// Why it was decided, in one word: `command`, `own`, `followed`, ...
    #[must_use]
    pub fn cause_word(&self) -> &'static str {
        match self.cause.as_ref().and_then(|cause| cause.kind.as_ref()) {
            None => "unknown",
            Some(Kind::Genesis(_)) => "genesis",
            Some(Kind::LeaderStarted(_)) => "leader_started",
            Some(Kind::Command(_)) => "command",
            Some(Kind::Followed(_)) => "followed",
            Some(Kind::Own(_)) => "own",
            Some(Kind::Rejected(_)) => "rejected",
        }
    }
}
