//! A lab's machine: the agent pretends that its host was booted. Nothing on the host is changed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::files::{Installed, check, put};
use super::{Driver, Entry, Files, Target};
use crate::disk::atomic;
use crate::probe::{Pretended, command_line};

/// Boots by another life of the agent in the same process, which tells another boot id.
pub(super) struct Simulated {
    state: PathBuf,
}

impl Simulated {
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    fn folder(&self) -> PathBuf {
        self.state.join("boot")
    }

    /// What the next life of the agent tells of its boot.
    fn pretended(target: &Target) -> Pretended {
        let boot_id = uuid::Uuid::new_v4().to_string();
        let own = "simulated";
        match target {
            Target::Stock => Pretended { boot_id, kernel: None, command_line: own.into() },
            Target::Entry { entry, nonce_word } => Pretended {
                boot_id,
                kernel: Some((entry.release.clone(), entry.build_id.clone())),
                command_line: format!("{own} {} {nonce_word}", entry.command_line),
            },
        }
    }
}

impl Driver for Simulated {
    fn install(&self, entry: &Entry, files: &Files) -> anyhow::Result<()> {
        put(&self.folder(), entry, files)
    }

    fn boot(&self, target: &Target) -> anyhow::Result<()> {
        if let Target::Entry { entry, .. } = target {
            let kernel = Installed::new(&self.folder(), entry);
            check(&kernel, entry).with_context(|| format!("check {} again before the boot", entry.name))?;
        }
        tracing::info!(before = command_line(), "this machine pretends to boot");
        let content = serde_json::to_vec_pretty(&Self::pretended(target)).context("encode the pretended boot")?;
        let path = Pretended::path(&self.state);
        atomic::write(&path, &content).with_context(|| format!("write {}", path.display()))?;
        let mut arguments = std::env::args_os();
        arguments.next();
        Err(std::process::Command::new("/proc/self/exe").args(arguments).exec()).context("begin another life")
    }

    fn settle(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
