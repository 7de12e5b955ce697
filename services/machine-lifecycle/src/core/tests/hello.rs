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
fn numbers_that_no_log_was_ever_behind_are_refused() {
    let mut world = World::new();
    world.ready_machine("a");
    for last in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let of_epoch = Hello { fenced_epoch: Epoch(last), ..later_hello(&world, "a") };
        let of_life = Hello { last_incarnation: Incarnation(last), ..later_hello(&world, "a") };
        for hello in [of_epoch, of_life] {
            let refusal = world.check(Input::Hello(hello)).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::Invalid, "{refusal}");
        }
    }
}

#[test]
fn an_agent_that_lost_its_fence_is_fenced_anew_for_the_same_holder() {
    let mut world = World::new();
    world.ready_machine("a");
    let reverted = Hello { fenced_epoch: Epoch(0), ..later_hello(&world, "a") };
    let facts = world.facts(Input::Hello(reverted));
    assert!(facts.contains(&Fact::EpochRaised { epoch: Epoch(2), holder: Holder::Pool }), "{facts:?}");
}

/// Feeds a hello; gives whether its grant says that the machine went back.
fn went_back(world: &mut World, hello: Hello) -> bool {
    let facts = world.facts(Input::Hello(hello));
    let granted = facts.iter().find_map(|fact| match fact {
        Fact::IncarnationGranted { went_back, .. } => Some(*went_back),
        _ => None,
    });
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::EpochRaised { .. })), "a late word ends nothing: {facts:?}");
    granted.unwrap()
}

#[test]
fn an_agent_that_knows_less_than_it_has_said_is_noted_as_taken_back() {
    let mut world = World::new();
    world.ready_machine("a");
    let next = Hello { last_batch: 8, ..later_hello(&world, "a") };
    assert!(!went_back(&mut world, next));
    world.observe(Observation::Heartbeat(Heartbeat { stored: 12, ..world.heartbeat("a") }));
    let (by_hello, by_heartbeat) = (later_hello(&world, "a"), later_hello(&world, "a"));
    assert!(went_back(&mut world, Hello { last_batch: 7, ..by_hello }), "below what it said at its last hello");
    let incarnation = world.machine("a").incarnation;
    assert!(went_back(&mut world, Hello { last_batch: 11, last_incarnation: incarnation, ..by_heartbeat.clone() }));
    assert!(!went_back(&mut world, Hello { last_batch: 12, ..by_heartbeat }), "an answer may be lost");
    world.beat("a");
    let forgot = Hello { last_incarnation: Incarnation(1), ..later_hello(&world, "a") };
    assert!(went_back(&mut world, forgot), "it has lived in an incarnation that it does not know");
    world.check_replay();
}

#[test]
fn what_probing_finds_between_hellos_counts_as_in_a_hello() {
    let mut world = World::new();
    world.ready_machine("a");
    let incarnation = world.machine("a").incarnation;
    let probed =
        |batch, resources| Input::Probed { machine: id("a"), incarnation, batch, inventory: inventory(resources) };
    let plugged = vec![disk("disk-a", &[]), disk("disk-b", &["ext4"]), disk("disk-c", &["gpt"])];
    let facts = world.facts(probed(1, plugged.clone()));
    assert!(matches!(&facts[..], [Fact::InventoryChanged(_), Fact::ProtectionChanged(_)]), "{facts:?}");
    assert!(world.machine("a").protection.protected.contains(&resource("disk-c")), "a signature protects (I13)");
    assert!(world.facts(probed(2, plugged)).is_empty(), "said again, it changes nothing");
    let facts = world.facts(probed(3, vec![disk("disk-a", &[])]));
    assert!(matches!(&facts[..], [Fact::InventoryChanged(_)]), "{facts:?}");
    assert!(world.machine("a").protection.protected.contains(&resource("disk-c")), "for when it comes back");
}

#[test]
fn what_was_found_before_the_last_hello_or_in_a_life_to_come_does_not_count() {
    let mut world = World::new();
    world.ready_machine("a");
    let again = Hello { last_batch: 9, ..later_hello(&world, "a") };
    world.hello(again);
    let incarnation = world.machine("a").incarnation;
    let probed =
        |incarnation, batch| Input::Probed { machine: id("a"), incarnation, batch, inventory: inventory(vec![]) };
    assert!(world.facts(probed(incarnation, 9)).is_empty());
    assert!(world.facts(probed(incarnation.next(), 10)).is_empty());
    assert_eq!(world.facts(probed(incarnation, 10)).len(), 1);
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
