//! Disks as test areas: what is done to a device by order, and areas that are mounted again.
//!
//! Responsible for the last look at a device before it is touched, and for what is done to it. Not for whether it was ordered
//! (`agent/preparing`), nor for what tests see of it (`probe`).

mod content;
mod make;
mod mounts;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use muster_model::{FileSystem, StorageTask};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::disk::storage::{Area, Areas, Order};
use crate::probe;

pub(crate) use mounts::is_mounted;

/// Carries out an order on a device that is to be mounted at a place; gives a sentence for people. The areas are what they are
/// after it, however it ends.
pub(crate) fn carry_out(order: &Order, device: &Path, state: &Path, areas: &mut Areas) -> anyhow::Result<String> {
    let (work, place) = (&order.work, state.join("areas").join(&order.work.resource));
    match work.task {
        StorageTask::Format => {
            let file_system = work.file_system.unwrap_or(FileSystem::Ext4);
            make::format(device, file_system, &order.uuid, &state.join("mkfs.log"))?;
            Ok(format!("{} has a new {file_system}", device.display()))
        }
        StorageTask::Mount => {
            areas.remove(&work.resource);
            let (file_system, uuid) = mount(device, &place, work.file_system)?;
            let (device, actor) = (device.to_owned(), work.actor.clone());
            let said = format!("{} is mounted at {} ({file_system})", device.display(), place.display());
            let area = Area { device, place, file_system: Some(file_system), uuid, actor };
            areas.insert(work.resource.clone(), area);
            Ok(said)
        }
        StorageTask::Dismount => {
            dismount(device, &place)?;
            areas.remove(&work.resource);
            Ok(format!("{} is a device again", device.display()))
        }
    }
}

/// What is known of an order that was begun in an earlier boot, in which the device may have had another name: nothing is done to it.
pub(crate) fn judge(order: &Order, device: &Path, areas: &mut Areas) -> anyhow::Result<String> {
    if order.work.task == StorageTask::Mount {
        areas.remove(&order.work.resource);
    }
    let found = content::of(device).ok().and_then(|found| found.uuid);
    if order.work.task == StorageTask::Format && found.as_deref() == Some(order.uuid.as_str()) {
        return Ok(format!("{} has its new file system", device.display()));
    }
    bail!("the machine was rebooted before it was done; order it again")
}

/// Mounts what is not mounted any more, after a reboot as a rule; tells of each area that can not be used why not.
pub(crate) fn restore(areas: &Areas) -> BTreeMap<String, String> {
    let mut troubles = BTreeMap::new();
    for (resource, area) in areas {
        if let Err(error) = restore_one(area) {
            tracing::warn!(resource, error = format!("{error:#}"), "a test area can not be used");
            troubles.insert(resource.clone(), format!("{error:#}"));
        }
    }
    troubles
}

fn restore_one(area: &Area) -> anyhow::Result<()> {
    ensure!(area.device.exists(), "its device {} is not there", area.device.display());
    if is_mounted(&area.device, &area.place) {
        return Ok(());
    }
    ensure!(!area.uuid.is_empty(), "it was not mounted yet");
    let found = content::of(&area.device).with_context(|| format!("read {}", area.device.display()))?;
    let is_it = found.uuid.as_ref() == Some(&area.uuid);
    ensure!(is_it, "{} has not the file system any more that was mounted", area.device.display());
    let (file_system, _) = mount(&area.device, &area.place, area.file_system)?;
    tracing::info!(device = %area.device.display(), %file_system, "a test area is mounted again");
    Ok(())
}

fn mount(device: &Path, place: &Path, wanted: Option<FileSystem>) -> anyhow::Result<(FileSystem, String)> {
    let found = content::of(device).with_context(|| format!("read {}", device.display()))?;
    let (Some(file_system), Some(uuid)) = (found.file_system, found.uuid) else {
        bail!("there is no file system on {} that is known: format it first", device.display());
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != file_system) {
        bail!("{} has {file_system}, and not {wanted}", device.display());
    }
    if is_mounted(device, place) {
        return Ok((file_system, uuid));
    }
    check_unused(device)?;
    std::fs::create_dir_all(place).with_context(|| format!("make {}", place.display()))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount(device, place, file_system.as_str(), flags, None)
        .with_context(|| format!("mount {} at {}", device.display(), place.display()))?;
    Ok((file_system, uuid))
}

fn dismount(device: &Path, place: &Path) -> anyhow::Result<()> {
    if is_mounted(device, place) {
        rustix::mount::unmount(place, UnmountFlags::empty())
            .with_context(|| format!("dismount {}: something on the machine may still use it", place.display()))?;
    }
    // What is left of the place harms nobody.
    let _ = std::fs::remove_dir(place);
    Ok(())
}

/// The last look: nobody has mounted it, built upon it, or swaps to it.
fn check_unused(device: &Path) -> anyhow::Result<()> {
    match probe::uses_of(device)?.first() {
        Some(found) => bail!("{} is in use ({found})", device.display()),
        None => Ok(()),
    }
}
