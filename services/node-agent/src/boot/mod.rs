//! Boot drivers: how this machine is taken into a kernel once, and into its own one otherwise.
//!
//! Responsible for where a kernel lies and for what the next boot takes. Not for when (machine-lifecycle), nor for the proof. A driver
//! acts only where the agent's own arguments permit it; what it installs has a place of its own, and the stock kernel is never touched.

pub(crate) mod command_line;
mod down;
mod files;
mod grub;
mod kexec;
mod outside;
mod places;
mod real;
mod simulated;
mod systemd_boot;

use std::path::PathBuf;

use muster_model::BootDriver;

pub use places::BootArguments;
pub(crate) use places::Places;

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
    /// SHA-256 of the image; empty where an older agent installed it.
    #[serde(default)]
    pub image_sha256: String,
    /// SHA-256 of the initial RAM disk; empty for none.
    #[serde(default)]
    pub initrd_sha256: String,
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
    /// Takes back what an earlier life of the agent prepared for a boot that did not take it.
    fn settle(&self) -> anyhow::Result<()>;
}

/// The driver of a word, for an agent that keeps its things in these places.
pub(crate) fn driver(driver: BootDriver, places: &Places) -> Box<dyn Driver> {
    match driver {
        BootDriver::Simulated => Box::new(simulated::Simulated::new(&places.state)),
        BootDriver::Kexec => Box::new(real::Real::new(kexec::Kexec::new(places), places)),
        BootDriver::Grub => Box::new(real::Real::new(grub::Grub::new(places), places)),
        BootDriver::SystemdBoot => Box::new(real::Real::new(systemd_boot::SystemdBoot::new(places), places)),
        BootDriver::QemuDirect => Box::new(outside::Outside),
    }
}
