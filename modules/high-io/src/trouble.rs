//! What ends the test before its time, by what it says of the disk.

use std::io;
use std::path::Path;

use muster_sdk::ParameterError;

/// Why the test ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Data were corrupt: the disk failed. It was reported already.
    #[error("{0}")]
    Corrupt(String),
    /// The disk reported an error of its own: it failed.
    #[error("{0}")]
    Device(String),
    /// A parameter is wrong.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The test could not be done; this says nothing of the disk.
    #[error("{0}")]
    Setting(String),
}

impl Trouble {
    /// What an error of an operation on a file means.
    pub(crate) fn of(operation: &str, path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        match error.raw_os_error() {
            Some(libc::EIO | libc::ENODATA | libc::EILSEQ | libc::ETIMEDOUT | libc::EREMOTEIO) => {
                Self::Device(format!("{operation} of {path} failed: {error}"))
            }
            Some(libc::ENOSPC | libc::EDQUOT) => Self::Setting(format!(
                "disk full: no room for {operation} of {path}; make file_size smaller or free space"
            )),
            _ => Self::Setting(format!("{operation} of {path} failed: {error}")),
        }
    }
}
