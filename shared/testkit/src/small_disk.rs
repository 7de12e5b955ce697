//! Disks of tests that get full: file systems in memory. Only root may have them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::loop_device::dismount;

/// What is written at once; less than this is left for nobody.
const PIECE: [u8; 1024] = [7; 1024];

/// A small file system; when dropped, it is dismounted, and what was on it is gone.
#[derive(Debug)]
pub struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// One of so many MiB at a directory, which is made.
    ///
    /// # Errors
    /// When this system gives none.
    pub fn mount(place: &Path, size_mib: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place).with_context(|| format!("make {}", place.display()))?;
        let size = format!("size={size_mib}m,mode=755");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "muster-small-disk"]).arg(place).output();
        let output = output.context("run mount")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "mount a small disk at {}: {}", place.display(), said.trim());
        Ok(Self { place: place.to_owned() })
    }

    /// Writes until nothing more fits.
    ///
    /// # Errors
    /// When it fails for another reason.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::options().create(true).append(true).open(self.ballast()).context("open the ballast")?;
        loop {
            match file.write_all(&PIECE) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("fill a small disk"),
            }
        }
    }

    /// There is room again.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.ballast()).context("remove the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        dismount(&self.place);
    }
}
