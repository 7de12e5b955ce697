//! Files that hold a secret: written whole and for their owner alone, and refused where others may read them.

use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes a file, readable by its owner alone. One that is there is replaced as a whole.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // What a broken off attempt left would keep its mode.
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Reads a file of at most `bytes_max`; says why not, without any of its content.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err("others than its owner may use it; chmod 600 it, and rotate the key if somebody did".into());
    }
    if metadata.len() > bytes_max {
        return Err("it is too large".into());
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
