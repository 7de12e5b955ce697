//! Disks that are mounted as test areas: what tests see of them is a directory. One whose file system is not where it should be keeps its
//! id, and says why it can not be used.

use std::collections::BTreeMap;
use std::path::Path;

use muster_proto::v1::{self, Resource, ResourceKind};

use crate::disk::storage::{Area, Areas};

/// Signatures that a mounted area has of its own, beside its mount point.
const OWN_SIGNATURES: [&str; 3] = ["ext", "xfs", "btrfs"];

/// Makes areas of resources. Those in trouble are told with the reason.
pub(super) fn apply(resources: &mut Vec<Resource>, areas: &Areas, troubles: &BTreeMap<String, String>) {
    for (id, area) in areas {
        let trouble = troubles.get(id).cloned().unwrap_or_default();
        match resources.iter_mut().find(|resource| resource.id == *id) {
            Some(resource) => become_area(resource, area, trouble),
            None => resources.push(absent(id, area, trouble)),
        }
    }
}

fn become_area(resource: &mut Resource, area: &Area, trouble: String) {
    let is_usable = trouble.is_empty();
    resource.area = Some(to_wire(area, trouble));
    if !is_usable {
        return;
    }
    let mount_point = format!("mounted:{}", area.place.display());
    let is_own = |signature: &str| signature == mount_point || OWN_SIGNATURES.contains(&signature);
    resource.signatures.retain(|signature| !is_own(signature));
    resource.path = area.place.to_string_lossy().into_owned();
    resource.size = size_of(&area.place).unwrap_or(resource.size);
}

fn absent(id: &str, area: &Area, trouble: String) -> Resource {
    Resource {
        id: id.into(),
        kind: ResourceKind::Disk.into(),
        path: area.device.to_string_lossy().into_owned(),
        area: Some(to_wire(area, if trouble.is_empty() { "its device was not found".into() } else { trouble })),
        ..Resource::default()
    }
}

fn to_wire(area: &Area, trouble: String) -> v1::Area {
    v1::Area {
        file_system: v1::FileSystem::from(area.file_system).into(),
        actor: area.actor.clone(),
        device: area.device.to_string_lossy().into_owned(),
        trouble,
    }
}

/// Size of the file system at a place.
pub(super) fn size_of(place: &Path) -> Option<u64> {
    rustix::fs::statvfs(place).map(|file_system| file_system.f_blocks * file_system.f_frsize).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(signatures: &[&str]) -> Resource {
        Resource {
            id: "disk-sdb".into(),
            kind: ResourceKind::Disk.into(),
            path: "/dev/sdb".into(),
            size: 7,
            signatures: signatures.iter().map(ToString::to_string).collect(),
            ..Resource::default()
        }
    }

    fn check(signatures: &[&str], trouble: &str) -> Vec<Resource> {
        let place = std::env::temp_dir();
        let mounted = format!("mounted:{}", place.display());
        let signatures: Vec<&str> =
            signatures.iter().map(|word| if *word == "here" { &mounted } else { *word }).collect();
        let area =
            Area { device: "/dev/sdb".into(), place, file_system: None, uuid: "u".into(), actor: "user:anna".into() };
        let mut resources = vec![disk(&signatures)];
        let troubles = [("disk-sdb".to_owned(), trouble.to_owned())].into_iter().filter(|(_, why)| !why.is_empty());
        apply(&mut resources, &[("disk-sdb".to_owned(), area)].into(), &troubles.collect());
        resources
    }

    #[test]
    fn an_area_is_a_directory_and_its_own_mount_does_not_protect_it() {
        let found = &check(&["ext", "here"], "")[0];
        assert_eq!((found.path.as_str(), found.signatures.len()), (std::env::temp_dir().to_str().unwrap(), 0));
        assert!(found.size > 7);
        let elsewhere = &check(&["ext", "here", "mounted:/srv"], "")[0];
        assert_eq!(elsewhere.signatures, ["mounted:/srv"], "somebody else uses it too");
    }

    #[test]
    fn an_area_in_trouble_stays_a_device_and_says_why() {
        let found = &check(&["ext"], "it has another file system")[0];
        assert_eq!((found.path.as_str(), found.signatures.len()), ("/dev/sdb", 1));
        assert_eq!(found.area.as_ref().unwrap().trouble, "it has another file system");
        let area = Area {
            device: "/dev/sdc".into(),
            place: "/areas/disk-sdc".into(),
            file_system: None,
            uuid: "u".into(),
            actor: "user:anna".into(),
        };
        let mut resources = Vec::new();
        apply(&mut resources, &[("disk-sdc".to_owned(), area)].into(), &BTreeMap::new());
        assert!(resources[0].area.as_ref().unwrap().trouble.contains("not found"));
    }
}
