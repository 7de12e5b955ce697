//! Disks that are prepared by order, on loop devices.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{Script, World, at, id, orders, processes_of};
use muster_proto::v1::{
    self, AgentRefusal, FileSystem, PrepareResource, ProcessState, StorageDone, StorageOrdered, StorageOutcome,
    StorageTask, agent_command, report,
};
use muster_testkit::LoopDevice;

/// XFS is not made smaller than 300 MiB. The file has holes.
const SIZE_BYTES: u64 = 320 << 20;

/// What was reported of orders.
fn ends(script: &Script) -> Vec<StorageDone> {
    let done = |report: &v1::Report| match &report.kind {
        Some(report::Kind::Storage(done)) => Some(done.clone()),
        _ => None,
    };
    script.reports.iter().filter_map(done).collect()
}

/// The disk, as it was said last: in a hello, or by a report.
fn disk(script: &Script, resource: &str) -> v1::Resource {
    let said = script.reports.iter().rev().find_map(|report| match &report.kind {
        Some(report::Kind::Inventory(said)) => said.inventory.clone(),
        _ => None,
    });
    let hello = script.hellos.iter().rev().find_map(|(_, hello)| hello.inventory.clone());
    let inventory = said.or(hello).unwrap();
    inventory.resources.into_iter().find(|one| one.id == resource).unwrap()
}

struct Disk {
    world: World,
    device: LoopDevice,
}

impl Disk {
    /// An agent that has a loop device, and maybe leave to prepare it.
    async fn new(leave: bool) -> Self {
        let world = World::new().await;
        let device = LoopDevice::new(world.home.path().join("image"), SIZE_BYTES).unwrap();
        let mut disk = Self { world, device };
        disk.start(leave);
        disk.world.wait_up().await;
        disk
    }

    fn start(&mut self, leave: bool) {
        let device = self.device.path.to_string_lossy().into_owned();
        let more = ["--device", &device, "--allow-storage"].map(str::to_owned);
        self.world.start_agent_with(&more[..if leave { 3 } else { 2 }]);
    }

    /// Another life of the agent, up to its first heartbeat.
    async fn restart(&mut self) {
        self.world.kill_agent();
        self.comes_back().await;
    }

    async fn comes_back(&mut self) {
        let before = self.world.script().incarnation;
        self.start(true);
        let is_back = |script: &Script| {
            script.incarnation > before && script.heartbeats.last().is_some_and(|last| last.0 == script.incarnation)
        };
        self.world.wait("it is back", is_back).await;
    }

    fn order(&self, position: u64, task: StorageTask, file_system: FileSystem) -> agent_command::Kind {
        let ordered = StorageOrdered {
            resource: self.device.resource(),
            task: task.into(),
            file_system: file_system.into(),
            actor: "user:anna".into(),
        };
        agent_command::Kind::Prepare(PrepareResource { order: Some(at(position)), ordered: Some(ordered) })
    }

    async fn tell(&self, position: u64, task: StorageTask) -> v1::AgentReply {
        self.tell_type(position, task, FileSystem::Unspecified).await
    }

    async fn tell_type(&self, position: u64, task: StorageTask, file_system: FileSystem) -> v1::AgentReply {
        let (order, authority) = (self.order(position, task, file_system), self.world.authority(1));
        self.world.command("machine-lifecycle/a", "storage", order, authority).await
    }

    /// Tells it, and waits for the end.
    async fn done(&self, position: u64, task: StorageTask) -> (StorageOutcome, String) {
        self.done_type(position, task, FileSystem::Unspecified).await
    }

    async fn done_type(&self, position: u64, task: StorageTask, file_system: FileSystem) -> (StorageOutcome, String) {
        let before = ends(&self.world.script()).len();
        let reply = self.tell_type(position, task, file_system).await;
        assert_eq!(reply.storage.unwrap().order, Some(at(position)), "{reply:?}");
        self.world.wait("it has ended", |script| ends(script).len() > before).await;
        let end = ends(&self.world.script()).pop().unwrap();
        assert_eq!(end.order, Some(at(position)));
        (end.outcome(), end.detail)
    }

    async fn succeeds(&self, position: u64, task: StorageTask) {
        let (outcome, detail) = self.done(position, task).await;
        assert_eq!(outcome, StorageOutcome::Done, "{detail}");
    }

    async fn fails(&self, position: u64, task: StorageTask, why: &str) {
        let (outcome, detail) = self.done(position, task).await;
        assert_eq!(outcome, StorageOutcome::Failed, "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_becomes_an_area_and_a_device_again_and_each_order_is_done_once() {
    let disk_of = |found: &v1::Resource| (found.path.clone(), found.signatures.clone(), found.area.is_some());
    let mut disk = Disk::new(true).await;
    let (device, resource) = (disk.device.path.to_string_lossy().into_owned(), disk.device.resource());
    disk.fails(10, StorageTask::Mount, "no file system").await;
    disk.succeeds(11, StorageTask::Format).await;
    let formatted = disk.device.bytes().unwrap();
    disk.tell(11, StorageTask::Format).await;
    assert_eq!(disk.device.bytes().unwrap(), formatted, "what is told twice is done once");
    assert_eq!(disk_of(&seen(&disk)), (device.clone(), vec!["ext".into()], false));
    disk.succeeds(12, StorageTask::Mount).await;
    let place = disk.world.state().join("areas").join(&resource);
    let found = seen(&disk);
    assert_eq!(disk_of(&found), (place.to_string_lossy().into_owned(), vec![], true));
    assert_eq!(found.area.unwrap().actor, "user:anna");
    assert!(disk.device.mounted_at() == [place.canonicalize().unwrap()], "{:?}", disk.device.mounted_at());
    disk.fails(13, StorageTask::Format, "in use").await;

    // Another life of the agent finds it mounted; after a reboot it mounts it again.
    std::fs::write(place.join("kept"), "words").unwrap();
    for dismounts in [false, true] {
        disk.world.kill_agent();
        if dismounts {
            rustix::mount::unmount(&place, rustix::mount::UnmountFlags::empty()).unwrap();
        }
        let hellos = disk.world.script().hellos.len();
        disk.comes_back().await;
        assert_eq!(std::fs::read_to_string(place.join("kept")).unwrap(), "words");
        let hello = disk.world.script().hellos[hellos].1.clone();
        let found = hello.inventory.unwrap().resources.into_iter().find(|one| one.id == resource).unwrap();
        assert_eq!(disk_of(&found).1, Vec::<String>::new(), "its own mount does not protect it");
    }
    disk.succeeds(14, StorageTask::Dismount).await;
    assert_eq!(disk_of(&seen(&disk)), (device, vec!["ext".into()], false));
    assert!(disk.device.mounted_at().is_empty());
    assert_eq!(ends(&disk.world.script()).len(), 5, "one report for each order");
}

/// The disk, as it was said last.
fn seen(tested: &Disk) -> v1::Resource {
    disk(&tested.world.script(), &tested.device.resource())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_on_a_disk_is_stopped_before_it_is_touched_and_nothing_starts_meanwhile() {
    let disk = Disk::new(true).await;
    disk.succeeds(10, StorageTask::Format).await;
    disk.succeeds(11, StorageTask::Mount).await;
    let module = disk.world.ping_module().await;
    let on_disk = |job, parameters: &[(&str, &str)]| {
        let mut orders = orders(&module, job, 1..=1, parameters);
        orders.processes[0].resources = vec![disk.device.resource()];
        orders
    };
    disk.world.update(vec![on_disk(1, &[]), orders(&module, 2, 1..=1, &[])], vec![]).await;
    disk.world.wait("both run", |script| processes_of(script, ProcessState::Running) == 2).await;
    disk.succeeds(12, StorageTask::Dismount).await;
    let states = disk.world.states();
    let ended = &states[&id(1, 1)];
    assert_eq!((ended.state(), ended.reason.as_str()), (ProcessState::Finished, "prepared"), "{ended:?}");
    assert_eq!(states[&id(2, 1)].state(), ProcessState::Running, "what runs elsewhere goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_protected_or_used_by_others_or_not_allowed_is_not_touched() {
    let mut disk = Disk::new(false).await;
    let before = disk.device.bytes().unwrap();
    disk.fails(10, StorageTask::Format, "--allow-storage").await;
    disk.world.script().machine.protected = vec![disk.device.resource()];
    disk.restart().await;
    disk.fails(11, StorageTask::Format, "protected").await;
    disk.fails(12, StorageTask::Mount, "protected").await;
    assert_eq!(disk.device.bytes().unwrap(), before);
    disk.world.script().machine.protected = Vec::new();
    disk.restart().await;
    disk.succeeds(13, StorageTask::Format).await;
    let elsewhere = disk.world.home.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount(&disk.device.path, &elsewhere, "ext4", flags, None).unwrap();
    disk.fails(14, StorageTask::Format, "in use (mounted:").await;
    disk.fails(15, StorageTask::Mount, "in use (mounted:").await;
    let reply = disk.world.command("machine-lifecycle/a", "storage", unknown(), disk.world.authority(1)).await;
    assert_eq!(reply.refusal(), AgentRefusal::Invalid, "{reply:?}");
}

/// An order of a later version.
fn unknown() -> agent_command::Kind {
    let ordered = StorageOrdered { resource: "disk-a".into(), task: 99, ..StorageOrdered::default() };
    agent_command::Kind::Prepare(PrepareResource { order: Some(at(20)), ordered: Some(ordered) })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_a_kill_broke_off_is_gone_on_with_and_is_done_once() {
    let mut disk = Disk::new(true).await;
    for position in 10..14 {
        let before = ends(&disk.world.script()).len();
        disk.tell(position, StorageTask::Format).await;
        disk.restart().await;
        disk.tell(position, StorageTask::Format).await;
        disk.world.wait("it has ended", |script| ends(script).len() > before).await;
        let end = ends(&disk.world.script()).pop().unwrap();
        assert_eq!((end.order, end.outcome()), (Some(at(position)), StorageOutcome::Done), "{end:?}");
        let kept = std::fs::read_to_string(disk.world.state().join("storage.json")).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        let uuid = uuid::Uuid::from_slice(&disk.device.bytes().unwrap()[0x468..0x478]).unwrap().to_string();
        assert_eq!(kept["order"]["uuid"], uuid.as_str(), "it is the file system of this order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_an_earlier_boot_is_judged_and_not_done() {
    let mut disk = Disk::new(true).await;
    disk.world.kill_agent();
    let before = disk.device.bytes().unwrap();
    let kept = serde_json::json!({
        "order": {
            "position": [1, 10],
            "work": { "resource": disk.device.resource(), "task": "format", "file_system": "ext4", "actor": "user:anna" },
            "uuid": uuid::Uuid::new_v4().to_string(),
            "boot_id": "another",
            "ended": false,
        },
        "areas": {},
    });
    write(&disk.world.state().join("storage.json"), &kept);
    disk.start(true);
    disk.world.wait("it has ended", |script| ends(script).len() == 1).await;
    let end = ends(&disk.world.script()).pop().unwrap();
    assert_eq!(end.outcome(), StorageOutcome::Failed);
    assert!(end.detail.contains("rebooted"), "{end:?}");
    assert_eq!(disk.device.bytes().unwrap(), before, "the device may be another one by now");
}

fn write(path: &Path, kept: &serde_json::Value) {
    std::fs::write(path, kept.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_of_file_system_is_made_mounted_and_told_from_the_others() {
    for (program, package) in [("mkfs.ext4", "e2fsprogs"), ("mkfs.xfs", "xfsprogs"), ("mkfs.btrfs", "btrfs-progs")] {
        muster_testkit::tools::packaged_in(program, package).unwrap();
    }
    let disk = Disk::new(true).await;
    let types = [FileSystem::Xfs, FileSystem::Btrfs, FileSystem::Ext4];
    for (number, file_system) in (0..).zip(types) {
        let (formatted, detail) = disk.done_type(10 + number * 10, StorageTask::Format, file_system).await;
        assert_eq!(formatted, StorageOutcome::Done, "{detail}");
        let other = types[(usize::try_from(number).unwrap() + 1) % types.len()];
        let (refused, why) = disk.done_type(11 + number * 10, StorageTask::Mount, other).await;
        assert!(refused == StorageOutcome::Failed && why.contains("and not"), "{why}");
        disk.succeeds(12 + number * 10, StorageTask::Mount).await;
        let area = seen(&disk).area.unwrap();
        assert_eq!((area.file_system(), area.trouble.as_str()), (file_system, ""));
        assert_eq!(seen(&disk).signatures, Vec::<String>::new());
        disk.succeeds(13 + number * 10, StorageTask::Dismount).await;
        assert!(seen(&disk).area.is_none());
    }
}
