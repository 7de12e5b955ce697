//! Block devices of tests: files behind loop devices. Only root may have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::mount::UnmountFlags;

use crate::tools;

/// A loop device; when dropped, it is dismounted from everywhere and let go.
#[derive(Debug)]
pub struct LoopDevice {
    /// The device.
    pub path: PathBuf,
    /// The file that is behind it.
    pub file: PathBuf,
}

impl LoopDevice {
    /// A device of so many bytes, all zero.
    ///
    /// # Errors
    /// When this system gives none.
    pub fn new(file: PathBuf, size_bytes: u64) -> anyhow::Result<Self> {
        let made = std::fs::File::create(&file).and_then(|made| made.set_len(size_bytes));
        made.with_context(|| format!("make {}", file.display()))?;
        let program = tools::packaged_in("losetup", "mount")?;
        let output = Command::new(program).args(["--find", "--show"]).arg(&file).output().context("run losetup")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "make a loop device: {}", said.trim());
        Ok(Self { path: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()), file })
    }

    /// Places that it is mounted at, as this process sees them.
    #[must_use]
    pub fn mounted_at(&self) -> Vec<PathBuf> {
        mounts().into_iter().filter(|(source, _)| *source == self.path).map(|(_, place)| place).collect()
    }

    /// The resource id that an agent gives it.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("disk-{}", self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()))
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// When they can not be read.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        std::fs::read(&self.path).with_context(|| format!("read {}", self.path.display()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        self.mounted_at().iter().for_each(|place| dismount(place));
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

/// Dismounts what is mounted below a directory: what is removed then is not what is on a device.
pub(crate) fn dismount_below(directory: &Path) {
    let below = mounts().into_iter().map(|(_, place)| place).filter(|place| place.starts_with(directory));
    below.for_each(|place| dismount(&place));
}

pub(crate) fn dismount(place: &Path) {
    let _ = rustix::mount::unmount(place, UnmountFlags::DETACH);
}

/// Sources and places of all mounts, as this process sees them.
fn mounts() -> Vec<(PathBuf, PathBuf)> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
        Some((PathBuf::from(source), PathBuf::from(line.split(' ').nth(4)?)))
    };
    text.lines().filter_map(mount).collect()
}
