use super::*;
use crate::core::{LoadKey, Settings, TagSetting};
use muster_model::{BootDriver, RefusalCode};

fn set_flag(text: &str, flag: Flag, value: bool) -> Command {
    Command::SetFlag(FlagSetting { selector: selector(text), flag, value })
}

#[test]
fn a_flag_is_set_on_what_the_selector_names_and_the_rest_is_unchanged() {
    let mut world = World::new();
    world.ready_machine("a");
    world.hello(plain_hello("b"));
    let (facts, reply) = world.check(Input::Command(set_flag("arch=x86_64", Flag::Active, true))).unwrap();
    assert_eq!(facts, [Fact::FlagChanged { flag: Flag::Active, value: true }]);
    let Some(Reply::Changed { machines, unchanged, .. }) = reply else { panic!() };
    assert_eq!((machines, unchanged), (vec![id("b")], vec![id("a")]));
}

#[test]
fn a_selector_that_names_nothing_is_refused() {
    let mut world = World::new();
    world.ready_machine("a");
    for (text, part) in [("b", "no machine `b`"), ("a,b", "no machine `b`"), ("cpus>=64", "no machine fits")] {
        let refusal = world.command(set_flag(text, Flag::Active, true)).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::NotFound);
        assert!(refusal.why.contains(part), "{refusal}");
    }
}

#[test]
fn only_a_retired_machine_without_processes_is_removed_and_its_epochs_never_go_back() {
    let mut world = World::new();
    world.ready_machine("a");
    let remove = || Command::Remove(id("a"));
    assert!(world.command(remove()).unwrap_err().why.contains("not retired"));
    world.command(set_flag("a", Flag::Retired, true)).unwrap();
    let busy = Heartbeat { processes_live: 3, ..world.heartbeat("a") };
    world.observe(Observation::Heartbeat(busy));
    assert!(world.command(remove()).unwrap_err().why.contains("3 processes"));
    world.beat("a");
    let (epoch, incarnation) = (world.machine("a").epoch, world.machine("a").incarnation);
    assert_eq!(world.command(remove()).unwrap(), [Fact::Removed]);
    assert_eq!(world.command(remove()).unwrap_err().code, RefusalCode::NotFound);
    world.check_replay();
    let desired = world.hello(plain_hello("a"));
    assert!(desired.epoch > epoch && desired.incarnation > incarnation);
    assert!(!world.machine("a").flags.active && !world.machine("a").flags.retired);
    world.check_replay();
}

#[test]
fn a_held_machine_is_not_removed_and_a_retired_one_not_activated() {
    let mut world = World::new();
    world.ready_machine("a");
    world.command(set_flag("a", Flag::Retired, true)).unwrap();
    assert!(world.command(set_flag("a", Flag::Active, true)).unwrap_err().why.contains("retired"));
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    assert!(world.command(Command::Remove(id("a"))).unwrap_err().why.contains("reservation"));
}

#[test]
fn a_pool_file_is_taken_as_a_whole_or_not_at_all() {
    let mut world = World::new();
    let file = vec![entry("a", &["disk-*"], true), entry("b", &[], false)];
    world.command(Command::LoadPool(file.clone())).unwrap();
    assert!(world.machine("a").flags.active && !world.machine("b").flags.active);
    assert!(world.command(Command::LoadPool(file)).unwrap().is_empty(), "loaded again");
    for (bad, part) in [
        (vec![entry("c", &[], false), entry("c", &[], false)], "twice"),
        (vec![entry("c", &[], false), entry("d", &["disk a"], false)], "`disk a`"),
        (vec![], "no machine"),
    ] {
        let refusal = world.command(Command::LoadPool(bad)).unwrap_err();
        assert!(refusal.why.contains(part), "{refusal}");
        assert_eq!(world.state.machines.len(), 2);
    }
}

#[test]
fn a_pool_file_protects_whole_machines_new_and_known_and_releases_none() {
    let mut world = World::new();
    world.ready_machine("a");
    let whole = |name: &str| PoolEntry { protect_machine: true, ..entry(name, &[], true) };
    world.command(Command::LoadPool(vec![whole("a"), whole("b"), entry("c", &[], true)])).unwrap();
    let protected = |world: &World| ["a", "b", "c"].map(|name| world.machine(name).protection.machine);
    assert_eq!(protected(&world), [true, true, false]);
    assert!(world.command(Command::LoadPool(vec![whole("a"), whole("b")])).unwrap().is_empty(), "loaded again");
    let without = vec![entry("a", &[], true), entry("b", &[], true)];
    assert!(world.command(Command::LoadPool(without)).unwrap().is_empty(), "an entry takes nothing away");
    assert_eq!(protected(&world), [true, true, false]);
}

#[test]
fn a_pool_file_carries_settings_and_changes_no_others() {
    let mut world = World::new();
    world.ready_machine("a");
    let with = |name: &str, settings: SettingsChange| PoolEntry { settings, ..entry(name, &[], true) };
    let grub = |attempts: u32| SettingsChange {
        boot_driver: Some(Some(BootDriver::Grub)),
        attempts_max: Some(attempts),
        ..SettingsChange::default()
    };
    let bad = vec![with("b", grub(2)), with("a", grub(21)), with("c", grub(2))];
    let refusal = world.command(Command::LoadPool(bad)).unwrap_err();
    assert!(refusal.to_string().contains("settings of a") && refusal.why.contains("attempts"), "{refusal}");
    assert_eq!((world.state.machines.len(), &world.machine("a").settings), (1, &Settings::default()));

    let good = vec![with("a", grub(2)), with("b", grub(5))];
    world.command(Command::LoadPool(good.clone())).unwrap();
    let drivers = ["a", "b"].map(|name| world.machine(name).settings.boot_driver);
    assert_eq!(drivers, [Some(BootDriver::Grub); 2]);
    assert!(world.command(Command::LoadPool(good)).unwrap().is_empty(), "loaded again");
    let less = SettingsChange { drain: Some(seconds(7)), attempts_max: Some(0), ..SettingsChange::default() };
    world.command(Command::LoadPool(vec![with("a", less), entry("b", &[], true)])).unwrap();
    let a = Settings { boot_driver: Some(BootDriver::Grub), drain: seconds(7), ..Settings::default() };
    assert_eq!(world.machine("a").settings, a, "what the file does not say stays, and nothing is the default again");
    assert_eq!(world.machine("b").settings.attempts_max, 5);
    world.check_replay();
}

#[test]
fn tags_are_added_and_taken_away() {
    let mut world = World::new();
    world.ready_machine("a");
    let tags = |add: &[&str], remove: &[&str]| {
        let set = |tags: &[&str]| tags.iter().map(ToString::to_string).collect();
        Command::SetTags(TagSetting { selector: selector("a"), add: set(add), remove: set(remove) })
    };
    world.command(tags(&["slow", "rack-3"], &[])).unwrap();
    world.command(tags(&[], &["slow"])).unwrap();
    assert_eq!(world.machine("a").tags, BTreeSet::from(["rack-3".to_owned()]));
    assert!(world.command(tags(&["two words"], &[])).unwrap_err().why.contains("two words"));
}

#[test]
fn load_numbers_override_the_defaults_of_their_kind() {
    let mut world = World::new();
    let key = |device_type: &str| LoadKey { kind: ResourceKind::Disk, device_type: device_type.into() };
    world.command(Command::SetLoadNumbers(vec![(key("ssd"), 100)])).unwrap();
    world.command(Command::SetLoadNumbers(vec![(key(""), 5)])).unwrap();
    let half = Command::SetLoadNumbers(vec![(key("hdd"), 9), (key(""), 0)]);
    assert!(world.command(half).is_err(), "all or none");
    let numbers = world.state.all_load_numbers();
    assert_eq!(numbers.len(), 6, "five kinds and one type");
    assert!(numbers.contains(&(key("ssd"), 100)) && numbers.contains(&(key(""), 5)));
}
