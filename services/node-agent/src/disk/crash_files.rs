//! What is known of crashes and the files that they left, in one file.

use std::io;
use std::path::{Path, PathBuf};

use muster_model::FiringId;
use serde::{Deserialize, Serialize};

use super::atomic;
use crate::core::crash_files::{Crash, CrashFiles, Mark};

/// What is on the disk.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    boot: String,
    boot_before: String,
    /// Older agents did not say.
    #[serde(default = "yes")]
    looked: bool,
    /// Firing, and the boot that it ended.
    crash: Option<([u8; 16], String)>,
    /// Path, size and time of change; none before the first look.
    known: Option<Vec<(PathBuf, u64, i64)>>,
}

fn yes() -> bool {
    true
}

fn path_in(state: &Path) -> PathBuf {
    state.join("crash-files.json")
}

/// Reads it; nothing is known where the file is not there, or is not what it should be.
///
/// # Errors
/// The file can not be read.
pub(crate) fn read(state: &Path) -> io::Result<CrashFiles> {
    let content = match std::fs::read(path_in(state)) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CrashFiles::default()),
        Err(error) => return Err(error),
    };
    let saved: Saved = serde_json::from_slice(&content).unwrap_or_else(|error| {
        tracing::warn!(%error, "what was known of files of crashes is not understood: those that are there now are passed over");
        Saved::default()
    });
    let crash = saved.crash.map(|(firing, boot)| Crash { firing: FiringId(firing), boot });
    let known = saved
        .known
        .map(|known| known.into_iter().map(|(path, size, changed_ns)| (path, Mark { size, changed_ns })).collect());
    Ok(CrashFiles::read(saved.boot, saved.boot_before, saved.looked, crash, known))
}

/// Returns when it is on the disk.
///
/// # Errors
/// The disk does not take it.
pub(crate) fn write(state: &Path, files: &CrashFiles) -> io::Result<()> {
    let known = files.known.as_ref();
    let saved = Saved {
        boot: files.boot.clone(),
        boot_before: files.boot_before.clone(),
        looked: files.looked,
        crash: files.crash.as_ref().map(|crash| (crash.firing.0, crash.boot.clone())),
        known: known.map(|known| known.iter().map(|(path, mark)| (path.clone(), mark.size, mark.changed_ns)).collect()),
    };
    atomic::write(&path_in(state), &serde_json::to_vec(&saved).map_err(io::Error::other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_is_read_back() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read(state.path()).unwrap(), CrashFiles::default());
        let mut files = CrashFiles::default();
        files.begin("a", None);
        files.look([("/c/x".into(), Mark { size: 3, changed_ns: -4 })].into());
        files.begin("b", Some(FiringId([7; 16])));
        write(state.path(), &files).unwrap();
        let again = read(state.path()).unwrap();
        assert_eq!(
            (&again, again.firing()),
            (
                &CrashFiles::read("b".into(), "a".into(), false, files.crash.clone(), files.known.clone()),
                Some(FiringId([7; 16]))
            )
        );
        std::fs::write(state.path().join("crash-files.json"), "{").unwrap();
        assert_eq!(read(state.path()).unwrap(), CrashFiles::default());
    }
}
