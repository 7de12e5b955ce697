//! The file system that a file is in, as GRUB has to know it: where in it, and whether GRUB can write to it.

use std::path::{Path, PathBuf};

/// File systems that GRUB reads only: they have checksums, or no fixed place for a block.
const READ_ONLY: [&str; 3] = ["btrfs", "zfs", "f2fs"];

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Device, as `major:minor`.
    device: String,
    /// The part of it that is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
    /// Its kind.
    kind: String,
}

impl Mount {
    /// The file system of a path without links, by /proc/self/mountinfo: the longest mount that it is below.
    pub(super) fn of(mounts: &str, path: &Path) -> Option<Self> {
        let all = mounts.lines().filter_map(Self::read).filter(|mount| path.starts_with(&mount.point));
        // Of mounts one above the other the last is seen.
        all.max_by_key(|mount| mount.point.components().count())
    }

    fn read(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Some(Self { device, root, point, kind: kind.split(' ').next()?.to_owned() })
    }

    /// A path below the root of its file system.
    pub(super) fn inside(&self, path: &Path) -> Option<String> {
        Some(self.root.join(path.strip_prefix(&self.point).ok()?).to_str()?.to_owned())
    }

    /// Why GRUB can not write to it; none where it can. `blocks` is /sys/dev/block.
    pub(super) fn read_only_because(&self, blocks: &Path) -> Option<String> {
        if READ_ONLY.contains(&self.kind.as_str()) {
            return Some(format!("is {}", self.kind));
        }
        let device = blocks.join(&self.device);
        let mapped = std::fs::read_to_string(device.join("dm/uuid")).unwrap_or_default();
        if mapped.starts_with("LVM-") {
            return Some("is on a logical volume".into());
        }
        device.join("md").exists().then(|| "is on a RAID".into())
    }
}

/// A path of mountinfo, which has blanks and backslashes as octal numbers.
fn unescaped(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => text.push_str(&format!("{}{}", char::from(byte), &part[3..])),
            None => text.push_str(&format!("\\{part}")),
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
                          30 22 254:2 / /boot rw shared:1 - ext4 /dev/vda2 rw\n\
                          31 22 0:30 /@boot /mnt/a\\040b rw - btrfs /dev/vdb rw\n";

    #[test]
    fn paths_are_those_of_the_file_system() {
        let seen = |path: &str| Mount::of(MOUNTS, Path::new(path))?.inside(Path::new(path));
        assert_eq!(seen("/boot/muster/k/vmlinuz").as_deref(), Some("/muster/k/vmlinuz"));
        assert_eq!(seen("/bootx/vmlinuz").as_deref(), Some("/bootx/vmlinuz"));
        assert_eq!(seen("/mnt/a b/vmlinuz").as_deref(), Some("/@boot/vmlinuz"));
        let covered = format!("{MOUNTS}32 30 254:3 /sub /boot rw - ext4 /dev/vda3 rw\n");
        let covered = Mount::of(&covered, Path::new("/boot/a")).unwrap();
        assert_eq!(covered.inside(Path::new("/boot/a")).as_deref(), Some("/sub/a"));
    }

    #[test]
    fn grub_writes_to_plain_partitions_only() {
        let blocks = tempfile::tempdir().unwrap();
        let why = |path: &str| Mount::of(MOUNTS, Path::new(path)).unwrap().read_only_because(blocks.path());
        assert_eq!(why("/boot/grub"), None);
        assert_eq!(why("/mnt/a b").as_deref(), Some("is btrfs"));
        std::fs::create_dir_all(blocks.path().join("254:2/dm")).unwrap();
        std::fs::write(blocks.path().join("254:2/dm/uuid"), "mpath-3600\n").unwrap();
        assert_eq!(why("/boot/grub"), None);
        std::fs::write(blocks.path().join("254:2/dm/uuid"), "LVM-abc\n").unwrap();
        assert_eq!(why("/boot/grub").as_deref(), Some("is on a logical volume"));
        std::fs::create_dir_all(blocks.path().join("254:1/md")).unwrap();
        assert_eq!(why("/grub").as_deref(), Some("is on a RAID"));
    }
}
