//! GRUB: an entry of our own in `custom.cfg`, which the configuration of every distribution reads, and `next_entry` in GRUB's
//! environment, which it takes once and clears before it boots.

mod environment;
mod menu;
mod mounts;

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Places;
use super::files::Installed;
use super::real::Loader;
use crate::disk::atomic;
use menu::MenuEntry;
use mounts::Mount;

/// The variable of GRUB's environment that names what is booted once.
const NEXT_ENTRY: &str = "next_entry";
/// What the kernel tells of block devices, by their numbers.
const BLOCKS: &str = "/sys/dev/block";

/// GRUB as the loader of the next boot.
pub(super) struct Grub {
    folder: PathBuf,
    configuration: PathBuf,
    environment: PathBuf,
}

impl Grub {
    pub(super) fn new(places: &Places) -> Self {
        Self {
            folder: places.boot.join("muster"),
            configuration: places.grub.join("custom.cfg"),
            environment: places.grub.join("grubenv"),
        }
    }

    /// Where GRUB can not clear what it took once, a kernel that crashes early would be booted for ever.
    fn check_once(&self, mounts: &str) -> anyhow::Result<()> {
        let folder = self.environment.canonicalize().or_else(|_| grub_folder(&self.environment).canonicalize());
        let folder = folder.with_context(|| format!("find {}", self.environment.display()))?;
        let mount = Mount::of(mounts, &folder);
        if let Some(why) = mount.and_then(|mount| mount.read_only_because(Path::new(BLOCKS))) {
            anyhow::bail!(
                "GRUB can not write to {}, which {why}, and so boots nothing once; move /boot to a plain partition, or use kexec",
                self.environment.display()
            );
        }
        Ok(())
    }

    /// Prepares a boot, with the mounts of /proc/self/mountinfo.
    fn arm_with(&self, mounts: &str, kernel: &Installed, command_line: &str) -> anyhow::Result<()> {
        self.check_once(mounts)?;
        let entry = MenuEntry::new(kernel, command_line, mounts)?;
        self.write_entry(&entry)?;
        environment::set(&self.environment, NEXT_ENTRY, Some(&entry.id()))
    }

    fn write_entry(&self, entry: &MenuEntry) -> anyhow::Result<()> {
        let path = &self.configuration;
        let before = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("read {}", path.display()))?,
        };
        let content = menu::with_entry(&before, entry);
        atomic::write(path, content.as_bytes()).with_context(|| format!("write {}", path.display()))
    }
}

fn grub_folder(environment: &Path) -> &Path {
    environment.parent().unwrap_or(environment)
}

impl Loader for Grub {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let grub = grub_folder(&self.environment);
        anyhow::ensure!(
            grub.is_dir(),
            "use GRUB: {} is not there; say where it is with --grub-directory",
            grub.display()
        );
        Ok(self.folder.clone())
    }

    fn arm(&self, kernel: &Installed, command_line: &str) -> anyhow::Result<()> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
        self.arm_with(&mounts, kernel, command_line)
    }

    fn disarm(&self) -> anyhow::Result<()> {
        let armed = environment::get(&self.environment, NEXT_ENTRY)?;
        // What a person chose for the next boot stays.
        if armed.is_some_and(|id| menu::is_ours(&id)) {
            environment::set(&self.environment, NEXT_ENTRY, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_armed_is_taken_back_and_what_a_person_chose_stays() {
        let directory = tempfile::tempdir().unwrap();
        let boot = directory.path().canonicalize().unwrap();
        let grub_folder = boot.join("grub");
        std::fs::create_dir_all(&grub_folder).unwrap();
        std::fs::write(grub_folder.join("custom.cfg"), "set colour=blue\n").unwrap();
        let state = boot.join("state");
        let places =
            Places { state, grub: grub_folder.clone(), esp: boot.clone(), efivars: boot.clone(), boot: boot.clone() };
        let grub = Grub::new(&places);
        let next = || environment::get(&grub_folder.join("grubenv"), NEXT_ENTRY).unwrap();
        grub.disarm().unwrap();
        assert_eq!(next(), None);

        let image = boot.join("muster/6.1.0-test/vmlinuz");
        std::fs::create_dir_all(boot.join("muster/6.1.0-test")).unwrap();
        std::fs::write(&image, "").unwrap();
        let kernel = Installed { name: "6.1.0-test".into(), image, initrd: None };
        let mounts = |kind: &str| format!("22 1 0:0 / / rw - {kind} /dev/vda1 rw\n");
        let error = grub.arm_with(&mounts("btrfs"), &kernel, "quiet").unwrap_err();
        assert!(error.to_string().contains("boots nothing once") && next().is_none(), "{error}");
        grub.arm_with(&mounts("ext4"), &kernel, "root=/dev/vda1 muster.boot=a.1").unwrap();
        assert_eq!(next().as_deref(), Some("muster-6.1.0-test"));
        let configuration = std::fs::read_to_string(grub_folder.join("custom.cfg")).unwrap();
        assert!(configuration.starts_with("set colour=blue\n") && configuration.contains("'muster.boot=a.1'"));
        grub.settle().unwrap();
        assert_eq!(next(), None);

        environment::set(&grub_folder.join("grubenv"), NEXT_ENTRY, Some("memtest")).unwrap();
        grub.settle().unwrap();
        assert_eq!(next().as_deref(), Some("memtest"));
        assert!(Grub::new(&Places { grub: boot.join("none"), ..places }).folder().is_err());
    }
}
