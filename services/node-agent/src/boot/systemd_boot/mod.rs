//! systemd-boot: an entry of our own in the EFI system partition, and the variable `LoaderEntryOneShot`, which it takes once.

mod one_shot;

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Places;
use super::files::Installed;
use super::real::Loader;
use crate::disk::atomic;
use one_shot::OneShot;

/// What our entries begin with.
const PREFIX: &str = "muster-";

/// systemd-boot as the loader of the next boot.
pub(super) struct SystemdBoot {
    esp: PathBuf,
    one_shot: OneShot,
}

impl SystemdBoot {
    pub(super) fn new(places: &Places) -> Self {
        Self { esp: places.esp.clone(), one_shot: OneShot::new(&places.efivars) }
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
}

/// The name of an entry's file, by which the variable names it. systemd-boot compares small letters.
fn entry_name(kernel: &str) -> String {
    format!("{PREFIX}{}.conf", kernel.to_ascii_lowercase())
}

impl Loader for SystemdBoot {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let entries = self.esp.join("loader/entries");
        anyhow::ensure!(
            entries.is_dir(),
            "use systemd-boot: {} is not there; say where its partition is mounted with --esp",
            entries.display()
        );
        Ok(self.esp.join("muster"))
    }

    fn arm(&self, kernel: &Installed, command_line: &str) -> anyhow::Result<()> {
        let name = entry_name(&kernel.name);
        let path = self.esp.join("loader/entries").join(&name);
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

    #[test]
    fn an_entry_is_written_and_named_once_and_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let esp = directory.path().to_owned();
        let efivars = esp.join("efivars");
        std::fs::create_dir_all(&efivars).unwrap();
        let places = Places { state: esp.clone(), boot: esp.clone(), grub: esp.clone(), esp: esp.clone(), efivars };
        let loader = SystemdBoot::new(&places);
        loader.folder().unwrap_err();
        std::fs::create_dir_all(esp.join("loader/entries")).unwrap();
        let folder = loader.folder().unwrap();
        loader.disarm().unwrap();

        let (image, initrd) = (folder.join("6.1-Test/vmlinuz"), Some(folder.join("6.1-Test/initrd")));
        loader.arm(&Installed { name: "6.1-Test".into(), image, initrd }, "quiet muster.boot=a.1").unwrap();
        assert_eq!(loader.one_shot.get().unwrap().as_deref(), Some("muster-6.1-test.conf"));
        let text = std::fs::read_to_string(esp.join("loader/entries/muster-6.1-test.conf")).unwrap();
        assert_eq!(
            text,
            "title muster-6.1-Test\nlinux /muster/6.1-Test/vmlinuz\ninitrd /muster/6.1-Test/initrd\noptions quiet muster.boot=a.1\n"
        );
        loader.disarm().unwrap();
        assert_eq!(loader.one_shot.get().unwrap(), None);
        loader.one_shot.set("windows.conf").unwrap();
        loader.disarm().unwrap();
        assert_eq!(loader.one_shot.get().unwrap().as_deref(), Some("windows.conf"));
    }
}
