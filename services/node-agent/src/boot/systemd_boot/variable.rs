//! Variables of the firmware that systemd-boot reads, as efivarfs has them: four bytes of attributes, then UTF-16 with an end of zero.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// What is booted once.
pub(super) const ONE_SHOT: &str = "LoaderEntryOneShot";
/// What is booted otherwise, where a person chose it.
pub(super) const DEFAULT: &str = "LoaderEntryDefault";
/// The vendor of systemd-boot's variables.
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// A variable outlives a reboot, and is there for boot loaders and for the running system.
const ATTRIBUTES: [u8; 4] = 7_u32.to_le_bytes();

/// A variable.
#[derive(Debug)]
pub(super) struct Variable {
    path: PathBuf,
}

impl Variable {
    /// A variable in a directory of variables.
    pub(super) fn new(efivars: &Path, name: &str) -> Self {
        Self { path: efivars.join(format!("{name}-{VENDOR}")) }
    }

    /// What it says; none where it is not there.
    pub(super) fn get(&self) -> anyhow::Result<Option<String>> {
        match std::fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => {
                let content = read.with_context(|| format!("read {}", self.path.display()))?;
                decoded(&content).with_context(|| format!("understand {}", self.path.display())).map(Some)
            }
        }
    }

    /// Sets it, and reads it back.
    pub(super) fn set(&self, text: &str) -> anyhow::Result<()> {
        let written = self.unlock().and_then(|()| self.write(&encoded(text)));
        written.with_context(|| format!("write {}", self.path.display()))?;
        ensure!(self.get()?.as_deref() == Some(text), "write {}: another content is read back", self.path.display());
        Ok(())
    }

    /// Takes it away.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        let removed = self.unlock().and_then(|()| std::fs::remove_file(&self.path));
        removed.with_context(|| format!("remove {}", self.path.display()))
    }

    /// One write is one variable.
    fn write(&self, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        let size = file.write(content)?;
        if size == content.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
    }

    /// efivarfs protects variables from being removed by accident. Other file systems do not.
    fn unlock(&self) -> io::Result<()> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        match ioctl_getflags(&file) {
            Ok(flags) if flags.contains(IFlags::IMMUTABLE) => Ok(ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?),
            _ => Ok(()),
        }
    }
}

fn encoded(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    ATTRIBUTES.into_iter().chain(units).collect()
}

fn decoded(content: &[u8]) -> anyhow::Result<String> {
    let (_, units) = content.split_at_checked(ATTRIBUTES.len()).context("it is too short")?;
    let units: Vec<u16> = units.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(units.strip_suffix(&[0]).unwrap_or(&units)).context("it is no UTF-16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_firmware_and_systemd_boot_read() {
        assert_eq!(encoded("ab"), [7, 0, 0, 0, b'a', 0, b'b', 0, 0, 0]);
        assert_eq!(decoded(&encoded("muster-6.1.conf")).unwrap(), "muster-6.1.conf");
        assert_eq!(decoded(&encoded("a")[..6]).unwrap(), "a", "others write it without its end");
        decoded(&[7, 0]).unwrap_err();
    }

    #[test]
    fn it_is_set_replaced_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let variable = Variable::new(directory.path(), ONE_SHOT);
        assert_eq!(variable.get().unwrap(), None);
        variable.set("muster-a.conf").unwrap();
        variable.set("muster-b.conf").unwrap();
        assert_eq!(variable.get().unwrap().as_deref(), Some("muster-b.conf"));
        variable.clear().unwrap();
        assert_eq!(variable.get().unwrap(), None);
    }
}
