//! Files of test processes, as root opens them: only beneath the directory that is theirs, whatever they make of it meanwhile.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

/// How often a look is repeated that somebody disturbed by renaming.
const ATTEMPTS_MAX: u32 = 32;

/// Opens a regular file beneath a directory for reading. Links that stay in it are followed, those that lead out of it are not, and
/// neither is what waits for somebody, as a FIFO does.
///
/// # Errors
/// There is none, it leads out of the directory, or it is another's.
pub(crate) fn open_file(directory: &Path, path: &Path) -> io::Result<File> {
    let owner = std::fs::symlink_metadata(directory)?.uid();
    let file = open_beneath(directory, path, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)?;
    let meta = file.metadata()?;
    // A hard link to what is somebody else's would be in the directory too.
    if meta.uid() != owner && (meta.uid() != own_user() || meta.nlink() != 1) {
        return Err(refused("it belongs to somebody else"));
    }
    Ok(file)
}

/// Opens a log that the agent made: no link, and no file that took its place.
///
/// # Errors
/// It is not there any more, or another one is.
pub(crate) fn open_log(path: &Path) -> io::Result<File> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Err(refused("it is no file")) };
    let file = open_beneath(directory, Path::new(name), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?;
    let meta = file.metadata()?;
    if meta.uid() != own_user() || meta.nlink() != 1 {
        return Err(refused("its test has put another file in its place"));
    }
    Ok(file)
}

fn open_beneath(directory: &Path, path: &Path, how: ResolveFlags) -> io::Result<File> {
    // What was given as an absolute path is beneath the directory if it begins with it.
    let path = path.strip_prefix(directory).unwrap_or(path);
    if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(refused("it is not beneath the directory of its process"));
    }
    let place = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS_MAX {
        match openat2(&place, path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS) => return without_openat2(directory, path),
            Err(error) => return Err(error.into()),
            Ok(opened) => return regular(File::from(opened)),
        }
    }
    Err(refused("it is renamed all the time"))
}

/// Kernels before 5.6: only a file right in the directory, and no link.
fn without_openat2(directory: &Path, path: &Path) -> io::Result<File> {
    if path.components().count() != 1 {
        return Err(refused("this kernel can not open files in directories of tests safely (openat2, Linux 5.6)"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    regular(File::from(rustix::fs::openat(CWD, directory.join(path), flags, Mode::empty())?))
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused("it is no regular file")) }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests;
