//! systemd-boot: an entry of our own in the EFI system partition, and the variable `LoaderEntryOneShot`, which it takes once.
//!
//! Where nothing says what it boots otherwise, it takes the last entry by name, which may be ours: such a machine is not booted.

mod variable;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_model::glob_matches;

use super::Places;
use super::files::Installed;
use super::real::Loader;
use crate::disk::atomic;
use variable::Variable;

/// What our entries begin with.
const PREFIX: &str = "muster-";
/// What comes behind the name of each entry.
const SUFFIX: &str = ".conf";
/// The default is what was booted last.
const SAVED: &str = "@saved";

/// systemd-boot as the loader of the next boot.
pub(super) struct SystemdBoot {
    esp: PathBuf,
    one_shot: Variable,
    default: Variable,
}

impl SystemdBoot {
    pub(super) fn new(places: &Places) -> Self {
        let variable = |name| Variable::new(&places.efivars, name);
        Self { esp: places.esp.clone(), one_shot: variable(variable::ONE_SHOT), default: variable(variable::DEFAULT) }
    }

    fn entries(&self) -> PathBuf {
        self.esp.join("loader/entries")
    }

    /// A path as the firmware sees it: below the root of the partition.
    fn seen(&self, path: &Path) -> anyhow::Result<String> {
        let below = path.strip_prefix(&self.esp).with_context(|| format!("use {}", path.display()))?;
        Ok(format!("/{}", below.to_str().with_context(|| format!("use {}", path.display()))?))
    }

    fn entry_text(&self, kernel: &Installed, command_line: &str) -> anyhow::Result<String> {
        let mut text = format!("title {PREFIX}{}\nlinux {}\n", kernel.name, self.seen(&kernel.image)?);
        if let Some(initrd) = &kernel.initrd {
            text.push_str(&format!("initrd {}\n", self.seen(initrd)?));
        }
        text.push_str(&format!("options {command_line}\n"));
        Ok(text)
    }

    /// The boot after the next is the stock kernel's only where something says so.
    fn check_default(&self, entry: &str) -> anyhow::Result<()> {
        let chosen = match self.default.get()? {
            Some(chosen) => Some(chosen),
            None => default_in(&std::fs::read_to_string(self.esp.join("loader/loader.conf")).unwrap_or_default()),
        };
        let is_safe = chosen.is_some_and(|chosen| chosen != SAVED && !glob_matches(&chosen, entry));
        anyhow::ensure!(
            is_safe,
            "nothing says that later boots take the stock kernel; choose its entry once with `bootctl set-default ENTRY`"
        );
        Ok(())
    }

    /// Entries of kernels that are not installed any more.
    fn remove_other_entries(&self, own: &str) -> io::Result<()> {
        for other in std::fs::read_dir(self.entries())? {
            let other = other?;
            let name = other.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && name != own {
                std::fs::remove_file(other.path())?;
            }
        }
        Ok(())
    }
}

/// The entry that the configuration names.
fn default_in(configuration: &str) -> Option<String> {
    let mut words = configuration.lines().map(str::split_whitespace);
    words.find_map(|mut line| (line.next() == Some("default")).then(|| line.next().map(str::to_owned))?)
}

/// The name of an entry's file, by which the variable names it. systemd-boot compares small letters.
fn entry_name(kernel: &str) -> String {
    format!("{PREFIX}{}{SUFFIX}", kernel.to_ascii_lowercase())
}

impl Loader for SystemdBoot {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let entries = self.entries();
        anyhow::ensure!(
            entries.is_dir(),
            "use systemd-boot: {} is not there; say where its partition is mounted with --esp",
            entries.display()
        );
        Ok(self.esp.join("muster"))
    }

    fn arm(&self, kernel: &Installed, command_line: &str) -> anyhow::Result<()> {
        let name = entry_name(&kernel.name);
        self.check_default(&name)?;
        self.remove_other_entries(&name).context("remove older entries")?;
        let path = self.entries().join(&name);
        let text = self.entry_text(kernel, command_line)?;
        atomic::write(&path, text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
        self.one_shot.set(&name)
    }

    fn disarm(&self) -> anyhow::Result<()> {
        // What a person chose for the next boot stays.
        if self.one_shot.get()?.is_some_and(|name| name.starts_with(PREFIX)) {
            self.one_shot.clear()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An EFI system partition with a configuration, and a loader that uses it.
    fn loader(configuration: &str) -> (tempfile::TempDir, SystemdBoot) {
        let directory = tempfile::tempdir().unwrap();
        let esp = directory.path().to_owned();
        let efivars = esp.join("efivars");
        std::fs::create_dir_all(&efivars).unwrap();
        std::fs::create_dir_all(esp.join("loader/entries")).unwrap();
        std::fs::write(esp.join("loader/loader.conf"), configuration).unwrap();
        let places = Places { state: esp.clone(), boot: esp.clone(), grub: esp.clone(), esp, efivars };
        (directory, SystemdBoot::new(&places))
    }

    fn kernel(loader: &SystemdBoot, name: &str) -> Installed {
        let folder = loader.folder().unwrap().join(name);
        Installed { name: name.into(), image: folder.join("vmlinuz"), initrd: Some(folder.join("initrd")) }
    }

    #[test]
    fn an_entry_is_written_and_named_once_and_taken_back() {
        let (esp, loader) = loader("timeout 3\ndefault debian-*\n");
        loader.disarm().unwrap();
        loader.arm(&kernel(&loader, "old"), "quiet").unwrap();
        loader.arm(&kernel(&loader, "6.1-Test"), "quiet muster.boot=a.1").unwrap();
        assert_eq!(loader.one_shot.get().unwrap().as_deref(), Some("muster-6.1-test.conf"));
        let entries = esp.path().join("loader/entries");
        let text = std::fs::read_to_string(entries.join("muster-6.1-test.conf")).unwrap();
        assert_eq!(
            text,
            "title muster-6.1-Test\nlinux /muster/6.1-Test/vmlinuz\ninitrd /muster/6.1-Test/initrd\noptions quiet muster.boot=a.1\n"
        );
        assert!(!entries.join("muster-old.conf").exists());
        loader.disarm().unwrap();
        assert_eq!(loader.one_shot.get().unwrap(), None);
        loader.one_shot.set("windows.conf").unwrap();
        loader.disarm().unwrap();
        assert_eq!(loader.one_shot.get().unwrap().as_deref(), Some("windows.conf"));
    }

    #[test]
    fn a_machine_that_may_boot_our_entry_again_later_is_not_booted() {
        for configuration in ["", "#default debian\n", "default @saved\n", "default muster-*\n", "default\n"] {
            let (_esp, loader) = loader(configuration);
            let error = loader.arm(&kernel(&loader, "a"), "quiet").unwrap_err();
            assert!(error.to_string().contains("bootctl set-default"), "{configuration}: {error}");
            assert_eq!(loader.one_shot.get().unwrap(), None);
            loader.default.set("debian-6.1.conf").unwrap();
            loader.arm(&kernel(&loader, "a"), "quiet").unwrap();
        }
    }
}
