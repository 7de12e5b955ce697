//! The device that a file lies on: what it asks of buffers, and whether it is still there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::buffer::ALIGNMENT;

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    /// Its directory in /sys; none for what has no device of its own (tmpfs, overlay, network).
    directory: Option<PathBuf>,
    memory_alignment: usize,
}

impl Device {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let status = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN)?;
        let directory = format!("/sys/dev/block/{}:{}", status.stx_dev_major, status.stx_dev_minor);
        let directory = Some(PathBuf::from(directory)).filter(|directory| directory.exists());
        // Kernels from 6.1 say what memory direct I/O takes; before that, a logical block is always right.
        let said = if StatxFlags::from_bits_retain(status.stx_mask).contains(StatxFlags::DIOALIGN) {
            usize::try_from(status.stx_dio_mem_align).ok()
        } else {
            directory.as_deref().and_then(logical_block_bytes)
        };
        let memory_alignment = said.filter(|bytes| bytes.is_power_of_two()).unwrap_or(ALIGNMENT);
        Ok(Self { directory, memory_alignment })
    }

    /// What an address of a buffer for direct I/O is a multiple of.
    pub(crate) fn memory_alignment(&self) -> usize {
        self.memory_alignment
    }

    /// Whether it was there and is not any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| !directory.exists())
    }
}

/// Of a disk, or of the disk that a partition belongs to.
fn logical_block_bytes(directory: &Path) -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(directory.join(path)).ok();
    let text = read("queue/logical_block_size").or_else(|| read("../queue/logical_block_size"))?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_gone_once_its_directory_is() {
        let directory = tempfile::tempdir().expect("directory");
        let device = Device { directory: Some(directory.path().to_owned()), memory_alignment: 512 };
        assert!(!device.is_gone());
        drop(directory);
        assert!(device.is_gone());
        assert!(!Device { directory: None, memory_alignment: 512 }.is_gone());
    }

    #[test]
    fn alignment_is_a_power_of_two() {
        let file = tempfile::tempfile().expect("file");
        let device = Device::of(&file).expect("status");
        assert!(device.memory_alignment().is_power_of_two() && !device.is_gone());
    }

    #[test]
    fn a_partition_has_the_blocks_of_its_disk() {
        let sys = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(sys.path().join("disk/queue")).expect("queue");
        std::fs::create_dir_all(sys.path().join("disk/part")).expect("part");
        std::fs::write(sys.path().join("disk/queue/logical_block_size"), "4096\n").expect("write");
        assert_eq!(logical_block_bytes(&sys.path().join("disk")), Some(4096));
        assert_eq!(logical_block_bytes(&sys.path().join("disk/part")), Some(4096));
        assert_eq!(logical_block_bytes(sys.path()), None);
    }
}
