//! What is in the agent's state directory is for root alone: test processes pass through to what is theirs, and read nothing else.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Directories through which test processes reach what is theirs: their work, what they keep, their program, their disk.
pub(crate) const PASSED_THROUGH: [&str; 4] = ["work", "kept", "cache", "areas"];
/// Passed through by everybody, read by its owner.
const PASS_MODE: u32 = 0o711;
/// What others may do, all of it.
const OTHERS: u32 = 0o077;
/// Files that test processes open by name, and how.
const SHARED_FILES: [(&str, u32); 2] = [("pulses", 0o644), ("agent.sock", 0o666)];

/// From here on, what this process makes is for its user alone.
pub(crate) fn begin() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(OTHERS));
}

/// Closes a state directory to others, whatever an earlier version left open. A file system without modes stays as it is.
pub(crate) fn close(state: &Path) {
    close_one(state, PASS_MODE);
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        let Ok(meta) = entry.path().symlink_metadata() else { continue };
        let name = entry.file_name();
        let mode = match SHARED_FILES.iter().find(|(shared, _)| name == *shared) {
            Some((_, mode)) => *mode,
            None if PASSED_THROUGH.iter().any(|passed| name == *passed) => PASS_MODE,
            None => meta.mode() & 0o7777 & !OTHERS,
        };
        if !meta.is_symlink() && meta.mode() & 0o7777 != mode {
            close_one(&entry.path(), mode);
        }
    }
}

fn close_one(path: &Path, mode: u32) {
    if let Err(error) = set(path, mode) {
        tracing::warn!(%error, path = %path.display(), "what is the agent's own can not be closed to others");
    }
}

/// Makes a directory through which test processes pass.
pub(crate) fn make_passage(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    set(path, PASS_MODE)
}

/// Lets test processes open a file that has just been made.
pub(crate) fn open_to_tests(path: &Path, mode: u32) -> io::Result<()> {
    set(path, mode)
}

fn set(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_state_directory_is_closed_but_for_what_tests_need() {
        let state = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32, is_directory: bool| {
            let path = state.path().join(name);
            if is_directory {
                std::fs::create_dir(&path).unwrap()
            } else {
                std::fs::write(&path, "x").unwrap()
            }
            set(&path, mode).unwrap();
        };
        for (name, mode, is_directory) in
            [("work", 0o755, true), ("keeper", 0o755, true), ("intents.jsonl", 0o644, false), ("pulses", 0o600, false)]
        {
            make(name, mode, is_directory);
        }
        close(state.path());
        let mode = |name: &str| std::fs::metadata(state.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!(["", "work", "keeper", "intents.jsonl", "pulses"].map(mode), [0o711, 0o711, 0o700, 0o600, 0o644]);
    }
}
