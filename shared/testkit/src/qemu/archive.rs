//! The archive format of initial RAM disks (cpio, "newc"), compressed with gzip.

use std::io::Write;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Kinds of files, as stat(2) has them.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive that is being made.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder.
    pub(super) fn folder(&mut self, name: &str) {
        self.add(name, FOLDER | 0o755, &[]);
    }

    /// Adds a file that may be executed.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) {
        self.add(name, FILE | 0o755, content);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, name: &str, to: &str) {
        self.add(name, LINK | 0o777, to.as_bytes());
    }

    /// The archive, compressed.
    pub(super) fn compressed(mut self) -> anyhow::Result<Vec<u8>> {
        self.add("TRAILER!!!", 0, &[]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.bytes).context("compress an archive")?;
        encoder.finish().context("compress an archive")
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("files of an initial RAM disk are small");
        let name = format!("{name}\0");
        // inode, mode, user, group, links, time, size, device twice, device of the file twice, size of the name, sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size(content), 0, 0, 0, 0, size(name.as_bytes()), 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        for part in [name.as_bytes(), content] {
            self.bytes.extend_from_slice(part);
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.folder("etc");
        archive.file("etc/a", b"12345");
        archive.link("b", "etc/a");
        let heads = archive.bytes.windows(6).enumerate().filter(|(_, bytes)| bytes == b"070701");
        assert_eq!(heads.map(|(place, _)| place % 4).collect::<Vec<_>>(), [0; 3]);
        let content = archive.bytes.windows(6).position(|bytes| bytes == b"12345\0");
        assert_eq!(content.map(|place| place % 4), Some(0));
        assert_eq!(archive.compressed().expect("it is compressed")[..2], [0x1f, 0x8b]);
    }
}
