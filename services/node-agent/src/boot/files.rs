//! The files of installed kernels: copied whole, checked by their digests, one kernel at a time.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Entry, Files};
use crate::artifacts::digest_now;
use crate::disk::atomic;

/// Where an installed kernel lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    /// Its name.
    pub name: String,
    /// The image.
    pub image: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
}

impl Installed {
    /// Where a kernel lies below a folder for kernels.
    pub(super) fn new(folder: &Path, entry: &Entry) -> Self {
        let folder = folder.join(&entry.name);
        let initrd = (!entry.initrd_sha256.is_empty()).then(|| folder.join("initrd"));
        Self { name: entry.name.clone(), image: folder.join("vmlinuz"), initrd }
    }
}

/// Copies a kernel's files into a folder of its own, whole or not at all. Other kernels of ours go: boot partitions are small.
pub(super) fn put(folder: &Path, entry: &Entry, files: &Files) -> anyhow::Result<()> {
    let own = folder.join(&entry.name);
    std::fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
    remove_others(folder, &entry.name).with_context(|| format!("remove other kernels from {}", folder.display()))?;
    put_file(&files.image, &own.join("vmlinuz"))?;
    let initrd = own.join("initrd");
    match &files.initrd {
        Some(from) => put_file(from, &initrd),
        None => remove(&initrd).context("remove the old initrd"),
    }
}

fn put_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let content = std::fs::read(from).with_context(|| format!("read {}", from.display()))?;
    atomic::write(to, &content).with_context(|| format!("write {}", to.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_others(folder: &Path, name: &str) -> io::Result<()> {
    for other in std::fs::read_dir(folder)? {
        let other = other?;
        if other.file_name() != name && other.file_type()?.is_dir() {
            std::fs::remove_dir_all(other.path())?;
        }
    }
    Ok(())
}

/// Takes the digests of installed files again. A digest that an older agent did not write down is not compared.
pub(super) fn check(kernel: &Installed, entry: &Entry) -> anyhow::Result<()> {
    let initrd = kernel.initrd.as_ref().map(|initrd| (initrd, &entry.initrd_sha256));
    for (path, wanted) in std::iter::once((&kernel.image, &entry.image_sha256)).chain(initrd) {
        let found = digest_now(path)?;
        anyhow::ensure!(
            wanted.is_empty() || found == *wanted,
            "{} was changed since it was installed: its digest is {found} and not {wanted}; order the boot again",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::digest_of;

    fn entry(name: &str, initrd: Option<&str>) -> Entry {
        Entry {
            name: name.into(),
            release: String::new(),
            build_id: String::new(),
            command_line: String::new(),
            image_sha256: digest_of(b"image"),
            initrd_sha256: initrd.map(|initrd| digest_of(initrd.as_bytes())).unwrap_or_default(),
        }
    }

    #[test]
    fn one_kernel_is_kept_and_what_was_changed_is_not_booted() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        std::fs::write(place("image"), "image").unwrap();
        std::fs::write(place("initrd"), "initrd").unwrap();
        let folder = place("kernels");
        let with = Files { image: place("image"), initrd: Some(place("initrd")) };
        let (old, new) = (entry("old", Some("initrd")), entry("new", Some("initrd")));
        put(&folder, &old, &with).unwrap();
        check(&Installed::new(&folder, &old), &old).unwrap();
        put(&folder, &new, &with).unwrap();
        let kernel = Installed::new(&folder, &new);
        check(&kernel, &new).unwrap();
        assert!(check(&Installed::new(&folder, &old), &old).is_err(), "the older one is gone");

        std::fs::write(folder.join("new/initrd"), "other").unwrap();
        let error = check(&kernel, &new).unwrap_err().to_string();
        assert!(error.contains("was changed since"), "{error}");
        let without = entry("new", None);
        put(&folder, &without, &Files { image: place("image"), initrd: None }).unwrap();
        assert!(!folder.join("new/initrd").exists());
        check(&Installed::new(&folder, &without), &without).unwrap();
        std::fs::write(folder.join("new/vmlinuz"), "torn").unwrap();
        check(&Installed::new(&folder, &without), &without).unwrap_err();
    }
}
