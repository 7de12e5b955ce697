//! Disks, and directories that stand for them.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_proto::v1::{Resource, ResourceKind};

use super::signature::{self, Mounts};
use super::{area, cleaned, read};

const BLOCK: &str = "/sys/block";
/// Disks and partitions alike, by their numbers.
const BY_NUMBER: &str = "/sys/dev/block";
/// Sizes in /sys are in units of 512 bytes, whatever the disk's own sector is.
const SECTOR_BYTES: u64 = 512;
/// Devices that are made of others, or of nothing: not disks of their own.
const NOT_DISKS: [&str; 7] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];

/// Every real disk, with what is on it.
pub(super) fn resources() -> Vec<Resource> {
    let mounts = Mounts::read();
    let entries = std::fs::read_dir(BLOCK).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let disks = names.filter(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    disks.map(|name| resource(&name, &mounts)).filter(|disk| disk.size > 0).collect()
}

fn resource(name: &str, mounts: &Mounts) -> Resource {
    let value = |file: &str| read(format!("{BLOCK}/{name}/{file}"));
    let wwn = [value("wwid"), value("device/wwid"), value("device/wwn")].into_iter().find(|wwn| !wwn.is_empty());
    let model = value("device/model");
    let path = format!("/dev/{}", name.replace('!', "/"));
    Resource {
        id: format!("disk-{}", cleaned(name)),
        kind: ResourceKind::Disk.into(),
        device_type: if model.is_empty() { driver(name) } else { model },
        signatures: signature::of_device(&format!("{BLOCK}/{name}"), name, Path::new(&path), mounts),
        path,
        size: value("size").parse::<u64>().unwrap_or(0) * SECTOR_BYTES,
        shared_name: wwn.unwrap_or_default(),
        ..Resource::default()
    }
}

fn driver(name: &str) -> String {
    let driver = std::fs::read_link(format!("{BLOCK}/{name}/device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    driver.unwrap_or_else(|| "disk".into())
}

/// Block devices that were named: partitions, volumes, loop devices. One that is not there is no disk now.
pub(super) fn devices(devices: &[PathBuf]) -> Vec<Resource> {
    let mounts = Mounts::read();
    devices.iter().filter_map(|path| device(path, &mounts).ok()).filter(|disk| disk.size > 0).collect()
}

fn device(path: &Path, mounts: &Mounts) -> anyhow::Result<Resource> {
    let (system, name) = in_system(path)?;
    let device_type = ["loop", "dm-", "md"].into_iter().find(|prefix| name.starts_with(prefix));
    Ok(Resource {
        id: format!("disk-{}", cleaned(&path.file_name().unwrap_or_default().to_string_lossy())),
        kind: ResourceKind::Disk.into(),
        device_type: device_type.map_or("device", |prefix| prefix.trim_end_matches('-')).into(),
        signatures: signature::of_device(&system, &name, path, mounts),
        path: path.to_string_lossy().into_owned(),
        size: read(format!("{system}/size")).parse::<u64>().unwrap_or(0) * SECTOR_BYTES,
        ..Resource::default()
    })
}

/// Directory and name by which /sys knows a block device.
pub(super) fn in_system(path: &Path) -> anyhow::Result<(String, String)> {
    let meta = std::fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
    anyhow::ensure!(meta.file_type().is_block_device(), "{} is no block device", path.display());
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let link = format!("{BY_NUMBER}/{major}:{minor}");
    let system = std::fs::canonicalize(&link).with_context(|| format!("look at {link}"))?;
    let name = system.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((system.to_string_lossy().into_owned(), name))
}

/// Directories as disks: their size is that of their file system. One that is not there keeps its id, and is no disk now.
pub(super) fn directories(directories: &[PathBuf]) -> Vec<Resource> {
    let mut found: Vec<Resource> = Vec::new();
    for directory in directories {
        let base = cleaned(&directory.file_name().unwrap_or_default().to_string_lossy());
        let taken = |id: &str| found.iter().any(|resource| resource.id == id);
        let numbered =
            std::iter::once(format!("disk-{base}")).chain((2..).map(|number| format!("disk-{base}-{number}")));
        let id = numbered.take(directories.len() + 1).find(|id| !taken(id)).unwrap_or_default();
        let size = area::size_of(directory).unwrap_or(0);
        found.push(Resource {
            id,
            kind: ResourceKind::Disk.into(),
            device_type: "directory".into(),
            path: directory.to_string_lossy().into_owned(),
            size,
            ..Resource::default()
        });
    }
    found.retain(|disk| Path::new(&disk.path).is_dir());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_one_name_are_two_disks() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = [a.path().join("disk1"), b.path().join("disk1")];
        paths.iter().for_each(|path| std::fs::create_dir(path).unwrap());
        let disks = directories(&paths);
        assert_eq!(disks.iter().map(|disk| disk.id.as_str()).collect::<Vec<_>>(), ["disk-disk1", "disk-disk1-2"]);
        assert!(disks.iter().all(|disk| disk.size > 0 && disk.signatures.is_empty()));
        std::fs::remove_dir(&paths[0]).unwrap();
        let left = directories(&paths);
        assert_eq!(left.iter().map(|disk| disk.id.as_str()).collect::<Vec<_>>(), ["disk-disk1-2"], "ids do not move");
    }
}
