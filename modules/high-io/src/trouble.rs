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
        let shown = path.display();
        match error.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO | libc::ENOMEDIUM | libc::ESHUTDOWN | libc::ESTALE) => {
                Self::gone(operation, path, error)
            }
            Some(libc::EIO | libc::ENODATA | libc::EILSEQ | libc::ETIMEDOUT | libc::EREMOTEIO) => {
                Self::Device(format!("{operation} of {shown} failed: {error}"))
            }
            Some(libc::ENOSPC | libc::EDQUOT) => Self::Setting(format!(
                "disk full: no room for {operation} of {shown}; make file_size smaller or free space"
            )),
            _ => Self::Setting(format!("{operation} of {shown} failed: {error}")),
        }
    }

    /// The device is not there any more: whether it broke or was taken away can not be told from here.
    pub(crate) fn gone(operation: &str, path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        Self::Setting(format!(
            "the disk has vanished: {operation} of {path} failed: {error}; look at the machine's kernel log and its cables"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_disk_is_its_failure_and_all_else_says_nothing_of_it() {
        let of =
            |number| Trouble::of("write of 512 bytes at 0", Path::new("/d/f"), &io::Error::from_raw_os_error(number));
        assert!(matches!(of(libc::EIO), Trouble::Device(text) if text.contains("of /d/f failed: Input/output error")));
        assert!(matches!(of(libc::ENOSPC), Trouble::Setting(text) if text.starts_with("disk full: no room for write")));
        assert!(matches!(of(libc::ENODEV), Trouble::Setting(text) if text.starts_with("the disk has vanished: write")));
        assert!(matches!(of(libc::EROFS), Trouble::Setting(text) if text.contains("Read-only file system")));
    }
}
