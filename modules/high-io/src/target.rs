//! The file under test: made at the start, removed at the end, kept as evidence when its data were corrupt.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_sdk::{Context, Session};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::Errno;

use crate::buffer::{ALIGNMENT, Buffer};
use crate::device::Device;
use crate::settings::Settings;
use crate::trouble::Trouble;

/// A file of this process.
#[derive(Debug)]
pub(crate) struct Target {
    file: File,
    path: PathBuf,
    /// Transfers bypass the page cache.
    direct: bool,
    /// What it lies on.
    device: Device,
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
            // The smallest transfer of the run: where that goes, all others do.
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
        let device = Device::of(&file).map_err(|error| Trouble::of("creation", &path, &error))?;
        Ok(Self { file, path, direct, device })
    }

    /// Takes the space, so that a full disk is found at once; where the file system can not, it is found by a write.
    fn prepare(&self, settings: &Settings) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, settings.file_bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A file that is there, for tests of what works on targets.
    #[cfg(test)]
    pub(crate) fn of_file(file: File) -> Self {
        let device = Device::of(&file).expect("status");
        Self { file, path: PathBuf::new(), direct: false, device }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Addresses of buffers are multiples of this: what the device asks for, and at least a line of the cache.
    pub(crate) fn buffer_step(&self) -> usize {
        const LINE_BYTES: usize = 64;
        if self.direct { self.device.memory_alignment().clamp(LINE_BYTES, ALIGNMENT) } else { LINE_BYTES }
    }

    /// Writes at once, past the queue.
    pub(crate) fn write(&self, buffer: &[u8], offset: u64) -> Result<(), Trouble> {
        self.file.write_all_at(buffer, offset).map_err(|error| self.trouble("write", buffer.len(), offset, &error))
    }

    /// Reads at once, past the queue.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Trouble> {
        self.file.read_exact_at(buffer, offset).map_err(|error| self.trouble("read", buffer.len(), offset, &error))
    }

    /// What an error of a transfer means.
    pub(crate) fn trouble(&self, operation: &str, bytes: usize, offset: u64, error: &io::Error) -> Trouble {
        let operation = format!("{operation} of {bytes} bytes at {offset}");
        if self.device.is_gone() {
            return Trouble::gone(&operation, &self.path, error);
        }
        Trouble::of(&operation, &self.path, error)
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
