//! Flaky machines: what counts, when it is too much, and who releases them.

use muster_model::Occurrence::{
    CrashedBack, InstallFailed, PowerFailed, PowerUnclear, StaleBoot, UnorderedBoot, Verified, WentDown, WrongBuild,
    WrongKernel,
};
use muster_model::{BootDriver, BootStep, Occurrence, PowerAction};

use super::boots::settings;
use super::kernels::kernel;
use super::*;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{Recent, limits};

const OTHERS: [&str; 3] = ["b", "c", "d"];

impl World {
    /// A machine `a` that can be booted, with others beside it.
    fn with_others() -> Self {
        let mut world = Self::bootable(&["a"]);
        OTHERS.iter().for_each(|name| world.ready_machine(name));
        world
    }

    fn recent(&self) -> Vec<Occurrence> {
        self.machine("a").recent.iter().collect()
    }

    fn activate(&mut self) -> Vec<Fact> {
        let activation = FlagSetting { selector: selector("a"), flag: Flag::Active, value: true };
        self.command(Command::SetFlag(activation)).unwrap()
    }

    /// An attempt of the order ends so.
    fn attempt(&mut self, end: Occurrence, boot: usize) {
        if end == InstallFailed {
            self.progress("a", BootStep::Failed);
            return;
        }
        self.goes_down("a");
        let boot_id = format!("boot-{boot}");
        match end {
            StaleBoot => {
                let settings = self.machine("a").settings.clone();
                self.now = self.now + settings.drain + settings.boot_within;
                self.beat("a");
                self.tick();
            }
            Verified => self.comes_back_right("a", &boot_id),
            _ => self.comes_back("a", &boot_id, ("6.1.0", "57"), "quiet"),
        }
    }

    /// One order with these ends of its attempts, and a good one after them.
    fn boots(ends: &[Occurrence]) -> Self {
        let mut world = Self::bootable(&["a"]);
        world.command(settings("a", Some(Some(BootDriver::Simulated)), Some(20))).unwrap();
        world.order("a", Some("k")).unwrap();
        for (number, end) in ends.iter().chain([&Verified]).enumerate() {
            world.attempt(*end, number + 2);
        }
        world
    }

    /// It says nothing for so long that it is called down.
    fn goes_silent(&mut self) {
        self.now = self.now + limits::DOWN_AFTER;
        OTHERS.iter().for_each(|name| self.beat(name));
        self.tick();
    }

    /// It is up again in its own kernel.
    fn boots_by_itself(&mut self, boot_id: &str) {
        self.comes_back("a", boot_id, ("6.1.0", "57"), "quiet");
        self.tick();
    }

    /// It is heard again, in the boot that it was in.
    fn is_heard(&mut self) {
        self.beat("a");
        self.tick();
    }
}

#[test]
fn a_machine_that_failed_often_and_in_two_ways_is_quarantined_when_it_would_be_ready() {
    let mut world = World::boots(&[vec![WrongKernel; 5], vec![StaleBoot; 3]].concat());
    let flaky = "quarantined: flaky: 5 wrong_kernel, 3 stale_boot among its last 9 boots";
    let stands = |world: &World| (world.machine("a").phase, world.machine("a").trouble());
    assert_eq!(stands(&world), (Phase::Dirty, flaky.into()));
    assert!(world.tick().is_empty());
    assert!(world.order("a", Some("k")).unwrap_err().why.contains("quarantined"));
    let k = kernel("k");
    world.comes_back("a", "boot-99", (&k.release, &k.build_id), "quiet muster.boot=feedfeed.9");
    assert_eq!(stands(&world), (Phase::Dirty, flaky.into()), "a new boot explains nothing");
    world.check_replay();

    world.activate();
    assert_eq!(stands(&world), (Phase::Ready, String::new()));
    assert_eq!(world.recent(), [], "the count begins anew");
    assert!(world.activate().is_empty(), "said again it changes nothing");
    let again = later_hello(&world, "a");
    world.hello(again);
    assert_eq!(world.machine("a").phase, Phase::Ready);
    world.check_replay();
}

#[test]
fn fewer_failures_or_a_single_kind_leave_a_machine_in_use() {
    for (ends, flaky) in [
        ([vec![WrongKernel; 4], vec![StaleBoot; 3]].concat(), false),
        (vec![StaleBoot; 8], false),
        ([vec![StaleBoot; 7], vec![InstallFailed]].concat(), true),
    ] {
        let world = World::boots(&ends);
        let machine = world.machine("a");
        assert_eq!((machine.phase == Phase::Dirty, machine.quarantine.is_some()), (flaky, flaky), "{ends:?}");
        assert_eq!(world.recent(), [ends, vec![Verified]].concat());
    }
}

#[test]
fn only_the_last_20_count() {
    let failures = [vec![WrongBuild; 5], vec![PowerFailed; 3]].concat();
    let after = |good: usize| Recent::new(failures.iter().copied().chain(std::iter::repeat_n(Verified, good)));
    assert_eq!(after(12).iter().count(), limits::RECENT_MAX);
    assert!(after(12).flaky().is_some_and(|why| why.contains("5 wrong_build, 3 power_failed")));
    assert_eq!((after(13).iter().count(), after(13).flaky()), (limits::RECENT_MAX, None));
}

#[test]
fn an_incident_counts_once_as_what_explains_it_best() {
    let mut world = World::with_others();
    world.goes_silent();
    world.is_heard();
    assert_eq!(world.recent(), [WentDown]);
    world.goes_silent();
    world.boots_by_itself("boot-2");
    assert_eq!(world.recent(), [WentDown, UnorderedBoot]);
    world.order("a", Some("k")).unwrap();
    world.attempt(Verified, 3);
    world.goes_silent();
    world.boots_by_itself("boot-4");
    assert_eq!(world.recent(), [WentDown, UnorderedBoot, Verified, CrashedBack]);
    world.check_replay();
}

#[test]
fn trouble_without_orders_quarantines_when_the_machine_is_heard_again() {
    let mut world = World::with_others();
    for number in 0..7 {
        world.goes_silent();
        world.boots_by_itself(&format!("boot-{}", number + 2));
    }
    assert_eq!(world.machine("a").phase, Phase::Ready);
    world.goes_silent();
    assert_eq!(world.machine("a").phase, Phase::Ready, "nobody uses it while it is down");
    world.is_heard();
    let trouble = world.machine("a").trouble();
    assert_eq!(trouble, "quarantined: flaky: 7 unordered_boot, 1 went_down among its last 8 boots");
    world.check_replay();
}

#[test]
fn what_people_do_with_a_machine_is_no_trouble_of_it() {
    let reserved = |world: &mut World| {
        let granted = grant(world, 1, &["a"]);
        world.facts(Input::Granted(granted));
    };
    let off = |world: &mut World, flag: Flag, value: bool| {
        world.command(Command::SetFlag(FlagSetting { selector: selector("a"), flag, value })).unwrap();
    };
    let cases: [&dyn Fn(&mut World); 3] =
        [&reserved, &|world| off(world, Flag::Maintenance, true), &|world| off(world, Flag::Active, false)];
    for (case, prepare) in cases.iter().enumerate() {
        let mut world = World::with_others();
        prepare(&mut world);
        world.goes_silent();
        world.boots_by_itself("boot-2");
        assert_eq!(world.recent(), [], "case {case}");
    }
    let mut world = World::powered(&["a"]);
    world.switch("a", PowerTask::Power(PowerAction::Cycle)).unwrap();
    world.tick();
    world.acted("a", Some(PowerOutcome::Done));
    world.boots_by_itself("boot-2");
    assert_eq!((world.recent(), world.machine("a").phase), (vec![], Phase::Ready));
    world.order("a", None).unwrap();
    world.progress("a", BootStep::Rebooting);
    world.boots_by_itself("boot-3");
    assert_eq!((world.recent(), world.machine("a").phase), (vec![Verified], Phase::Ready));
}

#[test]
fn power_that_fails_counts() {
    let mut world = World::powered(&["a"]);
    for (outcome, found) in [(PowerOutcome::Failed, PowerFailed), (PowerOutcome::Unclear, PowerUnclear)] {
        world.switch("a", PowerTask::Power(PowerAction::On)).unwrap();
        world.tick();
        world.acted("a", Some(outcome));
        assert_eq!(world.recent().last(), Some(&found));
        world.now = world.now + limits::POWER_QUIET;
        world.is_heard();
    }
    world.check_replay();
}
