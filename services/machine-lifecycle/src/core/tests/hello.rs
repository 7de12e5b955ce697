use super::*;
use crate::core::{Holder, Stage};

#[test]
fn a_first_hello_adds_an_inactive_machine_with_its_first_epoch() {
    let mut world = World::new();
    let desired = world.hello(plain_hello("a"));
    let machine = world.machine("a");
    assert!(!machine.flags.active);
    assert_eq!((machine.epoch, machine.incarnation, machine.phase), (Epoch(1), Incarnation(1), Phase::Ready));
    assert_eq!(machine.tenure.stage, Stage::Fencing);
    assert_eq!((desired.epoch, desired.incarnation, desired.draining), (Epoch(1), Incarnation(1), false));
    assert_eq!(desired.protected, BTreeSet::from([resource("disk-b")]));
    assert_eq!(desired.holder, Holder::Pool);
}

#[test]
fn an_incarnation_is_in_the_log_before_it_is_answered_and_rises_above_what_the_agent_had() {
    let mut world = World::new();
    let (facts, _) = world.check(Input::Hello(Hello { last_incarnation: Incarnation(7), ..plain_hello("a") })).unwrap();
    assert!(matches!(facts[1], Fact::IncarnationGranted { incarnation: Incarnation(8), .. }), "{facts:?}");
    let again = later_hello(&world, "a");
    assert_eq!(world.hello(again).incarnation, Incarnation(9));
}

#[test]
fn a_hello_that_brings_nothing_new_changes_only_the_incarnation() {
    let mut world = World::new();
    world.ready_machine("a");
    let again = later_hello(&world, "a");
    let facts = world.facts(Input::Hello(again));
    assert!(matches!(facts[..], [Fact::IncarnationGranted { .. }]), "{facts:?}");
}

#[test]
fn a_hello_with_the_fence_on_disk_settles_the_epoch() {
    let mut world = World::new();
    world.hello(plain_hello("a"));
    let again = Hello { fenced_epoch: Epoch(1), ..later_hello(&world, "a") };
    let facts = world.facts(Input::Hello(again));
    assert!(facts.contains(&Fact::FenceReported { epoch: Epoch(1) }), "{facts:?}");
    assert!(world.machine("a").rests_in_pool());
}

#[test]
fn a_fence_above_the_log_raises_the_epoch_above_it() {
    let mut world = World::new();
    world.hello(Hello { fenced_epoch: Epoch(12), ..plain_hello("a") });
    assert_eq!(world.machine("a").epoch, Epoch(13));
}

#[test]
fn an_agent_that_lost_its_fence_is_fenced_anew_for_the_same_holder() {
    let mut world = World::new();
    world.ready_machine("a");
    let reverted = Hello { fenced_epoch: Epoch(0), ..later_hello(&world, "a") };
    let facts = world.facts(Input::Hello(reverted));
    assert!(facts.contains(&Fact::EpochRaised { epoch: Epoch(2), holder: Holder::Pool }), "{facts:?}");
}

#[test]
fn a_boot_that_nobody_ordered_is_logged() {
    let mut world = World::new();
    world.ready_machine("a");
    let rebooted = Hello { boot_id: "boot-2".into(), ..later_hello(&world, "a") };
    let facts = world.facts(Input::Hello(rebooted));
    assert_eq!(facts[0], Fact::BootObserved { boot_id: "boot-2".into() });
    assert_eq!(world.machine("a").boot_id, "boot-2");
}

#[test]
fn a_generation_is_not_claimed_in_the_turn_that_makes_it() {
    let mut world = World::new();
    let desired = world.hello(plain_hello("a"));
    assert!(desired.generation < world.machine("a").generation);
    let heartbeat = Heartbeat { generation: desired.generation, ..world.heartbeat("a") };
    world.observe(Observation::Heartbeat(heartbeat));
    let effects = world.wanted();
    let [Effect::SendDesired { desired, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(desired.generation, world.machine("a").generation);
}

#[test]
fn a_hello_without_boot_id_is_refused() {
    let mut world = World::new();
    let refusal = world.check(Input::Hello(Hello { boot_id: String::new(), ..plain_hello("a") })).unwrap_err();
    assert!(refusal.why.contains("boot id"), "{refusal}");
    assert!(world.state.machines.is_empty());
}

#[test]
fn two_live_agents_quarantine_their_machine_until_a_person_looks() {
    let mut world = World::new();
    world.ready_machine("a");
    let old = world.heartbeat("a");
    let again = later_hello(&world, "a");
    world.hello(again);
    world.beat("a");
    for _ in 0..3 {
        world.observe(Observation::Heartbeat(old.clone()));
    }
    let facts = world.tick();
    assert!(matches!(&facts[..], [Fact::PhaseChanged { to: Phase::Dirty, .. }, Fact::Quarantined { .. }]), "{facts:?}");
    assert!(world.machine("a").trouble().starts_with("quarantined: two agents"));
    world.check_replay();
    let again = later_hello(&world, "a");
    world.hello(again);
    assert!(world.machine("a").quarantine.is_some(), "a hello of either does not explain it");
    world.command(Command::SetFlag(FlagSetting { selector: selector("a"), flag: Flag::Active, value: true })).unwrap();
    assert_eq!((world.machine("a").phase, world.machine("a").quarantine.as_ref()), (Phase::Ready, None));
}
