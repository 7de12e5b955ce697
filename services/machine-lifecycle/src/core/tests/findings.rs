use muster_ledger::Findings;

use super::*;
use crate::core::HoldSetting;

fn found(world: &World) -> Findings {
    MachineCore::findings(&world.state, &world.observed, world.now)
}

#[test]
fn nothing_is_found_where_agents_say_what_the_log_says() {
    let mut world = World::new();
    world.ready_machine("m1");
    assert_eq!(found(&world), Findings::default());
}

#[test]
fn an_agent_that_is_behind_is_named_until_it_has_its_desired_state() {
    let mut world = World::new();
    world.ready_machine("a");
    world.command(protect(&["disk-a"], true)).unwrap();
    let differences = found(&world).differences;
    assert!(
        matches!(&differences[..], [one] if one.subject == "a" && one.what.contains("is wanted")),
        "{differences:?}"
    );
    world.beat("a");
    let pending = found(&world).differences;
    assert!(matches!(&pending[..], [one] if one.next == "that is logged"), "{pending:?}");
    world.tick();
    assert_eq!(found(&world).differences, []);
}

#[test]
fn the_brake_and_a_hold_are_told_to_people() {
    let mut world = World::new();
    for name in ["m1", "m2", "m3"] {
        world.ready_machine(name);
    }
    let hold = HoldSetting { held: true, actor: "user:anna".into(), reason: "the rack is moved".into() };
    world.command(Command::Hold(hold)).unwrap();
    world.now = world.now + seconds(5);
    let alarms = found(&world).alarms;
    assert!(alarms[0].what.contains("brake"), "{alarms:?}");
    assert!(alarms[1].why.contains("user:anna") && alarms[1].why.contains("the rack is moved"), "{alarms:?}");
}
