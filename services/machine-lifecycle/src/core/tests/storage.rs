use muster_model::{FileSystem, StorageOutcome, StorageProgress, StorageStep, StorageTask};

use super::*;
use crate::core::limits::{STORAGE_TOLD_WITHIN, STORAGE_WITHIN};
use crate::core::{Area, HoldSetting, PrepareTask, StorageOrdering, StorageReport, StorageWork};

impl World {
    fn prepare(&mut self, task: StorageTask, resource: &str) -> Result<Vec<Fact>, Refusal> {
        self.prepare_by("user:anna", task, resource, true)
    }

    fn prepare_by(
        &mut self,
        actor: &str,
        task: StorageTask,
        resource: &str,
        confirmed: bool,
    ) -> Result<Vec<Fact>, Refusal> {
        let file_system = (task == StorageTask::Format).then_some(FileSystem::Ext4);
        let resource = ResourceId::new(resource).unwrap();
        let work = StorageWork { resource, task, file_system, actor: actor.into() };
        self.command(Command::Storage(StorageOrdering { machine: id("a"), work, confirmed }))
    }

    fn told(&self) -> Vec<PrepareTask> {
        let task = |effect: Effect| match effect {
            Effect::Prepare { task, .. } => Some(*task),
            Effect::SendDesired { .. }
            | Effect::KeepKernel { .. }
            | Effect::Switch { .. }
            | Effect::LookAtPower { .. }
            | Effect::Boot { .. } => None,
        };
        self.wanted().into_iter().filter_map(task).collect()
    }

    /// The agent says that it is at its newest order, and has everything that it was told.
    fn at_it(&mut self) {
        let order = self.machine("a").storage.as_ref().unwrap().position;
        let storage = Some(StorageProgress { order, step: StorageStep::Acting });
        let heartbeat = Heartbeat { storage, ..self.heartbeat("a") };
        self.observe(Observation::Heartbeat(heartbeat));
    }

    fn report(&self, outcome: StorageOutcome) -> Input {
        let position = self.machine("a").storage.as_ref().unwrap().position;
        Input::StorageDone { machine: id("a"), report: StorageReport { position, outcome, detail: "said".into() } }
    }

    /// Probing finds these disks.
    fn found(&mut self, disks: Vec<Resource>) {
        let hello = Hello { inventory: Some(inventory(disks)), ..later_hello(self, "a") };
        self.hello(hello);
        self.beat("a");
    }
}

fn mounted(name: &str, trouble: &str) -> Resource {
    let area = Area {
        file_system: Some(FileSystem::Ext4),
        actor: "user:anna".into(),
        device: format!("/dev/{name}"),
        trouble: trouble.into(),
    };
    Resource { path: format!("/areas/{name}"), area: Some(area), ..disk(name, &[]) }
}

fn world() -> World {
    let mut world = World::new();
    world.ready_machine("a");
    world
}

fn why(result: Result<Vec<Fact>, Refusal>) -> String {
    let refusal = result.unwrap_err();
    assert!(!refusal.next.is_empty());
    refusal.why
}

#[test]
fn a_disk_is_formatted_once_and_is_the_tests_from_the_order_on() {
    let mut world = world();
    let facts = world.prepare(StorageTask::Format, "disk-a").unwrap();
    assert!(matches!(facts[..], [Fact::ProtectionChanged(_), Fact::StorageOrdered(_)]), "{facts:?}");
    assert!(world.told().is_empty(), "its agent does not know yet that it is released");
    world.beat("a");
    let [task] = &world.told()[..] else { panic!("one task") };
    assert_eq!((task.work.task, task.position), (StorageTask::Format, world.machine("a").generation));
    world.at_it();
    assert!(world.told().is_empty(), "who is at it is not told again");
    let done = world.report(StorageOutcome::Done);
    assert!(matches!(world.facts(done.clone())[..], [Fact::StorageEnded { outcome: StorageOutcome::Done, .. }]));
    assert!(world.facts(done).is_empty(), "a repeated report is no news");
    world.found(vec![disk("disk-a", &["ext"])]);
    assert!(!world.machine("a").shields(&resource("disk-a")), "its new signature does not protect it");
    world.check_replay();
}

#[test]
fn a_new_leader_goes_on_with_an_order() {
    let mut world = world();
    world.prepare(StorageTask::Mount, "disk-a").unwrap();
    world.beat("a");
    world.at_it();
    world.observe(Observation::LeadershipBegan);
    assert!(world.told().is_empty(), "nobody is heard yet");
    world.at_it();
    assert!(world.told().is_empty() && world.tick().is_empty(), "it goes on");
    world.beat("a");
    assert_eq!(world.told().len(), 1, "an agent that has forgotten it is told again");
}

#[test]
fn what_is_so_already_is_not_ordered() {
    let mut world = world();
    assert!(world.prepare(StorageTask::Dismount, "disk-a").unwrap().is_empty());
    world.found(vec![mounted("disk-a", "")]);
    assert!(world.prepare(StorageTask::Mount, "disk-a").unwrap().is_empty());
    assert!(why(world.prepare(StorageTask::Format, "disk-a")).contains("mounted as a test area at /areas/disk-a"));
    assert_eq!(world.prepare(StorageTask::Dismount, "disk-a").unwrap().len(), 1);
}

#[test]
fn what_may_not_be_touched_is_refused() {
    let mut world = world();
    assert!(why(world.prepare(StorageTask::Format, "disk-b")).contains("protected (ext4)"));
    assert!(why(world.prepare(StorageTask::Mount, "disk-b")).contains("protected"));
    assert!(why(world.prepare(StorageTask::Format, "disk-z")).contains("no such resource"));
    assert!(why(world.prepare_by("user:anna", StorageTask::Format, "disk-a", false)).contains("would be lost"));
    let directory = Resource { path: "/srv/disk1".into(), ..disk("disk-d", &[]) };
    let cpu = Resource { kind: ResourceKind::Cpu, ..disk("cpu0", &[]) };
    let shared = Resource { shared_name: "naa.5000".into(), ..disk("disk-s", &[]) };
    world.found(vec![cpu, disk("disk-a", &[]), directory, shared.clone()]);
    assert!(why(world.prepare(StorageTask::Mount, "disk-d")).contains("directory"));
    assert!(why(world.prepare(StorageTask::Mount, "cpu0")).contains("no disk"));
    world.prepare(StorageTask::Mount, "disk-s").unwrap();
    assert!(why(world.prepare(StorageTask::Mount, "disk-a")).contains("mount disk-s of user:anna is under way"));
    let failed = world.report(StorageOutcome::Failed);
    world.facts(failed);
    world.ready_machine("b");
    let reached = Hello { inventory: Some(inventory(vec![shared])), ..later_hello(&world, "b") };
    world.hello(reached);
    assert!(why(world.prepare(StorageTask::Mount, "disk-s")).contains("b reaches the same disk"));
    assert!(world.told().is_empty());
}

#[test]
fn a_machine_that_is_held_down_or_out_is_refused() {
    let mut world = world();
    world.command(Command::Hold(HoldSetting { held: true, actor: "user:bo".into(), reason: String::new() })).unwrap();
    world.prepare(StorageTask::Mount, "disk-a").expect("a hold is for power and reboots");
    let failed = world.report(StorageOutcome::Failed);
    world.facts(failed);
    let granted = Input::Granted(grant(&world, 7, &["a"]));
    world.facts(granted);
    assert!(why(world.prepare(StorageTask::Mount, "disk-a")).contains("changing hands"));
    arrive(&mut world, "a");
    world.beat("a");
    assert!(why(world.prepare_by("user:bo", StorageTask::Mount, "disk-a", true)).contains("user:anna has it"));
    world.prepare(StorageTask::Mount, "disk-a").expect("she has it herself");
    let failed = world.report(StorageOutcome::Failed);
    world.facts(failed);
    world.now = world.now + seconds(60);
    assert!(why(world.prepare(StorageTask::Mount, "disk-a")).contains("not heard"));
    world.beat("a");
    world.command(Command::SetFlag(FlagSetting { selector: selector("a"), flag: Flag::Active, value: false })).unwrap();
    assert!(why(world.prepare(StorageTask::Mount, "disk-a")).contains("take part"));
}

#[test]
fn an_order_that_may_not_be_told_any_more_ends() {
    let ended = |world: &mut World, why: &str| {
        world.beat("a");
        let facts = world.tick();
        let found = facts.iter().any(
            |fact| matches!(fact, Fact::StorageEnded { outcome: StorageOutcome::Failed, detail } if detail.contains(why)),
        );
        assert!(found, "{why}: {facts:?}");
        assert!(world.told().is_empty());
    };
    let mut world = world();
    world.prepare(StorageTask::Mount, "disk-a").unwrap();
    world.command(protect(&["disk-a"], true)).unwrap();
    ended(&mut world, "protected");
    world.command(protect(&["disk-a"], false)).unwrap();
    world.beat("a");
    world.prepare(StorageTask::Mount, "disk-a").unwrap();
    let rebooted = Hello { boot_id: "boot-2".into(), ..later_hello(&world, "a") };
    world.hello(rebooted);
    ended(&mut world, "rebooted");
    world.prepare(StorageTask::Mount, "disk-a").unwrap();
    world.now = world.now + STORAGE_TOLD_WITHIN;
    ended(&mut world, "did not take it");
    world.prepare(StorageTask::Mount, "disk-a").unwrap();
    world.now = world.now + STORAGE_WITHIN;
    world.at_it();
    assert!(matches!(world.tick()[..], [Fact::StorageEnded { outcome: StorageOutcome::Failed, .. }]));
    world.check_replay();
}

#[test]
fn an_area_that_can_not_be_used_can_be_dismounted() {
    let mut world = world();
    world.found(vec![mounted("disk-a", "its device is not there")]);
    assert_eq!(world.prepare(StorageTask::Dismount, "disk-a").unwrap().len(), 1);
}
