use super::*;

#[test]
fn what_carries_a_signature_is_protected_from_the_start_and_what_a_rule_names_too() {
    let mut world = World::new();
    world.command(Command::LoadPool(vec![entry("a", &["disk-c*"], false)])).unwrap();
    let found = inventory(vec![disk("disk-a", &[]), disk("disk-b", &["gpt"]), disk("disk-c1", &[])]);
    let desired = world.hello(Hello { inventory: Some(found), ..plain_hello("a") });
    assert_eq!(desired.protected, BTreeSet::from([resource("disk-b"), resource("disk-c1")]));
}

#[test]
fn a_new_signature_protects_at_the_next_probe() {
    let mut world = World::new();
    world.ready_machine("a");
    let found = inventory(vec![disk("disk-a", &["LVM2_member"]), disk("disk-b", &["ext4"])]);
    let probed = Hello { inventory: Some(found), ..later_hello(&world, "a") };
    world.facts(Input::Hello(probed));
    assert!(world.machine("a").protection.protected.contains(&resource("disk-a")));
}

#[test]
fn a_released_resource_stays_released_until_it_is_mounted() {
    let mut world = World::new();
    world.ready_machine("a");
    world.command(protect(&["disk-b"], false)).unwrap();
    let again = later_hello(&world, "a");
    world.hello(again);
    assert!(!world.machine("a").protection.protected.contains(&resource("disk-b")));
    let found = inventory(vec![disk("disk-a", &[]), disk("disk-b", &["ext4", "mounted:/srv"])]);
    let mounted = Hello { inventory: Some(found), ..later_hello(&world, "a") };
    world.hello(mounted);
    assert!(world.machine("a").protection.protected.contains(&resource("disk-b")));
    let refusal = world.command(protect(&["disk-*"], false)).unwrap_err();
    assert!(refusal.why.contains("mounted:/srv") && refusal.what == "release disk-b on a", "{refusal}");
}

#[test]
fn protection_is_pending_until_the_agent_has_it_on_disk() {
    let mut world = World::new();
    world.ready_machine("a");
    world.tick();
    assert!(!world.machine("a").protection_pending());
    world.command(protect(&["disk-a"], true)).unwrap();
    assert!(world.machine("a").protection_pending() && world.tick().is_empty(), "it has the older generation");
    let (incarnation, generation) = (world.machine("a").incarnation, world.machine("a").generation);
    let taken = |incarnation| Input::DesiredTaken { machine: id("a"), incarnation, generation };
    assert!(world.facts(taken(Incarnation(99))).is_empty(), "of another life");
    assert_eq!(world.facts(taken(incarnation)), [Fact::ProtectionAcknowledged { generation }]);
    assert!(world.facts(taken(incarnation)).is_empty(), "once");
    world.command(protect(&["disk-a"], false)).unwrap();
    world.beat("a");
    assert!(matches!(world.tick()[..], [Fact::ProtectionAcknowledged { .. }]), "a heartbeat says it too");
}

#[test]
fn the_same_protection_again_changes_nothing() {
    let mut world = World::new();
    world.ready_machine("a");
    assert_eq!(world.command(protect(&["disk-a"], true)).unwrap().len(), 1);
    assert!(world.command(protect(&["disk-a"], true)).unwrap().is_empty());
}

#[test]
fn a_glob_that_fits_nothing_is_refused() {
    let mut world = World::new();
    world.ready_machine("a");
    for protected in [true, false] {
        let refusal = world.command(protect(&["tape-*"], protected)).unwrap_err();
        assert!(refusal.why.contains("`tape-*`"), "{refusal}");
    }
    assert!(world.command(protect(&[], true)).unwrap_err().why.contains("no resource"));
}

#[test]
fn a_machine_that_was_not_probed_yet_keeps_its_protection_as_a_rule() {
    let mut world = World::new();
    world.command(Command::LoadPool(vec![entry("a", &[], false)])).unwrap();
    world.command(protect(&["disk-a"], true)).unwrap();
    let desired = world.hello(plain_hello("a"));
    assert!(desired.protected.contains(&resource("disk-a")));
}
