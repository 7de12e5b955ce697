//! A reservation's kernel: booted once the machine is its own, and left again once it is not.

use muster_model::{BootDriver, BootStep, BootVerdict};

use super::*;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{Cleaning, PowerActed, PowerOrdering, SettingsChange, Stage};

/// A grant with a kernel.
fn rollout(world: &World, reservation: u64, names: &[&str], kernel: &str) -> Input {
    let kernel = Some((KernelName::new(kernel).unwrap(), "feedfeed".into()));
    Input::Granted(Grant { kernel, ..grant(world, reservation, names) })
}

#[test]
fn a_granted_machine_is_booted_once_it_is_the_reservations_and_into_its_own_kernel_once_it_is_not() {
    let mut world = World::bootable(&["a"]);
    let granted = rollout(&world, 1, &["a"], "k");
    world.facts(granted);
    assert!(world.machine("a").boot.is_none(), "it drains first");
    arrive(&mut world, "a");
    let boot = world.machine("a").boot.as_ref().unwrap();
    assert_eq!((boot.reservation, boot.nonce.as_str()), (Some(ReservationId(1)), "feedfeed"));
    assert_eq!(world.machine("a").phase, Phase::Installing);
    assert!(world.machine("a").preparation.is_none());
    world.goes_down("a");
    world.comes_back_right("a", "boot-2");
    assert_eq!((world.machine("a").phase, world.verdict("a")), (Phase::Ready, Some(BootVerdict::Verified)));

    world.facts(Input::Ended { reservation: ReservationId(1) });
    arrive(&mut world, "a");
    let boot = world.machine("a").boot.as_ref().unwrap();
    assert!(boot.kernel.is_none() && boot.reservation.is_none() && boot.is_pending());
    assert_eq!(world.machine("a").phase, Phase::Rebooting);
    world.progress("a", BootStep::Rebooting);
    world.comes_back("a", "boot-3", ("6.1.0", "57"), "quiet");
    assert_eq!((world.machine("a").phase, world.machine("a").trouble()), (Phase::Ready, String::new()));
    assert!(world.machine("a").rests_in_pool());
    world.check_replay();
}

#[test]
fn a_machine_that_a_rollout_goes_on_without_goes_back_alone() {
    let mut world = World::bootable(&["a", "b"]);
    let granted = rollout(&world, 1, &["a", "b"], "k");
    world.facts(granted);
    world.facts(Input::Dropped { reservation: ReservationId(2), machine: id("a") });
    assert!(world.machine("a").preparation.is_some(), "another reservation's word counts for nothing");
    world.facts(Input::Dropped { reservation: ReservationId(1), machine: id("a") });
    assert!(world.machine("a").preparation.is_none());
    for name in ["a", "b"] {
        arrive(&mut world, name);
    }
    assert!(world.machine("a").rests_in_pool() && world.machine("a").boot.is_none(), "it was never booted");
    assert_eq!(world.machine("b").tenure.holder.reservation(), Some(ReservationId(1)));
    assert_eq!(world.machine("b").phase, Phase::Installing);
    world.check_replay();
}

#[test]
fn what_can_not_be_booted_is_offline_for_its_reservation_and_usable_again_after_it() {
    for (kernel, no_driver, why) in [("gone", false, "there was no kernel gone"), ("k", true, "it has no boot driver")]
    {
        let mut world = World::bootable(&["a"]);
        let granted = rollout(&world, 1, &["a"], kernel);
        world.facts(granted);
        if no_driver {
            world.command(super::boots::settings("a", Some(None), None)).unwrap();
        }
        arrive(&mut world, "a");
        assert_eq!(world.machine("a").phase, Phase::Offline);
        let said = world.log.iter().rev().find_map(|(_, _, event)| match event {
            Event::Machine { fact: Fact::PhaseChanged { reason, .. }, .. } => Some(reason.clone()),
            _ => None,
        });
        assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{said:?}");
        world.facts(Input::Ended { reservation: ReservationId(1) });
        arrive(&mut world, "a");
        let again = later_hello(&world, "a");
        world.hello(again);
        assert_eq!((world.machine("a").phase, world.machine("a").tenure.stage), (Phase::Ready, Stage::Settled));
    }
}

#[test]
fn the_next_reservation_gets_a_machine_in_its_own_kernel() {
    let mut world = World::bootable(&["a"]);
    let granted = rollout(&world, 1, &["a"], "k");
    world.facts(granted);
    arrive(&mut world, "a");
    world.goes_down("a");
    world.comes_back_right("a", "boot-2");
    world.facts(Input::Ended { reservation: ReservationId(1) });
    let next = grant(&world, 2, &["a"]);
    world.facts(Input::Granted(next));
    arrive(&mut world, "a");
    let machine = world.machine("a");
    assert!(machine.boot_pending() && machine.boot.as_ref().is_some_and(|boot| boot.kernel.is_none()));
    assert_eq!(machine.settings.boot_driver, Some(BootDriver::Simulated));
    assert_eq!(machine.tenure.holder.reservation(), Some(ReservationId(2)));
    world.check_replay();
}

#[test]
fn a_machine_that_changes_hands_while_it_is_taken_back_is_booted_after_that() {
    for begun in [false, true] {
        let mut world = World::powered(&["a"]);
        let ordering =
            PowerOrdering { selector: selector("a"), task: PowerTask::Revert, done: false, actor: "user:anna".into() };
        world.command(Command::Power(ordering)).unwrap();
        if begun {
            world.beat("a");
            world.tick();
        }
        let granted = rollout(&world, 1, &["a"], "k");
        world.facts(granted);
        let busy = Heartbeat { processes_live: 1, ..world.heartbeat("a") };
        world.now = world.now + seconds(31);
        world.observe(Observation::Heartbeat(busy));
        world.tick();
        let epoch = world.machine("a").epoch;
        world.facts(Input::FenceDone { machine: id("a"), epoch });
        if begun {
            assert_eq!(world.machine("a").phase, Phase::Reverting, "what is under way is waited for");
            let position = world.machine("a").power.as_ref().unwrap().position;
            let acted = PowerActed { position, outcome: Some(PowerOutcome::Done), detail: String::new(), dump: None };
            world.facts(Input::PowerActed { machine: id("a"), acted });
        }
        assert!(world.machine("a").power_order.is_none(), "the order of the holder before is not carried out");
        assert_eq!(world.machine("a").phase, Phase::Installing, "begun: {begun}");
        assert_eq!(world.machine("a").boot.as_ref().and_then(|boot| boot.reservation), Some(ReservationId(1)));
        world.check_replay();
    }
}

/// The machine `a` is given back by a reservation, with `clean=` set.
fn given_back(world: &mut World, cleaning: Cleaning) {
    let change = Box::new(SettingsChange { cleaning: Some(cleaning), ..SettingsChange::default() });
    world.command(Command::SetSettings { selector: selector("a"), change }).unwrap();
    let granted = grant(world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    arrive(world, "a");
    assert_eq!((world.machine("a").phase, world.machine("a").power_order.is_some()), (Phase::Ready, false));
    world.facts(Input::Ended { reservation: ReservationId(1) });
    arrive(world, "a");
}

#[test]
fn what_a_reservation_gives_back_is_cleaned_as_its_settings_say() {
    let mut world = World::powered(&["a"]);
    given_back(&mut world, Cleaning::None);
    assert!(world.machine("a").rests_in_pool() && world.machine("a").phase == Phase::Ready);

    let mut world = World::powered(&["a"]);
    given_back(&mut world, Cleaning::Revert);
    let order = world.machine("a").power_order.clone().expect("it is to be taken back");
    assert_eq!((order.task, world.machine("a").phase), (PowerTask::Revert, Phase::Reverting));
    let next = grant(&world, 2, &["a"]);
    world.facts(Input::Granted(next));
    arrive(&mut world, "a");
    assert!(world.machine("a").power_order.is_some(), "the next holder waits until it is clean");

    let mut world = World::powered(&["a"]);
    given_back(&mut world, Cleaning::Reboot);
    let boot = world.machine("a").boot.clone().expect("it is booted");
    assert!(boot.kernel.is_none() && boot.reservation.is_none() && boot.is_pending());
    world.check_replay();
}
