//! The file under test: made at the start, removed at the end, kept as evidence when its data were corrupt.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_sdk::{Context, Session};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;

use crate::settings::Settings;
use crate::transfer::Buffer;
use crate::trouble::Trouble;

/// A file of this process.
#[derive(Debug)]
pub(crate) struct Target {
    file: File,
    path: PathBuf,
    /// Transfers bypass the page cache.
    direct: bool,
}

impl Target {
    /// Makes the file and takes its space.
    pub(crate) fn create(session: &Session, settings: &Settings) -> Result<Self, Trouble> {
        check_directory(&settings.directory)?;
        let path = settings.directory.join(file_name(session.context()));
        let target = Self::open(session, settings, path)?;
        match target.prepare(settings) {
            Ok(()) => Ok(target),
            Err(error) => {
                target.remove(session);
                Err(Trouble::of("creation", &target.path, &error))
            }
        }
    }

    fn open(session: &Session, settings: &Settings, path: PathBuf) -> Result<Self, Trouble> {
        let sync = if settings.sync { libc::O_DSYNC } else { 0 };
        let open = |create: bool, flags: i32| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(create).custom_flags(flags | sync).mode(0o600).open(&path)
        };
        let trouble = |error: io::Error| Trouble::of("creation", &path, &error);
        drop(open(true, 0).map_err(trouble)?);
        let direct = open(false, libc::O_DIRECT).and_then(|file| {
            file.write_all_at(&Buffer::new(settings.block_bytes), 0)?;
            Ok(file)
        });
        let (file, direct) = match direct {
            Ok(file) => (file, true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                let text = format!("{} takes no direct I/O of {} bytes", path.display(), settings.block_bytes);
                session.event("buffered_io", &text);
                (open(false, 0).map_err(trouble)?, false)
            }
            Err(error) => {
                // What can not be written to is removed again; the first error is the one to tell.
                let _ = std::fs::remove_file(&path);
                return Err(trouble(error));
            }
        };
        Ok(Self { file, path, direct })
    }

    /// Takes the space, so that a full disk is found at once; where the file system can not, it is found by a write.
    fn prepare(&self, settings: &Settings) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, settings.file_bytes()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&self, buffer: &[u8], offset: u64) -> Result<(), Trouble> {
        self.file.write_all_at(buffer, offset).map_err(|error| self.trouble("write", buffer, offset, &error))
    }

    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        self.file.read_exact_at(buffer, offset).map_err(|error| self.trouble("read", buffer, offset, &error))
    }

    fn trouble(&self, operation: &str, buffer: &[u8], offset: u64, error: &io::Error) -> Trouble {
        Trouble::of(&format!("{operation} of {} bytes at {offset}", buffer.len()), &self.path, error)
    }

    /// Without direct I/O, brings what was written to the disk and forgets the copy in memory, so that reads come from the disk.
    pub(crate) fn forget_cached(&self) -> Result<(), Trouble> {
        if self.direct {
            return Ok(());
        }
        let flushed = self.file.sync_data().and_then(|()| Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?));
        flushed.map_err(|error| Trouble::of("flush", &self.path, &error))
    }

    /// Removes the file.
    pub(crate) fn remove(&self, session: &Session) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            session.event("file_left", &format!("{}: {error}", self.path.display()));
        }
    }

    /// Leaves the file where it is, and says so.
    pub(crate) fn keep_as_evidence(&self, session: &Session) {
        session.event("evidence_kept", &format!("{}: remove it when it was looked at", self.path.display()));
    }
}

/// `muster-<run>-<dpid>-<attempt>.dat`
fn file_name(context: &Context) -> String {
    format!("muster-{}-{}-{}.dat", context.run, context.dpid, context.attempt)
}

fn check_directory(path: &Path) -> Result<(), Trouble> {
    let kind = std::fs::metadata(path).map_err(|error| Trouble::of("opening", path, &error))?.file_type();
    if kind.is_dir() {
        return Ok(());
    }
    let what = if kind.is_block_device() { "a block device" } else { "no directory" };
    Err(Trouble::Setting(format!(
        "disk {} is {what}: high-io only works in directories; give it the directory of a mounted file system",
        path.display()
    )))
}
