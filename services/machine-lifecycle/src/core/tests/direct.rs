//! Boots from outside: a kernel is kept, QEMU is started with it once, and every other start is the machine's own.

use muster_model::{BootDriver, BootProgress, BootStep, BootVerdict, PowerAction};

use super::*;
use crate::core::limits::{BOOT_DRAIN, BOOT_WITHIN, POWER_QUIET};
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{DirectTask, Fact, PowerLooked, Switch};

const SETTING: &str = "qemu socket=/s start=vm kernel-folder=/kernels command-line=quiet";

impl World {
    /// A ready machine `a` that is booted from outside.
    fn direct() -> Self {
        let mut world = Self::bootable(&["a"]);
        world.set_power(SETTING, BootDriver::QemuDirect);
        world
    }

    fn set_power(&mut self, power: &str, driver: BootDriver) {
        let (power, boot_driver) = (Some(Some(power.parse().unwrap())), Some(Some(driver)));
        let change = Box::new(SettingsChange { power, boot_driver, ..SettingsChange::default() });
        self.command(Command::SetSettings { selector: selector("a"), change }).unwrap();
        self.beat("a");
        self.tick();
    }

    fn keeps(&self) -> usize {
        self.wanted().iter().filter(|effect| matches!(effect, Effect::KeepKernel { .. })).count()
    }

    fn kept(&mut self, step: BootStep) -> Vec<Fact> {
        let operation = self.machine("a").boot.as_ref().unwrap().operation();
        let progress = BootProgress { operation, step, detail: "why".into() };
        self.observe(Observation::KernelKept { machine: id("a"), progress });
        self.tick()
    }

    fn started(&self) -> Option<Switch> {
        self.wanted().into_iter().find_map(|effect| match effect {
            Effect::Switch { switch, .. } => Some(*switch),
            _ => None,
        })
    }

    /// Ordered, kept, empty, and begun.
    fn starts(&mut self) -> Switch {
        self.kept(BootStep::Installed);
        self.beat("a");
        self.tick();
        self.started().expect("QEMU is started")
    }
}

fn nonce(task: Option<&DirectTask>) -> Option<&str> {
    task.map(|task| task.nonce.as_str())
}

#[test]
fn a_kernel_from_outside_is_kept_started_once_and_proven() {
    let mut world = World::direct();
    world.order("a", Some("k")).unwrap();
    assert_eq!((world.machine("a").phase, world.keeps()), (Phase::Installing, 1));
    world.kept(BootStep::Installed);
    assert_eq!((world.machine("a").phase, world.keeps()), (Phase::Rebooting, 0));
    let busy = Heartbeat { processes_live: 1, ..world.heartbeat("a") };
    world.observe(Observation::Heartbeat(busy));
    world.tick();
    assert!(world.started().is_none(), "what runs ends first");
    world.beat("a");
    world.tick();
    let switch = world.started().expect("QEMU is started");
    assert_eq!(
        (switch.task, nonce(switch.direct.as_ref())),
        (PowerTask::Power(PowerAction::Cycle), Some("feedfeed.1"))
    );
    assert!(world.tasks().is_empty(), "the agent is told nothing");
    world.acted("a", Some(PowerOutcome::Done));
    assert!(world.tick().is_empty() && world.started().is_none(), "it is started once");
    world.comes_back_right("a", "boot-2");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
    world.check_replay();
}

#[test]
fn every_other_start_is_the_machines_own() {
    let mut world = World::direct();
    world.order("a", Some("k")).unwrap();
    world.starts();
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back_right("a", "boot-2");
    world.now = world.now + POWER_QUIET;
    world.beat("a");
    world.switch("a", PowerTask::Power(PowerAction::Cycle)).unwrap();
    world.tick();
    let by_hand = world.started().expect("a person has it cycled");
    assert_eq!(by_hand.direct, None);
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back("a", "boot-3", ("6.1.0", "57"), "quiet");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Installing, Some(BootVerdict::CrashedBack)));
    world.now = world.now + POWER_QUIET;
    assert_eq!(nonce(world.starts().direct.as_ref()), Some("feedfeed.2"));
}

#[test]
fn the_stock_kernel_is_a_start_without_words() {
    let mut world = World::direct();
    world.order("a", None).unwrap();
    assert_eq!((world.machine("a").phase, world.keeps()), (Phase::Rebooting, 0));
    world.beat("a");
    world.tick();
    let switch = world.started().expect("QEMU is started");
    assert_eq!((switch.task, switch.direct), (PowerTask::Power(PowerAction::Cycle), None));
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!(world.verdict("a"), Some(BootVerdict::Verified));
}

#[test]
fn what_can_not_be_kept_or_started_is_tried_again_with_its_reason() {
    let mut world = World::direct();
    world.order("a", Some("k")).unwrap();
    world.kept(BootStep::Failed);
    let attempt = |world: &World| world.machine("a").boot.as_ref().unwrap().attempt;
    assert_eq!((attempt(&world), world.keeps()), (2, 1));
    world.starts();
    world.acted("a", Some(PowerOutcome::Failed));
    world.tick();
    assert_eq!((attempt(&world), world.machine("a").phase), (3, Phase::Installing));
    assert!(world.machine("a").trouble().contains("could not be rebooted: seen"), "{}", world.machine("a").trouble());
}

#[test]
fn a_guest_that_does_not_come_is_started_once_more_and_then_lost() {
    let mut world = World::direct();
    world.order("a", Some("k")).unwrap();
    world.starts();
    world.acted("a", Some(PowerOutcome::Done));
    world.now = world.now + BOOT_DRAIN + BOOT_WITHIN;
    world.tick();
    let again = world.started().expect("it is started again");
    assert_eq!(nonce(again.direct.as_ref()), Some("feedfeed.1"));
    world.acted("a", Some(PowerOutcome::Done));
    world.now = world.now + BOOT_DRAIN + BOOT_WITHIN;
    world.tick();
    assert_eq!(world.verdict("a"), Some(BootVerdict::StaleBoot));
    assert_eq!(world.machine("a").phase, Phase::Installing);
}

#[test]
fn a_new_leader_gives_power_with_the_same_kernel_where_the_other_half_was_lost() {
    let mut world = World::direct();
    world.order("a", Some("k")).unwrap();
    let position = world.starts().position;
    world.observe(Observation::LeadershipBegan);
    let looked = PowerLooked { position, state: muster_model::PowerState::Off };
    world.facts(Input::PowerLooked { machine: id("a"), looked });
    world.now = world.now + POWER_QUIET;
    world.tick();
    let on = world.started().expect("it has power again");
    assert_eq!((on.task, nonce(on.direct.as_ref())), (PowerTask::Power(PowerAction::On), Some("feedfeed.1")));
}

#[test]
fn a_machine_whose_power_starts_no_kernel_is_not_ordered_into_one() {
    let mut world = World::direct();
    world.set_power("qemu socket=/s start=vm", BootDriver::QemuDirect);
    let refusal = world.order("a", Some("k")).unwrap_err();
    assert!(refusal.why.contains("from outside") && refusal.next.contains("kernel-folder"), "{refusal}");
    world.set_power(SETTING, BootDriver::QemuDirect);
    world.order("a", Some("k")).unwrap();
    world.kept(BootStep::Installed);
    world.set_power("simulated", BootDriver::QemuDirect);
    let attempt = world.machine("a").boot.as_ref().unwrap().attempt;
    assert_eq!(attempt, 2, "its setting was taken away meanwhile");
}
