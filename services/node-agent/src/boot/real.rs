//! What the drivers of real machines have in common: install, check the digests again, prepare the next boot, go down.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::files::{Installed, check, put};
use super::{Driver, Entry, Files, Places, Target, command_line, down};

/// Who takes the next boot into a kernel: a boot loader, or the running kernel.
pub(super) trait Loader: Send + Sync {
    /// Folder for kernels, which the loader can read.
    fn folder(&self) -> anyhow::Result<PathBuf>;
    /// Lets the next boot, and only that one, take a kernel.
    fn arm(&self, kernel: &Installed, command_line: &str) -> anyhow::Result<()>;
    /// The next boot takes what it always does. Without anything prepared it changes nothing.
    fn disarm(&self) -> anyhow::Result<()>;
    /// Takes back what an earlier life prepared, where it can be told to be ours.
    fn settle(&self) -> anyhow::Result<()> {
        self.disarm()
    }
    /// How the machine goes down into a kernel that was prepared.
    fn way(&self) -> down::Way {
        down::Way::Firmware
    }
}

/// A driver of a real machine.
pub(super) struct Real<L> {
    loader: L,
    state: PathBuf,
}

impl<L: Loader> Real<L> {
    pub(super) fn new(loader: L, places: &Places) -> Self {
        Self { loader, state: places.state.clone() }
    }

    /// Nothing is prepared that was changed since it was fetched.
    fn prepare(&self, entry: &Entry, nonce_word: &str) -> anyhow::Result<()> {
        let kernel = Installed::new(&self.loader.folder()?, entry);
        check(&kernel, entry).with_context(|| format!("check {} again before the boot", entry.name))?;
        let line = command_line::of_boot(&self.state, &entry.command_line, nonce_word)?;
        self.loader.arm(&kernel, &line).with_context(|| format!("prepare the boot into {}", entry.name))
    }
}

impl<L: Loader> Driver for Real<L> {
    fn install(&self, entry: &Entry, files: &Files) -> anyhow::Result<()> {
        let folder: &Path = &self.loader.folder()?;
        put(folder, entry, files)
    }

    fn boot(&self, target: &Target) -> anyhow::Result<()> {
        let prepared = match target {
            Target::Stock => self.loader.disarm().context("take an earlier boot back").map(|()| down::Way::Firmware),
            Target::Entry { entry, nonce_word } => self.prepare(entry, nonce_word).map(|()| self.loader.way()),
        };
        prepared.and_then(down::go_down).inspect_err(|_| {
            // What can not be taken back now is taken back when the agent starts.
            if let Err(error) = self.loader.disarm() {
                tracing::error!(error = format!("{error:#}"), "a prepared boot could not be taken back");
            }
        })
    }

    fn settle(&self) -> anyhow::Result<()> {
        self.loader.settle()
    }
}
