//! Disks of a simulated machine that are prepared by order: done at once, and nothing is lost because nothing is there. No I/O.

use std::collections::BTreeMap;

use muster_proto::v1::{
    Area, FileSystem, Position, PrepareResource, Resource, StorageDone, StorageOutcome, StorageProgress, StorageStep,
    StorageTask,
};

/// Disks of one machine.
#[derive(Debug, Default)]
pub(crate) struct Disks {
    /// Mounted ones, by resource id.
    areas: BTreeMap<String, Area>,
    /// File systems that were made.
    formatted: BTreeMap<String, FileSystem>,
    newest: Option<Position>,
}

impl Disks {
    /// How far it is with the newest order.
    pub(crate) fn progress(&self) -> Option<StorageProgress> {
        self.newest.map(|order| StorageProgress { order: Some(order), step: StorageStep::Ended.into() })
    }

    /// Carries out an order, once; none for one that is known.
    pub(crate) fn prepare(&mut self, order: &PrepareResource) -> Option<StorageDone> {
        if self.newest == order.order {
            return None;
        }
        self.newest = order.order;
        let ordered = order.ordered.clone().unwrap_or_default();
        let has = self.formatted.get(&ordered.resource).copied();
        let result = match (ordered.task(), has) {
            (StorageTask::Format, _) => {
                let file_system = ordered.file_system();
                self.formatted.insert(ordered.resource, file_system);
                Ok("it has a new file system")
            }
            (StorageTask::Mount, Some(file_system)) => {
                let device = device_of(&ordered.resource);
                let area =
                    Area { file_system: file_system.into(), actor: ordered.actor, device, trouble: String::new() };
                self.areas.insert(ordered.resource, area);
                Ok("it is mounted")
            }
            (StorageTask::Mount, None) => Err("there is no file system on it that is known: format it first"),
            (StorageTask::Dismount, _) => {
                self.areas.remove(&ordered.resource);
                Ok("it is a device again")
            }
            (StorageTask::Unspecified, _) => Err("it orders nothing that this machine knows"),
        };
        let outcome = if result.is_ok() { StorageOutcome::Done } else { StorageOutcome::Failed };
        let detail = result.unwrap_or_else(|why| why).to_owned();
        Some(StorageDone { order: order.order, outcome: outcome.into(), detail })
    }

    /// Makes areas of the disks that are mounted.
    pub(crate) fn show(&self, resources: &mut [Resource]) {
        for resource in resources {
            if let Some(area) = self.areas.get(&resource.id) {
                resource.path = format!("/areas/{}", resource.id);
                resource.area = Some(area.clone());
            }
        }
    }
}

/// The path of a simulated disk.
pub(crate) fn device_of(resource: &str) -> String {
    format!("/dev/simulated-{resource}")
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::StorageOrdered;

    use super::*;

    #[test]
    fn a_disk_is_mounted_once_it_was_formatted_and_each_order_is_done_once() {
        let mut disks = Disks::default();
        let mut check = |sequence: u64, task: StorageTask| {
            let ordered = StorageOrdered { resource: "disk-1".into(), task: task.into(), ..StorageOrdered::default() };
            let order = PrepareResource { order: Some(Position { lineage: 1, sequence }), ordered: Some(ordered) };
            let done = disks.prepare(&order).map(|done| done.outcome());
            let mut resources = [Resource { id: "disk-1".into(), ..Resource::default() }];
            disks.show(&mut resources);
            (done, resources[0].area.is_some())
        };
        assert_eq!(check(1, StorageTask::Mount), (Some(StorageOutcome::Failed), false));
        assert_eq!(check(2, StorageTask::Format), (Some(StorageOutcome::Done), false));
        assert_eq!(check(3, StorageTask::Mount), (Some(StorageOutcome::Done), true));
        assert_eq!(check(3, StorageTask::Mount), (None, true));
        assert_eq!(check(4, StorageTask::Dismount), (Some(StorageOutcome::Done), false));
    }
}
