//! What is executed is the file that was checked: opened once, recognised by what every change of it changes, and executed through
//! that descriptor. No path is looked up again in between.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Descriptor of the program in a process that is about to execute it.
pub(crate) const PROGRAM_DESCRIPTOR: i32 = 3;
/// What the link with a process's name leads to: its program, in the process that executes it and nowhere else.
pub(crate) const PROGRAM_LINK: &str = "/proc/self/fd/3";
/// Where an executable says for which machine it is, and where that ends (elf(5), `e_machine`).
const MACHINE: std::ops::Range<usize> = 18..20;
/// What an executable begins with.
const ELF: [u8; 4] = *b"\x7fELF";
/// What executables of this agent's own architecture say.
#[cfg(target_arch = "x86_64")]
const OWN: u16 = libc::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const OWN: u16 = libc::EM_AARCH64;

/// By what a file is recognised as the one that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// Of a file that is open, or of which the kernel has told.
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// An artifact whose digest was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// Where it is.
    pub path: std::path::PathBuf,
    /// What it was when its digest was taken.
    pub mark: Mark,
}

/// A program that is open.
#[derive(Debug)]
pub(crate) struct Executable {
    /// The file.
    pub file: File,
    /// It is a script, or of another architecture: its interpreter or emulator opens it again, by its descriptor.
    pub is_interpreted: bool,
}

impl Executable {
    /// Opens what was checked.
    ///
    /// # Errors
    /// It is another file than it was, or not there.
    pub(crate) fn open(checked: &Checked) -> io::Result<Self> {
        let file = open(&checked.path)?;
        if Mark::of(&file.metadata()?) != checked.mark {
            return Err(io::Error::other("the artifact was changed after its digest was taken; start it again"));
        }
        let mut head = [0; MACHINE.end];
        let read = file.read_at(&mut head, 0)?;
        let is_interpreted = !is_of_this_machine(&head[..read]);
        Ok(Self { file, is_interpreted })
    }
}

/// The kernel executes by itself what begins so.
fn is_of_this_machine(head: &[u8]) -> bool {
    head.starts_with(&ELF) && head.get(MACHINE) == Some(&OWN.to_le_bytes())
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_an_interpreter_or_an_emulator_keeps_its_descriptor() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(is_of_this_machine(&own));
        let mut other = own[..MACHINE.end].to_vec();
        other[MACHINE.start] ^= 1;
        assert!(!is_of_this_machine(&other));
        assert!(!is_of_this_machine(b"#!/bin/sh\n"));
        assert!(!is_of_this_machine(b"\x7fEL"));
    }

    #[test]
    fn a_file_that_was_changed_or_replaced_is_not_executed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        let checked = || Checked { path: path.clone(), mark: Mark::of(&std::fs::metadata(&path).unwrap()) };
        let before = checked();
        assert!(Executable::open(&before).unwrap().is_interpreted);
        std::fs::write(&path, "#!/bin/no\n").unwrap();
        assert!(Executable::open(&before).is_err(), "other content of the same size");
        let before = checked();
        let other = folder.path().join("other");
        std::fs::write(&other, "#!/bin/no\n").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(Executable::open(&before).is_err(), "another file");
        std::fs::rename(&path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let linked = Checked { mark: Mark::of(&std::fs::metadata(&other).unwrap()), path: path.clone() };
        assert!(Executable::open(&linked).is_err(), "a link");
    }
}
