//! The boot that a lab's agent pretends to be in.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static PRETENDED: OnceLock<Pretended> = OnceLock::new();

/// A boot that did not happen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Pretended {
    /// Its boot id.
    pub boot_id: String,
    /// Release and GNU build id of its kernel; none for those of the host.
    pub kernel: Option<(String, String)>,
    /// Its command line.
    pub command_line: String,
}

impl Pretended {
    /// Where it is kept.
    pub(crate) fn path(state: &Path) -> PathBuf {
        state.join("pretended-boot.json")
    }

    /// Pretends what the last life of this agent left, if anything.
    pub(crate) fn begin(state: &Path) {
        let left = std::fs::read(Self::path(state)).ok().and_then(|content| serde_json::from_slice(&content).ok());
        if let Some(pretended) = left {
            PRETENDED.get_or_init(|| pretended);
        }
    }

    pub(super) fn get() -> Option<&'static Self> {
        PRETENDED.get()
    }
}
