//! Ordered boots: forward, back, and given up.

use muster_model::{BootDriver, BootProgress, BootStep, BootVerdict};

use super::kernels::kernel;
use super::*;
use crate::core::{BootOrder, BootTask, Holder, Kernel};

const NONCE: &str = "feedfeed";

impl World {
    /// A kernel `k`, and ready machines that can be booted.
    pub(super) fn bootable(names: &[&str]) -> Self {
        let mut world = Self::new();
        world.command(Command::AddKernel(Box::new(kernel("k")))).unwrap();
        for name in names {
            world.ready_machine(name);
            world.command(settings(name, Some(Some(BootDriver::Simulated)), Some(3))).unwrap();
            world.beat(name);
            world.tick();
        }
        world
    }

    pub(super) fn order(&mut self, name: &str, kernel: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        self.order_by("user:anna", name, kernel)
    }

    fn order_by(&mut self, actor: &str, name: &str, kernel: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        let kernel = kernel.map(|name| KernelName::new(name).unwrap());
        let (selector, nonce, actor) = (selector(name), NONCE.into(), actor.into());
        self.command(Command::Boot(BootOrder { selector, kernel, nonce, actor }))
    }

    /// The agent says how far it is with its present operation, and has everything that it was told.
    pub(super) fn progress(&mut self, name: &str, step: BootStep) -> Vec<Fact> {
        let operation = self.machine(name).boot.as_ref().unwrap().operation();
        let boot = Some(BootProgress { operation, step, detail: "why".into() });
        let heartbeat = Heartbeat { boot, ..self.heartbeat(name) };
        self.observe(Observation::Heartbeat(heartbeat));
        self.tick()
    }

    /// Says hello in a new boot, running this kernel under this command line.
    pub(super) fn comes_back(&mut self, name: &str, boot_id: &str, running: (&str, &str), command_line: &str) {
        let hello = self.back_in(name, boot_id, running, command_line);
        self.hello(hello);
        self.beat(name);
    }

    /// The hello of such a boot.
    pub(super) fn back_in(&self, name: &str, boot_id: &str, running: (&str, &str), command_line: &str) -> Hello {
        let found = Inventory {
            kernel_release: running.0.into(),
            kernel_build_id: running.1.into(),
            ..Inventory::clone(&inventory(vec![]))
        };
        Hello {
            boot_id: boot_id.into(),
            command_line: command_line.into(),
            inventory: Some(Arc::new(found)),
            ..later_hello(self, name)
        }
    }

    /// Comes back as ordered, in the present attempt.
    pub(super) fn comes_back_right(&mut self, name: &str, boot_id: &str) {
        let attempt = self.machine(name).boot.as_ref().unwrap().attempt;
        let k = kernel("k");
        let line = format!("quiet muster.boot={NONCE}.{attempt}");
        self.comes_back(name, boot_id, (&k.release, &k.build_id), &line);
    }

    /// From the order to the moment at which it goes down.
    pub(super) fn goes_down(&mut self, name: &str) {
        self.progress(name, BootStep::Installed);
        assert_eq!(self.machine(name).phase, Phase::Rebooting);
        self.progress(name, BootStep::Rebooting);
    }

    pub(super) fn verdict(&self, name: &str) -> Option<BootVerdict> {
        self.machine(name).boot.as_ref().and_then(|boot| boot.verdict)
    }

    pub(super) fn tasks(&self) -> Vec<BootTask> {
        let task = |effect: Effect| match effect {
            Effect::Boot { task, .. } => Some(*task),
            Effect::SendDesired { .. }
            | Effect::Switch { .. }
            | Effect::LookAtPower { .. }
            | Effect::KeepKernel { .. }
            | Effect::Prepare { .. } => None,
        };
        self.wanted().into_iter().filter_map(task).collect()
    }
}

pub(super) fn settings(name: &str, boot_driver: Option<Option<BootDriver>>, attempts_max: Option<u32>) -> Command {
    let change = Box::new(SettingsChange { boot_driver, attempts_max, ..SettingsChange::default() });
    Command::SetSettings { selector: selector(name), change }
}

#[test]
fn an_ordered_kernel_is_installed_booted_and_proven_before_anything_may_start() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    assert_eq!(world.machine("a").phase, Phase::Installing);
    assert!(super::super::desired_of(world.machine("a")).draining, "starts are refused from the order on");
    world.beat("a");
    let [install] = &world.tasks()[..] else { panic!("one task") };
    assert!(!install.reboot && install.driver == BootDriver::Simulated);
    world.progress("a", BootStep::Installing);
    assert_eq!(world.tasks(), [], "who is at it is not told again");
    world.progress("a", BootStep::Installed);
    let [reboot] = &world.tasks()[..] else { panic!("one task") };
    assert!(reboot.reboot && reboot.nonce.as_deref() == Some("feedfeed.1") && reboot.operation == install.operation);
    world.progress("a", BootStep::Rebooting);
    assert_eq!(world.tasks(), []);
    world.comes_back_right("a", "boot-2");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
    assert!(!super::super::desired_of(world.machine("a")).draining);
    assert!(world.tick().is_empty() && world.tasks().is_empty());
    world.check_replay();
}

#[test]
fn a_machine_reboots_when_it_is_empty_or_when_its_drain_is_over() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.progress("a", BootStep::Installed);
    let busy = |world: &mut World| {
        let heartbeat = Heartbeat { processes_live: 2, ..world.heartbeat("a") };
        world.observe(Observation::Heartbeat(heartbeat));
    };
    busy(&mut world);
    assert_eq!(world.tasks(), []);
    world.beat("a");
    assert_eq!(world.tasks().len(), 1);
    world.now = world.now + world.machine("a").settings.drain;
    busy(&mut world);
    assert_eq!(world.tasks().len(), 1, "what does not end in time ends with the machine");
}

#[test]
fn the_wrong_kernel_is_tried_again_until_the_attempts_are_spent() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    for attempt in 1..=3 {
        assert_eq!(world.machine("a").boot.as_ref().unwrap().attempt, attempt);
        world.goes_down("a");
        world.comes_back("a", &format!("boot-{}", attempt + 1), ("6.1.0", "57"), "quiet");
        assert_eq!(world.verdict("a"), Some(BootVerdict::WrongKernel));
    }
    assert_eq!(world.machine("a").phase, Phase::Offline);
    assert!(world.machine("a").trouble().contains("3 of 3"), "{}", world.machine("a").trouble());
    let again = later_hello(&world, "a");
    world.hello(again);
    assert_eq!(world.machine("a").phase, Phase::Offline, "a hello alone does not make it usable");
    world.check_replay();
}

#[test]
fn the_right_release_without_the_nonce_is_the_wrong_kernel() {
    let mut world = World::bootable(&["a"]);
    let k = kernel("k");
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.comes_back("a", "boot-2", (&k.release, &k.build_id), "quiet muster.boot=other.1");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Installing, Some(BootVerdict::WrongKernel)));
}

#[test]
fn the_wrong_build_is_not_tried_again() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.comes_back("a", "boot-2", (&kernel("k").release, "57"), "muster.boot=feedfeed.1");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Offline, Some(BootVerdict::WrongBuild)));
    assert!(world.machine("a").trouble().contains("another build"));
}

#[test]
fn a_kernel_without_a_build_id_is_proven_by_its_release_and_nonce() {
    let mut world = World::bootable(&["a"]);
    world.command(Command::AddKernel(Box::new(Kernel { build_id: String::new(), ..kernel("bare") }))).unwrap();
    world.order("a", Some("bare")).unwrap();
    world.goes_down("a");
    world.comes_back("a", "boot-2", (&kernel("k").release, "57"), "muster.boot=feedfeed.1");
    assert_eq!(world.verdict("a"), Some(BootVerdict::Verified));
}

#[test]
fn a_boot_that_does_not_come_is_stale_and_tried_again_and_one_that_comes_late_is_taken() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    for attempt in 1..=3 {
        world.goes_down("a");
        let settings = world.machine("a").settings.clone();
        world.now = world.now + settings.drain + settings.boot_within;
        world.beat("a");
        world.tick();
        assert_eq!(world.verdict("a"), Some(BootVerdict::StaleBoot), "attempt {attempt}");
    }
    assert_eq!(world.machine("a").phase, Phase::Offline);
    world.comes_back_right("a", "boot-2");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
}

#[test]
fn nobody_is_late_while_this_service_is_deaf_itself() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.now = world.now + seconds(10_000);
    world.observe(Observation::LeadershipBegan);
    world.tick();
    assert_eq!(world.machine("a").phase, Phase::Rebooting, "a new leader has heard nothing yet");
    world.now = world.now + seconds(46);
    world.tick();
    assert_eq!(world.verdict("a"), Some(BootVerdict::StaleBoot));
}

#[test]
fn what_can_not_be_installed_is_tried_again_and_then_given_up_with_its_reason() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    for _ in 1..=3 {
        world.progress("a", BootStep::Failed);
    }
    assert_eq!(world.machine("a").phase, Phase::Offline);
    assert!(world.machine("a").trouble().contains("could not be installed: why"), "{}", world.machine("a").trouble());
    assert_eq!(world.verdict("a"), None);
}

#[test]
fn a_kernel_that_crashes_is_booted_again_within_its_attempts() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    for attempt in 1..=3 {
        world.goes_down("a");
        world.comes_back_right("a", &format!("boot-k{attempt}"));
        assert_eq!(world.verdict("a"), Some(BootVerdict::Verified));
        world.comes_back("a", &format!("boot-stock{attempt}"), ("6.1.0", "57"), "quiet");
        assert_eq!(world.verdict("a"), Some(BootVerdict::CrashedBack));
    }
    assert_eq!(world.machine("a").phase, Phase::Offline);
    world.check_replay();
}

#[test]
fn a_machine_that_boots_the_same_kernel_by_itself_stays_proven() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.comes_back_right("a", "boot-2");
    world.comes_back_right("a", "boot-3");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
}

#[test]
fn a_machine_goes_back_to_its_stock_kernel_from_wherever_it_was_given_up() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.comes_back("a", "boot-2", (&kernel("k").release, "57"), "muster.boot=feedfeed.1");
    assert_eq!(world.machine("a").phase, Phase::Offline);
    world.order("a", None).unwrap();
    assert_eq!(world.machine("a").phase, Phase::Rebooting, "there is nothing to install");
    world.beat("a");
    assert!(matches!(&world.tasks()[..], [task] if task.reboot && task.kernel.is_none() && task.nonce.is_none()));
    world.progress("a", BootStep::Rebooting);
    let same = later_hello(&world, "a");
    world.hello(same);
    assert_eq!(world.machine("a").phase, Phase::Rebooting, "the agent alone is new");
    world.comes_back("a", "boot-3", ("6.1.0", "57"), "quiet");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
    world.check_replay();
}

#[test]
fn an_order_is_refused_with_what_why_and_what_next_and_changes_nothing() {
    let mut world = World::bootable(&["a", "b"]);
    let refused = |world: &mut World, name: &str, word: &str| {
        let refusal = world.order(name, Some("k")).unwrap_err();
        assert!(refusal.why.contains(word) && !refusal.next.is_empty(), "{refusal}");
        assert!(world.state.machines.values().all(|machine| machine.boot.is_none()), "all or none");
    };
    assert_eq!(world.order("a", Some("none")).unwrap_err().code, RefusalCode::NotFound);
    world.command(settings("b", Some(None), None)).unwrap();
    refused(&mut world, "*", "no boot driver");
    world.command(settings("b", Some(Some(BootDriver::Grub)), None)).unwrap();
    let protect = |protect| {
        Command::SetProtection(ProtectionSetting { selector: selector("b"), resources: vec![], protect, machine: true })
    };
    world.command(protect(true)).unwrap();
    refused(&mut world, "b", "protected");
    world.command(protect(false)).unwrap();
    world.command(Command::SetFlag(FlagSetting { selector: selector("b"), flag: Flag::Active, value: false })).unwrap();
    refused(&mut world, "b", "take part");
    world.command(Command::SetFlag(FlagSetting { selector: selector("b"), flag: Flag::Active, value: true })).unwrap();
    let other = Kernel { architecture: "aarch64".into(), ..kernel("arm") };
    world.command(Command::AddKernel(Box::new(other))).unwrap();
    assert!(world.order("b", Some("arm")).unwrap_err().why.contains("aarch64"));
    world.now = world.now + seconds(30);
    refused(&mut world, "b", "not heard");
}

#[test]
fn only_its_holder_boots_a_machine_that_is_checked_out() {
    let mut world = World::bootable(&["a"]);
    let granted = grant(&world, 7, &["a"]);
    world.facts(Input::Granted(granted));
    assert!(world.order("a", Some("k")).unwrap_err().why.contains("changing hands"), "its own user has to wait too");
    world.beat("a");
    world.tick();
    let epoch = world.machine("a").epoch;
    world.facts(Input::FenceDone { machine: id("a"), epoch });
    assert!(matches!(world.machine("a").tenure.holder, Holder::Reservation { .. }));
    world.beat("a");
    let refusal = world.order_by("user:bert", "a", Some("k")).unwrap_err();
    assert!(refusal.why.contains("user:anna has it"), "{refusal}");
    world.order("a", Some("k")).unwrap();
}

#[test]
fn a_second_order_waits_for_the_first() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    assert!(world.order("a", None).unwrap_err().why.contains("installing"));
}

#[test]
fn protection_stops_a_boot_that_is_under_way() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.progress("a", BootStep::Installed);
    let protect = ProtectionSetting { selector: selector("a"), resources: vec![], protect: true, machine: true };
    world.command(Command::SetProtection(protect)).unwrap();
    world.beat("a");
    assert_eq!(world.tasks(), []);
}

#[test]
fn machines_that_reboot_by_order_are_neither_down_nor_a_reason_to_brake() {
    let names = ["a", "b", "c", "d"];
    let mut world = World::bootable(&names);
    for name in names {
        world.order(name, Some("k")).unwrap();
        world.goes_down(name);
    }
    world.now = world.now + seconds(60);
    world.tick();
    assert!(!super::super::health::brake(&world.state, &world.observed, world.now));
    assert!(names.iter().all(|name| !world.machine(name).down));
}

#[test]
fn a_kernel_that_a_machine_may_need_again_is_not_removed() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    let remove = Command::RemoveKernel(KernelName::new("k").unwrap());
    assert!(world.command(remove).unwrap_err().why.contains("a was ordered into it"));
}

#[test]
fn a_quarantined_machine_with_a_pending_boot_is_not_made_ready_by_a_person() {
    let mut world = World::bootable(&["a"]);
    world.order("a", Some("k")).unwrap();
    for _ in 0..3 {
        let old = Heartbeat { incarnation: Incarnation(0), ..world.heartbeat("a") };
        world.observe(Observation::Heartbeat(old));
    }
    world.tick();
    assert!(world.machine("a").quarantine.is_some() && world.machine("a").phase == Phase::Dirty);
    world.command(Command::SetFlag(FlagSetting { selector: selector("a"), flag: Flag::Active, value: true })).unwrap();
    assert_eq!(world.machine("a").phase, Phase::Offline);
    world.order("a", Some("k")).unwrap();
}
