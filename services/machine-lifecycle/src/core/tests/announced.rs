//! Machines whose tests announced that they go away: they are waited for, and nobody takes it amiss.

use muster_model::{Absence, Attempt, BootVerdict, Dpid, JobNumber, ProcessId, ProcessNumber, RunId};

use super::*;
use crate::core::Announcement;
use crate::core::limits::{DOWN_AFTER, RECOVER_AFTER};

const WITHIN: Duration = Duration::from_secs(3_600);

fn process(number: u32) -> ProcessId {
    let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(number) };
    ProcessId { run: RunId(1), dpid, attempt: Attempt(1) }
}

impl World {
    fn announce(&mut self, number: u32, absence: Option<(Absence, Duration)>) -> Vec<Fact> {
        let boot_id = self.machine("a").boot_id.clone();
        self.facts(Input::Announced { machine: id("a"), process: process(number), boot_id, absence })
    }

    fn announce_crash(&mut self) {
        self.announce(1, Some((Absence::Crash, WITHIN)));
        assert!(self.machine("a").is_awaited(self.now));
    }
}

/// A machine that is in the kernel that it was ordered into.
fn in_kernel(world: &mut World) {
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.comes_back_right("a", "boot-2");
    assert_eq!(world.verdict("a"), Some(BootVerdict::Verified));
}

#[test]
fn an_announced_boot_is_no_occurrence_and_is_announced_once() {
    let mut world = World::bootable(&["a", "b"]);
    world.announce_crash();
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!((world.machine("a").recent.iter().count(), &world.machine("a").announced), (0, &None));
    world.comes_back("a", "boot-3", ("6.1.0", "57"), "quiet");
    assert_eq!(world.machine("a").recent.iter().count(), 1, "the next boot was not announced");
    world.check_replay();
}

#[test]
fn a_kernel_that_crashed_as_announced_is_booted_again_and_spends_no_attempt() {
    let mut world = World::bootable(&["a"]);
    in_kernel(&mut world);
    let before: Vec<_> = world.machine("a").recent.iter().collect();
    for crash in 1..=5 {
        world.announce_crash();
        world.comes_back("a", &format!("boot-stock{crash}"), ("6.1.0", "57"), "quiet");
        assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Installing, None), "{crash}");
        world.goes_down("a");
        world.comes_back_right("a", &format!("boot-k{crash}"));
        assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
    }
    let boot = world.machine("a").boot.clone().unwrap();
    assert_eq!((boot.attempt, boot.attempts()), (6, 1));
    let failures = world.machine("a").recent.iter().filter(|known| !before.contains(known)).count();
    assert_eq!(failures, 0, "each boot that was proven, and nothing else");
    world.check_replay();
}

#[test]
fn a_reboot_into_the_same_kernel_is_as_well() {
    let mut world = World::bootable(&["a"]);
    in_kernel(&mut world);
    world.announce(1, Some((Absence::Reboot, WITHIN)));
    world.comes_back_right("a", "boot-3");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));
}

#[test]
fn it_is_not_switched_before_its_time_is_over() {
    let mut world = World::powered(&["a"]);
    world.announce_crash();
    let pass = |world: &mut World, time: Duration| {
        world.now = world.now + time;
        world.tick();
        world.machine("a").power.as_ref().map(|known| known.task)
    };
    assert_eq!(pass(&mut world, DOWN_AFTER), None);
    assert!(world.machine("a").down, "what is true is said");
    assert_eq!(pass(&mut world, RECOVER_AFTER * 2), None);
    assert_ne!(pass(&mut world, WITHIN), None, "then it is helped like any other");
    world.check_replay();
}

#[test]
fn what_is_withdrawn_is_over_and_only_by_who_announced_it() {
    let mut world = World::bootable(&["a"]);
    world.announce_crash();
    assert_eq!(world.announce(2, None), []);
    assert_eq!(world.announce(1, None), [Fact::BootAnnounced(None)]);
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!(world.machine("a").recent.iter().count(), 1);
}

#[test]
fn of_several_announcements_the_longest_counts_and_one_of_another_boot_does_not() {
    let mut world = World::bootable(&["a"]);
    world.announce(1, Some((Absence::Crash, WITHIN)));
    assert_eq!(world.announce(2, Some((Absence::Reboot, WITHIN / 2))), []);
    assert_eq!(world.announce(3, Some((Absence::Reboot, WITHIN * 2))).len(), 1);
    let late = Input::Announced {
        machine: id("a"),
        process: process(4),
        boot_id: "boot-0".into(),
        absence: Some((Absence::Crash, WITHIN * 4)),
    };
    assert_eq!(world.facts(late), []);
}

#[test]
fn a_hello_says_it_where_the_report_is_still_on_its_way() {
    let mut world = World::bootable(&["a"]);
    let until = world.now + WITHIN;
    let before = world.machine("a").boot_id.clone();
    let announced = Announcement { process: process(1), absence: Absence::Crash, until };
    let mut hello = world.back_in("a", "boot-2", ("6.1.0", "57"), "quiet");
    hello.announced = Some((announced, before.clone()));
    world.hello(hello);
    assert_eq!(world.machine("a").recent.iter().count(), 0);
    let report = Input::Announced {
        machine: id("a"),
        process: process(1),
        boot_id: before,
        absence: Some((Absence::Crash, WITHIN)),
    };
    assert_eq!(world.facts(report), [], "the report of the boot before comes late, and changes nothing");
}

#[test]
fn who_comes_back_after_its_time_is_in_trouble() {
    let mut world = World::bootable(&["a"]);
    world.announce(1, Some((Absence::Crash, Duration::from_secs(1))));
    world.now = world.now + Duration::from_secs(2);
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!(world.machine("a").recent.iter().count(), 1);
}
