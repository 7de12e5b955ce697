//! One owner of a directory at a time.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

/// Holds a directory for this process, until it is dropped or the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says that another process has it.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("lock {}: another process uses this state directory", path.display()))?;
        Ok(Self { _file: file })
    }
}
