use super::*;
use crate::core::health::{Health, brake, health};

fn health_of(world: &World, name: &str) -> Health {
    health(&world.observed, &id(name), world.now)
}

/// `count` ready machines m0, m1, ...
fn pool(count: usize) -> (World, Vec<String>) {
    let mut world = World::new();
    let names: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
    for name in &names {
        world.ready_machine(name);
    }
    (world, names)
}

#[test]
fn silence_is_noticed_after_3_seconds_and_down_after_15() {
    let (mut world, names) = pool(4);
    for (second, expected) in [(2, Health::Up), (3, Health::Silent), (14, Health::Silent), (15, Health::Down)] {
        let mut later = World {
            now: world.now + seconds(second),
            log: Vec::new(),
            state: world.state.clone(),
            observed: world.observed.clone(),
            sequence: world.sequence,
        };
        for name in &names[1..] {
            later.beat(name);
        }
        assert_eq!(health_of(&later, "m0"), expected, "after {second} s");
        let facts = later.tick();
        assert_eq!(facts, if expected == Health::Down { vec![Fact::HealthChanged { down: true }] } else { vec![] });
    }
    world.now = world.now + seconds(15);
    names[1..].iter().for_each(|name| world.beat(name));
    world.tick();
    assert!(world.machine("m0").down && world.tick().is_empty(), "logged once");
    world.beat("m0");
    assert_eq!(world.tick(), [Fact::HealthChanged { down: false }]);
}

#[test]
fn no_down_verdict_until_45_seconds_after_this_service_could_hear() {
    for news in [Observation::LeadershipBegan, Observation::Reconnected] {
        let (mut world, names) = pool(4);
        world.now = world.now + seconds(100);
        world.observe(news);
        for second in 1..=45 {
            names[1..].iter().for_each(|name| world.beat(name));
            assert!(world.tick().is_empty(), "after {second} s");
            world.now = world.now + seconds(1);
        }
        names[1..].iter().for_each(|name| world.beat(name));
        assert_eq!(world.tick(), [Fact::HealthChanged { down: true }]);
    }
}

#[test]
fn the_brake_holds_when_more_than_30_percent_and_at_least_3_go_silent() {
    for (count, silent, braked) in
        [(10, 3, false), (10, 4, true), (4, 2, false), (6, 3, true), (2, 2, true), (1, 1, true)]
    {
        let (mut world, names) = pool(count);
        world.now = world.now + seconds(16);
        names[silent..].iter().for_each(|name| world.beat(name));
        assert_eq!(brake(&world.state, &world.observed, world.now), braked, "{silent} of {count}");
        assert_eq!(world.tick().len(), if braked { 0 } else { silent }, "{silent} of {count}");
    }
}

#[test]
fn machines_that_are_already_down_or_taken_out_do_not_hold_the_brake() {
    let (mut world, names) = pool(10);
    for lost in 1..=5 {
        world.now = world.now + seconds(16);
        names[lost..].iter().for_each(|name| world.beat(name));
        assert_eq!(world.tick(), [Fact::HealthChanged { down: true }], "one after the other");
    }
    let (mut world, names) = pool(10);
    let out = Command::SetFlag(FlagSetting { selector: selector("m0,m1,m2,m3"), flag: Flag::Maintenance, value: true });
    world.command(out).unwrap();
    world.now = world.now + seconds(16);
    names[4..].iter().for_each(|name| world.beat(name));
    assert_eq!(world.tick().len(), 4);
}

#[test]
fn what_an_old_incarnation_says_counts_for_nothing() {
    let (mut world, _) = pool(4);
    let old = world.heartbeat("m0");
    let again = later_hello(&world, "m0");
    world.hello(again);
    world.now = world.now + seconds(5);
    world.observe(Observation::Heartbeat(old));
    assert_eq!(health_of(&world, "m0"), Health::Silent);
}

#[test]
fn an_unknown_machine_is_told_to_say_hello() {
    let answer = crate::wire::heartbeat_answer(5, Incarnation(1), None);
    assert!(answer.hello_again && answer.number == 5);
    let (world, _) = pool(1);
    let machine = world.machine("m0");
    assert!(crate::wire::heartbeat_answer(5, Incarnation(0), Some(machine)).hello_again);
    let answer = crate::wire::heartbeat_answer(5, machine.incarnation, Some(machine));
    assert!(!answer.hello_again && answer.generation == Some(machine.generation.into()));
}

#[test]
fn a_machine_that_is_behind_and_heard_gets_its_desired_state() {
    let (mut world, _) = pool(1);
    assert!(world.wanted().is_empty());
    let granted = grant(&world, 1, &["m0"]);
    world.facts(Input::Granted(granted));
    let effects = world.wanted();
    let [Effect::SendDesired { machine, desired }] = &effects[..] else { panic!("{effects:?}") };
    assert!(*machine == id("m0") && desired.draining && desired.generation == world.machine("m0").generation);
    let (incarnation, generation) = (desired.incarnation, desired.generation);
    world.observe(Observation::DesiredTaken { machine: id("m0"), incarnation, generation });
    assert!(world.wanted().is_empty(), "it has it");
    let granted = grant(&world, 2, &["m0"]);
    world.facts(Input::Granted(granted));
    let moved = Input::DeadlineMoved { reservation: ReservationId(1), deadline: world.now };
    world.facts(moved);
    world.now = world.now + seconds(10);
    assert!(world.wanted().is_empty(), "who is silent is not asked");
}
