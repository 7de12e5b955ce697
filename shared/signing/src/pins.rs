//! The keys that a machine has pinned: for each service, by which keys it knows it. As text, one `signer SERVICE KEY` in each line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use muster_proto::v1::KeyChange;

use crate::change::{CHANGES_MAX, changed};
use crate::{KeyError, PublicKey, Signer};

/// Keys of one service at most.
pub const KEYS_MAX: usize = 8;
/// Stands before each key.
const LINE: &str = "signer ";

/// The keys that a machine has pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    keys: BTreeMap<Signer, Vec<PublicKey>>,
}

/// A text that pins nothing usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinsError {
    /// A line that is none.
    #[error("the line `{0}` does not say `signer SERVICE KEY`")]
    Line(String),
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A service without a key: nothing that it says would count.
    #[error("it pins no key of {}", .0.as_str())]
    Missing(Signer),
    /// A service with too many.
    #[error("it pins more than {KEYS_MAX} keys of {}", .0.as_str())]
    TooMany(Signer),
}

impl Pins {
    /// From text, in which every line that is neither empty nor a comment pins a key.
    ///
    /// # Errors
    /// Says what is wrong; a service that commands agents and has no key is.
    pub fn parse(text: &str) -> Result<Self, PinsError> {
        let mut pins = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || PinsError::Line(line.chars().take(100).collect());
            let (service, key) =
                line.strip_prefix(LINE).and_then(|rest| rest.trim().split_once(' ')).ok_or_else(wrong)?;
            let signer = Signer::parse(service).ok_or_else(wrong)?;
            pins.add(signer, PublicKey::parse(key.trim())?);
        }
        for signer in Signer::ALL {
            match pins.of(signer).len() {
                0 => return Err(PinsError::Missing(signer)),
                1..=KEYS_MAX => {}
                _ => return Err(PinsError::TooMany(signer)),
            }
        }
        Ok(pins)
    }

    /// From a text that has other lines too: a token.
    ///
    /// # Errors
    /// As [`Pins::parse`].
    pub fn within(text: &str) -> Result<Self, PinsError> {
        let lines = text.lines().filter(|line| line.starts_with(LINE));
        Self::parse(&lines.collect::<Vec<_>>().join("\n"))
    }

    /// Pins a key, once.
    pub fn add(&mut self, signer: Signer, key: PublicKey) {
        let keys = self.keys.entry(signer).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    /// The keys of a service.
    #[must_use]
    pub fn of(&self, signer: Signer) -> &[PublicKey] {
        self.keys.get(&signer).map_or(&[], Vec::as_slice)
    }

    /// As text.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (signer, keys) in &self.keys {
            for key in keys {
                let _ = writeln!(text, "{LINE}{} {}", signer.as_str(), key.as_str());
            }
        }
        text
    }

    /// The pins after the changes that a service says; none where they change nothing. A change that was not signed by who it says
    /// that it was, and all after it, count for nothing. No service is left without a key.
    #[must_use]
    pub fn changed(&self, signer: Signer, changes: &[KeyChange]) -> Option<Self> {
        let mut now = self.of(signer).to_vec();
        let before = now.len();
        let mut is_changed = false;
        for change in changes.iter().take(CHANGES_MAX) {
            match changed(&now, signer, change) {
                Ok(None) => {}
                Ok(Some(keys)) if (1..=KEYS_MAX.max(before)).contains(&keys.len()) => {
                    (now, is_changed) = (keys, true);
                }
                Ok(Some(_)) | Err(()) => break,
            }
        }
        if !is_changed {
            return None;
        }
        let mut pins = self.clone();
        pins.keys.insert(signer, now);
        Some(pins)
    }
}
