//! Boot drivers: how this machine is taken into a kernel once, and into its own one otherwise.
//!
//! Responsible for where a kernel lies and for what the next boot takes. Not for when (machine-lifecycle), nor for the proof. A driver
//! acts only where the agent's own arguments permit it; what it installs has a place of its own, and the stock kernel is never touched.

mod simulated;

use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_model::BootDriver;

use crate::disk::atomic;

/// A kernel that is installed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// Release, as uname(2) will tell it.
    pub release: String,
    /// GNU build id; empty for none.
    pub build_id: String,
    /// What is added to the command line.
    pub command_line: String,
}

/// What the next boot is to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The machine's own kernel.
    Stock,
    /// An installed one, with the word that proves the boot.
    Entry {
        /// Which.
        entry: Entry,
        /// The word for the command line.
        nonce_word: String,
    },
}

/// The files of a kernel, fetched and checked.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The image.
    pub image: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
}

/// A way to take this machine into a kernel.
pub(crate) trait Driver: Send + Sync {
    /// Puts a kernel where the next boot can take it from. Again for the same kernel is as well.
    fn install(&self, entry: &Entry, files: &Files) -> anyhow::Result<()>;
    /// Boots once into the target. It returns when the machine is going down, or says why it does not.
    fn boot(&self, target: &Target) -> anyhow::Result<()>;
}

/// The driver of a word, for an agent that keeps its things below `state`.
///
/// # Errors
/// When this version has none.
pub(crate) fn driver(driver: BootDriver, state: &Path) -> anyhow::Result<Box<dyn Driver>> {
    match driver {
        BootDriver::Simulated => Ok(Box::new(simulated::Simulated::new(state))),
        BootDriver::Kexec | BootDriver::Grub | BootDriver::SystemdBoot => {
            anyhow::bail!("this version of the node agent has no boot driver `{driver}`")
        }
    }
}

/// Copies a kernel's files into a folder of its own, whole or not at all.
fn put_files(folder: &Path, files: &Files) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let put = |from: &Path, name: &str| {
        let content = std::fs::read(from).with_context(|| format!("read {}", from.display()))?;
        atomic::write(&folder.join(name), &content).with_context(|| format!("write {}", folder.join(name).display()))
    };
    put(&files.image, "vmlinuz")?;
    match &files.initrd {
        Some(initrd) => put(initrd, "initrd"),
        None => match std::fs::remove_file(folder.join("initrd")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("take the old initrd away")
            }
            _ => Ok(()),
        },
    }
}
