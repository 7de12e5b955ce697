//! Power and snapshots: what is begun once, how it is judged, and what the rails hold back.

use muster_model::{BootVerdict, PowerAction, PowerState};

use super::*;
use crate::core::limits::{
    BOOT_WITHIN, ORDER_AGE_MAX, POWER_IN_DOMAIN_MAX, POWER_QUIET, POWER_STAGGER, PROBE_EVERY, RECOVER_AFTER,
};
use crate::core::power::{Dump, PowerOutcome, PowerTask};
use crate::core::rails::{Rails, waits_for};
use crate::core::{HoldSetting, PowerActed, PowerLooked, PowerOrdering, Switch};

const CYCLE: PowerTask = PowerTask::Power(PowerAction::Cycle);
const RESET: PowerTask = PowerTask::Power(PowerAction::Reset);
const OFF: PowerTask = PowerTask::Power(PowerAction::Off);

impl World {
    /// Ready machines with power in one domain, which can be booted into `k`.
    pub(super) fn powered(names: &[&str]) -> Self {
        let mut world = Self::bootable(names);
        for name in names {
            let power = Some(Some("simulated domain=rack".parse().unwrap()));
            let snapshot = Some(Some("simulated".parse().unwrap()));
            let change = Box::new(SettingsChange { power, snapshot, ..SettingsChange::default() });
            world.command(Command::SetSettings { selector: selector(name), change }).unwrap();
        }
        world
    }

    pub(super) fn switch(&mut self, name: &str, task: PowerTask) -> Result<Vec<Fact>, Refusal> {
        let ordering = PowerOrdering { selector: selector(name), task, done: false, actor: "user:anna".into() };
        self.command(Command::Power(ordering))
    }

    fn hold(&mut self, held: bool) {
        let setting = HoldSetting { held, actor: "user:anna".into(), reason: "the floor is wet".into() };
        self.command(Command::Hold(setting)).unwrap();
    }

    fn switches(&self) -> Vec<Switch> {
        let switch = |effect: Effect| match effect {
            Effect::Switch { switch, .. } => Some(*switch),
            Effect::Boot { .. }
            | Effect::KeepKernel { .. }
            | Effect::SendDesired { .. }
            | Effect::LookAtPower { .. }
            | Effect::Prepare { .. } => None,
        };
        self.wanted().into_iter().filter_map(switch).collect()
    }

    fn looks(&self) -> usize {
        self.wanted().iter().filter(|effect| matches!(effect, Effect::LookAtPower { .. })).count()
    }

    /// The driver was called, and said this.
    pub(super) fn acted(&mut self, name: &str, outcome: Option<PowerOutcome>) -> Vec<Fact> {
        let position = self.machine(name).power.as_ref().unwrap().position;
        self.observe(Observation::PowerCalled { machine: id(name), position });
        let kept =
            Dump { name: "crash/a/dump-1-1/memory".into(), size_bytes: 7, sha256: "ab".into(), path: "/d".into() };
        let dump = (outcome == Some(PowerOutcome::Done)).then(|| Box::new(kept));
        let acted = PowerActed { position, outcome, detail: "seen".into(), dump };
        self.facts(Input::PowerActed { machine: id(name), acted })
    }

    fn outcome(&self, name: &str) -> Option<PowerOutcome> {
        self.machine(name).power.as_ref().and_then(|operation| operation.outcome)
    }

    fn task(&self, name: &str) -> Option<PowerTask> {
        self.machine(name).power.as_ref().map(|operation| operation.task)
    }

    fn waits_for(&self, name: &str) -> String {
        waits_for(&Rails::of(&self.state, self.now), self.machine(name), self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// The time of machine `a` to come back is over; `b` stays up.
    fn is_late(&mut self) {
        self.pass(seconds(30) + BOOT_WITHIN);
        self.stay_up(&["b"]);
        self.tick();
    }

    /// Another machine that beats through the whole test, so that one silent machine is not all of them.
    fn stay_up(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.beat(name));
    }
}

#[test]
fn an_order_is_written_down_done_once_and_judged_by_its_driver() {
    let mut world = World::powered(&["a"]);
    world.switch("a", CYCLE).unwrap();
    assert!(world.switches().is_empty(), "it is begun by the log first");
    world.tick();
    assert_eq!((world.machine("a").phase, world.task("a")), (Phase::Dirty, Some(CYCLE)));
    let [switch] = &world.switches()[..] else { panic!("one effect") };
    assert_eq!((switch.task, switch.power.is_some()), (CYCLE, true));
    assert_eq!(world.switches().len(), 1, "it is wanted until it is called");
    world.acted("a", Some(PowerOutcome::Done));
    assert!(world.switches().is_empty() && world.tick().is_empty());
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!((world.machine("a").phase, world.outcome("a")), (Phase::Ready, Some(PowerOutcome::Done)));
    world.check_replay();
}

/// What the driver of a former leader said is lost: only evidence counts, and nothing is done twice.
#[test]
fn a_new_leader_looks_and_never_repeats() {
    let rows = [
        (OFF, PowerState::Off, false, PowerOutcome::Done),
        (OFF, PowerState::On, false, PowerOutcome::Unclear),
        (PowerTask::Power(PowerAction::On), PowerState::On, false, PowerOutcome::Done),
        (CYCLE, PowerState::On, false, PowerOutcome::Unclear),
        (CYCLE, PowerState::Off, false, PowerOutcome::Unclear),
        (CYCLE, PowerState::On, true, PowerOutcome::Done),
        (RESET, PowerState::Unknown, false, PowerOutcome::Unclear),
        (RESET, PowerState::Unknown, true, PowerOutcome::Done),
    ];
    for (task, state, booted, expected) in rows {
        let mut world = World::powered(&["a"]);
        world.switch("a", task).unwrap();
        world.tick();
        assert_eq!(world.switches().len(), 1);
        world.observe(Observation::LeadershipBegan);
        assert_eq!((world.switches().len(), world.looks()), (0, 1), "{task}: it is looked at, not done");
        if booted {
            world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
        }
        let position = world.machine("a").power.as_ref().unwrap().position;
        let looked = PowerLooked { position, state };
        world.facts(Input::PowerLooked { machine: id("a"), looked: looked.clone() });
        assert_eq!(world.outcome("a"), Some(expected), "{task} {state} {booted}");
        assert!(world.facts(Input::PowerLooked { machine: id("a"), looked }).is_empty(), "once");
        let follows = world.machine("a").power_order.as_ref().map(|order| order.task);
        let half = task == CYCLE && state == PowerState::Off;
        assert_eq!(follows, half.then_some(PowerTask::Power(PowerAction::On)), "a cycle does not end half-way");
        assert_eq!((world.switches().len(), world.looks()), (0, 0));
        world.check_replay();
    }
}

#[test]
fn a_machine_that_does_not_come_back_is_reset_then_cycled_and_then_its_attempt_is_lost() {
    let mut world = World::powered(&["a", "b"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.is_late();
    assert_eq!((world.machine("a").phase, world.task("a")), (Phase::Rebooting, Some(RESET)));
    world.acted("a", Some(PowerOutcome::Done));
    assert!(world.tick().is_empty(), "it has its time to come back");
    world.is_late();
    assert_eq!(world.task("a"), Some(CYCLE));
    world.acted("a", Some(PowerOutcome::Failed));
    world.is_late();
    let boot = world.machine("a").boot.as_ref().unwrap();
    assert_eq!((boot.attempt, boot.verdict, boot.escalations), (2, Some(BootVerdict::StaleBoot), 0));
    world.check_replay();
}

#[test]
fn after_a_reset_it_comes_back_in_its_own_kernel_and_begins_again() {
    let mut world = World::powered(&["a", "b"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.is_late();
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!((world.verdict("a"), world.machine("a").phase), (Some(BootVerdict::WrongKernel), Phase::Installing));
    world.goes_down("a");
    world.comes_back_right("a", "boot-3");
    assert_eq!((world.verdict("a"), world.machine("a").phase), (Some(BootVerdict::Verified), Phase::Ready));
}

/// Restart rules: what still lives is left alone, whatever was under way when machine-lifecycle died.
#[test]
fn a_machine_that_lives_is_never_switched_by_itself() {
    let mut world = World::powered(&["a", "b"]);
    for _ in 0..400 {
        world.pass(seconds(2));
        world.stay_up(&["a", "b"]);
        world.tick();
    }
    world.observe(Observation::LeadershipBegan);
    for _ in 0..400 {
        world.pass(seconds(1));
        world.stay_up(&["a", "b"]);
        world.tick();
    }
    assert!(world.machine("a").power.is_none() && world.machine("a").phase == Phase::Ready);
}

#[test]
fn a_machine_that_hangs_is_reset_then_cycled_then_given_up_and_looked_at_once_in_a_while() {
    let mut world = World::powered(&["a", "b", "c", "d"]);
    let others = ["b", "c", "d"];
    let until = |world: &mut World, time: Duration| {
        let end = world.now + time;
        while !end.is_due(world.now) {
            world.pass(seconds(1));
            world.stay_up(&others);
            world.tick();
        }
    };
    until(&mut world, RECOVER_AFTER - seconds(5));
    assert!(world.machine("a").power.is_none() && world.machine("a").down);
    until(&mut world, seconds(10));
    assert_eq!((world.task("a"), world.machine("a").phase), (Some(RESET), Phase::Dirty));
    world.acted("a", Some(PowerOutcome::Done));
    until(&mut world, RECOVER_AFTER + seconds(2));
    assert_eq!(world.task("a"), Some(CYCLE));
    world.acted("a", Some(PowerOutcome::Done));
    until(&mut world, RECOVER_AFTER + seconds(2));
    assert_eq!(world.machine("a").phase, Phase::Offline);
    let before = world.machine("a").power.clone();
    until(&mut world, PROBE_EVERY);
    assert_ne!(world.machine("a").power, before, "it is tried again");
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    assert_eq!(world.machine("a").phase, Phase::Ready);
    world.check_replay();
}

#[test]
fn who_is_to_be_left_down_is_and_so_is_what_a_person_has_for_themselves() {
    for leave in [true, false] {
        let mut world = World::powered(&["a", "b", "c", "d"]);
        if leave {
            let change = Box::new(SettingsChange { leave_down: Some(true), ..SettingsChange::default() });
            world.command(Command::SetSettings { selector: selector("a"), change }).unwrap();
        } else {
            let granted = Grant { deadline: world.now + seconds(9_000), ..grant(&world, 1, &["a"]) };
            world.facts(Input::Granted(granted));
            world.beat("a");
            world.tick();
            let epoch = world.machine("a").epoch;
            world.facts(Input::FenceDone { machine: id("a"), epoch });
        }
        for _ in 0..700 {
            world.pass(seconds(1));
            world.stay_up(&["b", "c", "d"]);
            world.tick();
        }
        assert!(world.machine("a").down && world.machine("a").power.is_none());
    }
}

#[test]
fn a_kernel_that_was_proven_is_booted_again_after_power_took_it_away() {
    let mut world = World::powered(&["a"]);
    world.order("a", Some("k")).unwrap();
    world.goes_down("a");
    world.comes_back_right("a", "boot-2");
    world.switch("a", CYCLE).unwrap();
    world.tick();
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back("a", "boot-3", ("6.1.0", "57"), "quiet");
    assert_eq!((world.verdict("a"), world.machine("a").phase), (Some(BootVerdict::CrashedBack), Phase::Installing));
    world.goes_down("a");
    world.comes_back_right("a", "boot-4");
    assert_eq!((world.verdict("a"), world.machine("a").phase), (Some(BootVerdict::Verified), Phase::Ready));
}

#[test]
fn one_power_domain_is_switched_a_few_at_a_time_and_one_after_the_other() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut world = World::powered(&names);
    for name in names {
        world.switch(name, CYCLE).unwrap();
    }
    let begun = |world: &World| names.iter().filter(|name| world.machine(name).power.is_some()).count();
    world.tick();
    assert_eq!(begun(&world), 1, "the others wait for the stagger");
    world.tick();
    assert_eq!(begun(&world), 1);
    for _ in 0..10 {
        world.pass(POWER_STAGGER);
        world.tick();
    }
    assert_eq!(begun(&world), POWER_IN_DOMAIN_MAX, "then for those that are under way");
    world.acted("a", Some(PowerOutcome::Done));
    world.tick();
    assert_eq!(begun(&world), POWER_IN_DOMAIN_MAX + 1);
}

#[test]
fn where_power_fails_on_too_many_machines_nothing_more_is_switched() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut world = World::powered(&names);
    for name in &names[..5] {
        world.switch(name, CYCLE).unwrap();
        world.pass(POWER_STAGGER);
        world.tick();
        world.acted(name, Some(PowerOutcome::Failed));
    }
    world.switch("f", CYCLE).unwrap();
    world.pass(POWER_STAGGER);
    world.tick();
    assert!(world.machine("f").power.is_none());
    let why = world.waits_for("f");
    assert!(why.contains("power fails on 5 of 6 machines of the power domain rack"), "{why}");
    world.pass(ORDER_AGE_MAX);
    let facts = world.tick();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::PowerOrderDropped { .. })), "{facts:?}");
    assert!(world.machine("f").power_order.is_none());
}

#[test]
fn a_hold_stops_power_and_reboots_and_the_quiet_time_holds_for_each_machine() {
    let mut world = World::powered(&["a", "b"]);
    world.hold(true);
    world.switch("a", RESET).unwrap();
    world.order("b", None).unwrap();
    world.beat("b");
    world.tick();
    assert!(world.machine("a").power.is_none() && world.tasks().is_empty(), "neither power nor a reboot");
    let why = world.waits_for("a");
    assert_eq!(why, "held by user:anna: the floor is wet");
    world.hold(false);
    world.tick();
    assert_eq!((world.task("a"), world.tasks().len()), (Some(RESET), 1));
    world.acted("a", Some(PowerOutcome::Done));
    world.comes_back("a", "boot-2", ("6.1.0", "57"), "quiet");
    world.switch("a", CYCLE).unwrap();
    world.tick();
    assert_eq!(world.task("a"), Some(RESET), "it was switched just before");
    world.pass(POWER_QUIET);
    world.tick();
    assert_eq!(world.task("a"), Some(CYCLE));
    world.check_replay();
}

#[test]
fn a_person_who_is_asked_says_when_it_is_done() {
    let mut world = World::powered(&["a"]);
    let done = |world: &mut World, task| {
        let ordering = PowerOrdering { selector: selector("a"), task, done: true, actor: "user:bo".into() };
        world.command(Command::Power(ordering))
    };
    assert!(done(&mut world, OFF).unwrap_err().why.contains("nobody is asked"));
    world.switch("a", OFF).unwrap();
    world.tick();
    assert_eq!(world.acted("a", None), [Fact::PowerAsked]);
    world.observe(Observation::LeadershipBegan);
    assert_eq!((world.switches().len(), world.looks()), (0, 0), "a person needs no driver");
    assert!(done(&mut world, CYCLE).is_err());
    done(&mut world, OFF).unwrap();
    assert_eq!(world.outcome("a"), Some(PowerOutcome::Done));
    world.check_replay();
}

#[test]
fn a_machine_is_reverted_when_nothing_lives_and_ready_after_its_new_hello() {
    let mut world = World::powered(&["a"]);
    world.switch("a", PowerTask::Revert).unwrap();
    assert_eq!(world.machine("a").phase, Phase::Reverting);
    assert!(super::super::desired_of(world.machine("a")).draining);
    let busy = Heartbeat { processes_live: 1, ..world.heartbeat("a") };
    world.observe(Observation::Heartbeat(busy));
    world.tick();
    assert!(world.machine("a").power.is_none(), "something lives");
    world.beat("a");
    world.tick();
    assert_eq!(world.task("a"), Some(PowerTask::Revert));
    world.acted("a", Some(PowerOutcome::Done));
    assert_eq!(world.machine("a").phase, Phase::Settling);
    let old = world.heartbeat("a");
    world.observe(Observation::Heartbeat(old));
    world.tick();
    assert_eq!(world.machine("a").phase, Phase::Settling, "a heartbeat of the old life proves nothing");
    let again = later_hello(&world, "a");
    world.hello(again);
    assert_eq!(world.machine("a").phase, Phase::Ready);
    assert!(!super::super::desired_of(world.machine("a")).draining);
    world.check_replay();
}

#[test]
fn a_revert_that_failed_leaves_a_machine_that_nobody_uses() {
    let mut world = World::powered(&["a"]);
    world.switch("a", PowerTask::Revert).unwrap();
    world.beat("a");
    world.tick();
    world.acted("a", Some(PowerOutcome::Failed));
    assert_eq!(world.machine("a").phase, Phase::Dirty);
}

#[test]
fn orders_that_may_not_be_are_refused_and_change_nothing() {
    let mut world = World::powered(&["a"]);
    world.ready_machine("bare");
    let refused = |world: &mut World, name: &str, task, why: &str| {
        let refusal = world.switch(name, task).unwrap_err();
        assert!(refusal.why.contains(why) && !refusal.next.is_empty(), "{refusal}");
    };
    refused(&mut world, "bare", CYCLE, "it has no driver that can do that (`power=`)");
    refused(&mut world, "bare", PowerTask::Revert, "it has no driver that can do that (`snapshot=`)");
    let protection = ProtectionSetting { selector: selector("a"), resources: vec![], protect: true, machine: true };
    world.command(Command::SetProtection(protection.clone())).unwrap();
    refused(&mut world, "a", CYCLE, "it is protected as a whole");
    world.command(Command::SetProtection(ProtectionSetting { protect: false, ..protection })).unwrap();
    let granted = Grant { user: "user:bo".into(), ..grant(&world, 1, &["a"]) };
    world.facts(Input::Granted(granted));
    refused(&mut world, "a", CYCLE, "user:bo has it");
    assert!(world.machine("a").power_order.is_none());
}

#[test]
fn a_machine_that_was_said_to_be_switched_and_never_went_down_is_used_again() {
    let mut world = World::powered(&["a", "b"]);
    world.switch("a", CYCLE).unwrap();
    world.tick();
    world.acted("a", Some(PowerOutcome::Done));
    assert!(world.machine("a").trouble().contains("cycle"), "{}", world.machine("a").trouble());
    world.pass(BOOT_WITHIN - seconds(2));
    world.stay_up(&["a", "b"]);
    world.tick();
    assert_eq!(world.machine("a").phase, Phase::Dirty);
    world.pass(seconds(3));
    world.stay_up(&["a", "b"]);
    world.tick();
    assert_eq!(world.machine("a").phase, Phase::Ready);
    world.check_replay();
}
