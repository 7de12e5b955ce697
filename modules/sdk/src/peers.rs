//! What the members of a gang say to each other. Agents carry words without keeping them: what is lost is lost, so whoever needs
//! an answer asks again.

use std::time::{Duration, Instant};

/// Pause before an unanswered question is asked again.
const REPEAT: Duration = Duration::from_secs(1);

/// Words of another member of the gang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerWords {
    /// Its role.
    pub role: String,
    /// Its DPID, as printed.
    pub dpid: String,
    /// What it said.
    pub words: String,
}

/// Whom words are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// The other members with this role.
    Role(&'a str),
    /// Every other member.
    Everyone,
}

/// A question that is asked until it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Whom.
    pub to: To<'a>,
    /// What.
    pub words: &'a str,
    /// Until when.
    pub deadline: Instant,
    /// Pause before it is asked again.
    pub repeat: Duration,
}

impl<'a> Ask<'a> {
    /// A question that is asked every second.
    #[must_use]
    pub fn new(to: To<'a>, words: &'a str, deadline: Instant) -> Self {
        Self { to, words, deadline, repeat: REPEAT }
    }
}
