//! What a disk carries: by the magic bytes at its beginning, its partitions, what holds it, and where it is mounted. Anything
//! found makes it protected from the start, so what can not be looked at counts as a signature too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::read;

/// So much of a disk's beginning is looked at; btrfs is the last, at 64 KiB.
const HEAD_BYTES: usize = 0x1_0000 + 4096;
/// How deep holders are followed: disk, partition, RAID, LVM, LUKS and a rest.
const DEPTH_MAX: usize = 8;

/// What a disk with partitions carries.
const PARTITIONS: &str = "partitions";

/// A magic: where, what, and what it means.
const MAGICS: [(usize, &[u8], &str); 12] = [
    (510, b"\x55\xaa", "mbr"),
    (512, b"EFI PART", "gpt"),
    (4096, b"EFI PART", "gpt"),
    (0x438, b"\x53\xef", "ext"),
    (0, b"XFSB", "xfs"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
    (0x218, b"LVM2 001", "LVM2_member"),
    (0x18, b"LVM2 001", "LVM2_member"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (4086, b"SWAPSPACE2", "swap"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
];

/// Mount points, by the device's numbers `major:minor`.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    by_device: BTreeMap<String, BTreeSet<String>>,
    swaps: BTreeSet<String>,
}

impl Mounts {
    /// Those of this process's name space, and swaps in use.
    pub(super) fn read() -> Self {
        let mut mounts = Self::default();
        for line in read("/proc/self/mountinfo").lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            if let (Some(device), Some(place)) = (fields.get(2), fields.get(4)) {
                mounts.by_device.entry((*device).into()).or_default().insert((*place).into());
            }
            // File systems of several devices (btrfs) have numbers of their own, but name one of their disks.
            if let Some((_, rest)) = line.split_once(" - ")
                && let (Some(source), Some(place)) = (rest.split(' ').nth(1), fields.get(4))
                && source.starts_with("/dev/")
            {
                mounts.by_device.entry(source.into()).or_default().insert((*place).into());
            }
        }
        let swaps = read("/proc/swaps");
        mounts.swaps =
            swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        mounts
    }
}

/// By what a device is in use, sorted. It is looked at in the directory that /sys has for it.
pub(super) fn uses_of(system: &str, name: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    use_of(system, name, &Mounts::read(), 0, &mut found);
    // Partitions are no use by themselves: what uses them is told beside.
    found.remove(PARTITIONS);
    found.into_iter().collect()
}

/// Everything that a device carries, sorted.
pub(super) fn of_device(system: &str, name: &str, path: &Path, mounts: &Mounts) -> Vec<String> {
    let mut found = BTreeSet::new();
    match head(path) {
        Ok(head) => found.extend(MAGICS.iter().filter(|magic| is_there(&head, magic)).map(|magic| magic.2.to_owned())),
        Err(error) => drop(found.insert(format!("unreadable:{}", error.kind()))),
    }
    use_of(system, name, mounts, 0, &mut found);
    found.into_iter().collect()
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn is_there(head: &[u8], (place, magic, _): &(usize, &[u8], &str)) -> bool {
    head.get(*place..place + magic.len()) == Some(magic)
}

/// Mount points, swaps and holders of a device, of its partitions, and of what is built upon them.
fn use_of(system: &str, name: &str, mounts: &Mounts, depth: usize, found: &mut BTreeSet<String>) {
    let number = read(format!("{system}/dev"));
    let path = format!("/dev/{name}");
    let places = [mounts.by_device.get(&number), mounts.by_device.get(&path)];
    found.extend(places.into_iter().flatten().flatten().map(|place| format!("mounted:{place}")));
    if mounts.swaps.contains(&path) {
        found.insert("swap:in-use".into());
    }
    if depth >= DEPTH_MAX {
        return;
    }
    for entry in std::fs::read_dir(system).into_iter().flatten().flatten() {
        let part = entry.file_name().to_string_lossy().into_owned();
        if part.starts_with(name) && entry.path().join("partition").exists() {
            found.insert(PARTITIONS.into());
            use_of(&format!("{system}/{part}"), &part, mounts, depth + 1, found);
        }
    }
    for entry in std::fs::read_dir(format!("{system}/holders")).into_iter().flatten().flatten() {
        let holder = entry.file_name().to_string_lossy().into_owned();
        found.insert(format!("held:{holder}"));
        use_of(&format!("/sys/block/{holder}"), &holder, mounts, depth + 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place: usize, magic: &[u8], expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut content = vec![0; HEAD_BYTES + 10];
        content[place..place + magic.len()].copy_from_slice(magic);
        std::fs::write(file.path(), content).unwrap();
        assert_eq!(of_device("/sys/block/no-such-disk", "no-such-disk", file.path(), &Mounts::default()), [expected]);
    }

    #[test]
    fn signatures_are_found_by_their_magic() {
        for (place, magic, name) in MAGICS {
            check(place, magic, name);
        }
    }

    #[test]
    fn an_empty_disk_carries_nothing_and_an_unreadable_one_is_not_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![0; HEAD_BYTES]).unwrap();
        assert!(of_device("/sys/block/no-such-disk", "no-such-disk", file.path(), &Mounts::default()).is_empty());
        assert_eq!(
            of_device("/sys/block/no-such-disk", "no-such-disk", Path::new("/no/such/disk"), &Mounts::default()).len(),
            1
        );
    }
}
