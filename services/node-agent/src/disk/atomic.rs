//! Files that are replaced as a whole, and are on the disk when the call returns.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file: after any crash it has the old or the new content.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_directory_of(path)
}

/// Makes the entry of a file in its directory durable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
