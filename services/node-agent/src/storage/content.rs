//! Which file system is on a device, by its superblock.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use muster_model::FileSystem;

/// The superblock of btrfs is the last of them, at 64 KiB.
const HEAD_BYTES: u64 = 0x1_0000 + 4096;

/// A file system: where its magic is, the magic, and where its UUID is.
const KNOWN: [(FileSystem, usize, &[u8], usize); 3] = [
    (FileSystem::Ext4, 0x438, b"\x53\xef", 0x468),
    (FileSystem::Xfs, 0, b"XFSB", 32),
    (FileSystem::Btrfs, 0x1_0040, b"_BHRfS_M", 0x1_0020),
];

/// What is on a device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Its file system, where it is a known one.
    pub(super) file_system: Option<FileSystem>,
    /// What that is known by.
    pub(super) uuid: Option<String>,
}

/// Looks at a device.
pub(super) fn of(device: &Path) -> io::Result<Content> {
    let mut head = Vec::new();
    File::open(device)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(content(&head))
}

fn content(head: &[u8]) -> Content {
    let is_there = |place: usize, magic: &[u8]| head.get(place..place + magic.len()) == Some(magic);
    let found = KNOWN.iter().find(|(_, place, magic, _)| is_there(*place, magic));
    let uuid = |place: usize| head.get(place..place + 16).and_then(|bytes| uuid::Uuid::from_slice(bytes).ok());
    found.map_or_else(Content::default, |(file_system, _, _, place)| Content {
        file_system: Some(*file_system),
        uuid: uuid(*place).map(|uuid| uuid.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_known_by_its_magic_and_uuid() {
        let uuid = uuid::Uuid::new_v4();
        for (file_system, place, magic, uuid_place) in KNOWN {
            let mut head = vec![0; usize::try_from(HEAD_BYTES).unwrap()];
            head[place..place + magic.len()].copy_from_slice(magic);
            head[uuid_place..uuid_place + 16].copy_from_slice(uuid.as_bytes());
            let expected = Content { file_system: Some(file_system), uuid: Some(uuid.to_string()) };
            assert_eq!(content(&head), expected);
            assert_eq!(content(&head[..place]), Content::default(), "too short");
        }
        assert_eq!(content(&[0; 4096]), Content::default());
    }
}
