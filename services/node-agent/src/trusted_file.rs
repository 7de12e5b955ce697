//! Files in which root says what is permitted on this machine. Nothing that comes over the bus can permit more: a file that others
//! could have written is not believed, and a change is seen by whoever looks next.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

/// A file is not read beyond this.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// A file that was changed so shortly before it was read may be changed again without another time of change.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// Bits of a mode that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;
/// In such a folder everybody may only touch what is theirs.
const STICKY: u32 = 0o1000;

/// What such a file says. Without a file it is the default.
pub(crate) trait Trusted: Default {
    /// Understands the text.
    ///
    /// # Errors
    /// It says what is not understood.
    fn parse(text: &str) -> anyhow::Result<Self>;
}

/// The file: looked at whenever it matters, and read again where it is another than it was.
#[derive(Debug)]
pub(crate) struct TrustedFile<P> {
    path: PathBuf,
    known: Mutex<Option<(Stamp, Arc<P>)>>,
}

/// What a change of a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    trust: (u32, u32),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (meta.dev(), meta.ino()),
            size: meta.len(),
            trust: (meta.uid(), meta.mode()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whoever changes the file from now on gives it another time of change.
    fn is_settled(&self) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| now > changed + SETTLED_AFTER)
    }
}

impl<P: Trusted> TrustedFile<P> {
    /// The file at this path, which need not be there.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), known: Mutex::default() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now.
    ///
    /// # Errors
    /// As [`read`].
    pub(crate) fn read(&self) -> anyhow::Result<Arc<P>> {
        let stamp = Stamp::of(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(stamp), Some((of, said))) = (&stamp, &*known)
            && stamp == of
        {
            return Ok(Arc::clone(said));
        }
        // The stamp is older than what is read: a change in between is noticed the next time.
        let settled = stamp.filter(Stamp::is_settled);
        *known = None;
        let said = Arc::new(read(&self.path)?);
        *known = settled.map(|stamp| (stamp, Arc::clone(&said)));
        Ok(said)
    }

    /// It is not read again as long as it does not change.
    #[cfg(test)]
    pub(crate) fn is_known(&self) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Reads a file. One that is not there says nothing.
///
/// # Errors
/// As [`text`], or it says what is not understood.
pub(crate) fn read<P: Trusted>(path: &Path) -> anyhow::Result<P> {
    let Some(text) = text(path)? else { return Ok(P::default()) };
    P::parse(&text).with_context(|| format!("understand {}", path.display()))
}

/// What is written in a file by which somebody at this machine decides; none where it is not there.
///
/// # Errors
/// It can not be read, or others than its owner could have written it.
pub(crate) fn text(path: &Path) -> anyhow::Result<Option<String>> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let own = rustix::process::geteuid().as_raw();
    ensure!(
        (meta.uid() == 0 || meta.uid() == own) && meta.mode() & OTHERS_WRITE == 0,
        "trust {}: it has to belong to root and be writable by its owner alone (chown root, chmod 644)",
        path.display()
    );
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mode = std::fs::metadata(folder).with_context(|| format!("look at {}", folder.display()))?.mode();
        ensure!(
            mode & OTHERS_WRITE == 0 || mode & STICKY != 0,
            "trust {}: others may replace it, because they may write to {} (chmod go-w)",
            path.display(),
            folder.display()
        );
    }
    ensure!(meta.len() <= FILE_BYTES_MAX, "read {}: it is larger than {FILE_BYTES_MAX} bytes", path.display());
    std::fs::read_to_string(path).map(Some).with_context(|| format!("read {}", path.display()))
}
