//! A reservation's image: its machines are taken back to a snapshot before they are ready, and then booted where it has a kernel.

use muster_model::SnapshotName;

use super::*;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{Cleaning, HoldSetting, PowerActed, SettingsChange, Stage};

fn image(name: &str) -> SnapshotName {
    SnapshotName::new(name).unwrap()
}

/// The machine `a` is granted with an image, and has changed hands.
fn granted(world: &mut World, name: &str, kernel: Option<&str>) {
    let kernel = kernel.map(|kernel| (KernelName::new(kernel).unwrap(), "feedfeed".into()));
    let granted = Grant { image: Some(image(name)), kernel, ..grant(world, 1, &["a"]) };
    world.facts(Input::Granted(granted));
    assert!(world.machine("a").power_order.is_none(), "it drains first");
    arrive(world, "a");
}

/// Its revert begins, and its driver says what came of it.
fn revert(world: &mut World, outcome: PowerOutcome) {
    world.beat("a");
    world.tick();
    acted(world, outcome);
}

fn acted(world: &mut World, outcome: PowerOutcome) {
    let known = world.machine("a").power.clone().expect("it is switched");
    assert_eq!((known.task, known.outcome), (PowerTask::Revert, None));
    let acted = PowerActed { position: known.position, outcome: Some(outcome), detail: "seen".into(), dump: None };
    world.facts(Input::PowerActed { machine: id("a"), acted });
}

#[test]
fn a_machine_is_taken_back_to_the_image_and_ready_with_the_hello_after_it() {
    let mut world = World::powered(&["a"]);
    granted(&mut world, "clean", None);
    let machine = world.machine("a");
    assert_eq!((machine.phase, machine.refuses_starts()), (Phase::Reverting, true));
    assert!(machine.preparation.is_some(), "it is not prepared before that is done");
    revert(&mut world, PowerOutcome::Done);
    assert_eq!((world.machine("a").phase, world.machine("a").preparation.is_some()), (Phase::Settling, false));
    let before = world.machine("a").incarnation;
    let again = later_hello(&world, "a");
    world.hello(again);
    let machine = world.machine("a");
    assert_eq!((machine.phase, machine.incarnation > before), (Phase::Ready, true));
    assert_eq!(machine.tenure.holder.reservation(), Some(ReservationId(1)));
    world.check_replay();
}

#[test]
fn the_image_comes_first_and_the_kernel_after_it() {
    let mut world = World::powered(&["a"]);
    granted(&mut world, "clean", Some("k"));
    assert!(world.machine("a").boot.is_none());
    revert(&mut world, PowerOutcome::Done);
    let boot = world.machine("a").boot.clone().expect("it is booted");
    assert_eq!((boot.reservation, boot.nonce.as_str()), (Some(ReservationId(1)), "feedfeed"));
    assert_eq!(world.machine("a").phase, Phase::Installing);
    world.check_replay();
}

#[test]
fn what_can_not_be_taken_back_is_offline_for_its_reservation() {
    for (name, outcome) in [("other", None), ("clean", Some(PowerOutcome::Failed))] {
        let mut world = World::powered(&["a"]);
        granted(&mut world, name, None);
        if let Some(outcome) = outcome {
            revert(&mut world, outcome);
        }
        let machine = world.machine("a");
        assert_eq!((machine.phase, machine.preparation.is_some()), (Phase::Offline, false), "{name}");
        world.check_replay();
    }
}

#[test]
fn a_revert_that_nobody_has_seen_done_is_done_again() {
    let mut world = World::powered(&["a"]);
    granted(&mut world, "clean", None);
    revert(&mut world, PowerOutcome::Unclear);
    let machine = world.machine("a");
    assert_eq!((machine.phase, machine.power_order.is_some()), (Phase::Reverting, true));
    assert!(machine.preparation.is_some());
    world.check_replay();
}

#[test]
fn a_revert_that_never_got_its_turn_makes_it_offline() {
    let mut world = World::powered(&["a"]);
    world
        .command(Command::Hold(HoldSetting { held: true, actor: "user:anna".into(), reason: "storm".into() }))
        .unwrap();
    granted(&mut world, "clean", None);
    world.now = world.now + seconds(601);
    world.beat("a");
    world.tick();
    assert_eq!((world.machine("a").phase, world.machine("a").power_order.is_some()), (Phase::Offline, false));
    world.check_replay();
}

#[test]
fn an_agent_that_went_back_with_its_machine_is_fenced_and_the_machine_is_taken_back_once() {
    let mut world = World::powered(&["a"]);
    granted(&mut world, "clean", None);
    world.beat("a");
    world.tick();
    // The hello of the restored agent is there before the word of the driver.
    let old = Hello { fenced_epoch: Epoch(0), ..later_hello(&world, "a") };
    world.hello(old);
    assert_eq!(world.machine("a").tenure.stage, Stage::Fencing);
    acted(&mut world, PowerOutcome::Done);
    let epoch = world.machine("a").epoch;
    world.facts(Input::FenceDone { machine: id("a"), epoch });
    let machine = world.machine("a");
    assert!(machine.power_order.is_none() && machine.preparation.is_none(), "it was taken back already");
    let again = later_hello(&world, "a");
    world.hello(again);
    assert_eq!(world.machine("a").phase, Phase::Ready);
    world.check_replay();
}

#[test]
fn a_machine_that_is_cleaned_by_its_snapshot_is_cleaned_once() {
    let mut world = World::powered(&["a"]);
    let change = Box::new(SettingsChange { cleaning: Some(Cleaning::Revert), ..SettingsChange::default() });
    world.command(Command::SetSettings { selector: selector("a"), change }).unwrap();
    let held = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(held));
    arrive(&mut world, "a");
    world.facts(Input::Ended { reservation: ReservationId(1) });
    arrive(&mut world, "a");
    revert(&mut world, PowerOutcome::Done);
    let old = Hello { fenced_epoch: Epoch(0), ..later_hello(&world, "a") };
    world.hello(old);
    let epoch = world.machine("a").epoch;
    world.facts(Input::FenceDone { machine: id("a"), epoch });
    let machine = world.machine("a");
    assert!(machine.rests_in_pool() && machine.power_order.is_none(), "its snapshot has an older fence");
    assert_eq!(machine.phase, Phase::Ready);
    world.check_replay();
}
