use super::*;
use crate::core::limits::{DEADLINE_GRACE, FOLLOWED_FACTS_MAX, RETURN_DRAIN};
use crate::core::{Claim, Holder, Stage, Tenure};

fn anna(world: &World, reservation: u64) -> Holder {
    let deadline = world.now + seconds(3600);
    Holder::Reservation { id: ReservationId(reservation), user: "user:anna".into(), deadline, ssh_key: String::new() }
}

#[test]
fn a_check_out_drains_raises_the_epoch_and_awaits_the_fence() {
    let mut world = World::new();
    world.ready_machine("a");
    let holder = anna(&world, 1);
    let granted = grant(&world, 1, &["a", "unknown"]);
    let facts = world.facts(Input::Granted(granted));
    let deadline = world.now + seconds(30);
    assert_eq!(facts, [Fact::DrainingStarted { next: holder.clone(), deadline }]);
    assert!(world.tick().is_empty(), "the agent has not said yet that it drains");

    let busy = Heartbeat { processes_live: 2, ..world.heartbeat("a") };
    world.observe(Observation::Heartbeat(busy));
    assert!(world.tick().is_empty(), "two processes live");

    world.beat("a");
    assert_eq!(world.tick(), [Fact::EpochRaised { epoch: Epoch(2), holder: holder.clone() }]);
    assert!(world.tick().is_empty(), "the fence is not there");
    assert!(world.facts(Input::FenceDone { machine: id("a"), epoch: Epoch(1) }).is_empty(), "an old fence");
    assert_eq!(
        world.facts(Input::FenceDone { machine: id("a"), epoch: Epoch(2) }),
        [Fact::FenceReported { epoch: Epoch(2) }]
    );
    assert_eq!(world.machine("a").tenure, Tenure { holder, stage: Stage::Settled });
    world.check_replay();
}

#[test]
fn a_heartbeat_from_before_the_drain_does_not_count_as_drained() {
    let mut world = World::new();
    world.ready_machine("a");
    let before = world.heartbeat("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    world.observe(Observation::Heartbeat(Heartbeat { draining: true, ..before }));
    assert!(world.tick().is_empty());
}

#[test]
fn the_epoch_rises_at_the_deadline_of_the_drain_whoever_is_alive() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    world.now = world.now + seconds(30);
    assert!(matches!(world.tick()[..], [.., Fact::EpochRaised { epoch: Epoch(2), .. }]));
}

#[test]
fn a_heartbeat_that_names_the_fence_settles_it_like_a_report() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    world.beat("a");
    world.tick();
    let fenced = Heartbeat { fenced_epoch: Epoch(2), ..world.heartbeat("a") };
    world.observe(Observation::Heartbeat(fenced));
    assert_eq!(world.tick(), [Fact::FenceReported { epoch: Epoch(2) }]);
}

#[test]
fn a_grant_that_is_read_twice_drains_once() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    assert_eq!(world.facts(Input::Granted(granted.clone())).len(), 1);
    assert!(world.facts(Input::Granted(granted)).is_empty());
}

#[test]
fn the_end_of_a_reservation_gives_its_machines_back() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    arrive(&mut world, "a");
    let facts = world.facts(Input::Ended { reservation: ReservationId(1) });
    assert_eq!(facts, [Fact::DrainingStarted { next: Holder::Pool, deadline: world.now + RETURN_DRAIN }]);
    arrive(&mut world, "a");
    assert!(world.machine("a").rests_in_pool());
    assert_eq!(world.machine("a").epoch, Epoch(3));
    assert!(world.facts(Input::Ended { reservation: ReservationId(1) }).is_empty(), "read again");
}

#[test]
fn a_reservation_that_ends_on_the_way_turns_its_machines_back() {
    for raised in [false, true] {
        let mut world = World::new();
        world.ready_machine("a");
        let granted = grant(&world, 1, &["a"]);
        world.facts(Input::Granted(granted));
        if raised {
            world.beat("a");
            world.tick();
        }
        world.facts(Input::Ended { reservation: ReservationId(1) });
        assert_eq!(world.machine("a").tenure.holder, Holder::Pool);
        arrive(&mut world, "a");
        assert!(world.machine("a").rests_in_pool(), "raised: {raised}");
    }
}

#[test]
fn a_machine_granted_on_its_way_back_remembers_its_next_holder() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    arrive(&mut world, "a");
    world.facts(Input::Ended { reservation: ReservationId(1) });
    let holder = anna(&world, 2);
    let granted = grant(&world, 2, &["a"]);
    let facts = world.facts(Input::Granted(granted.clone()));
    assert_eq!(facts, [Fact::Claimed(Some(Claim { next: holder.clone(), drain: seconds(30) }))]);
    assert!(world.facts(Input::Granted(granted)).is_empty(), "read twice");
    world.check_replay();
    world.beat("a");
    world.tick();
    let epoch = world.machine("a").epoch;
    let facts = world.facts(Input::FenceDone { machine: id("a"), epoch });
    assert!(
        matches!(&facts[..], [Fact::FenceReported { .. }, Fact::Claimed(None), Fact::DrainingStarted { next, .. }] if *next == holder)
    );
}

#[test]
fn a_claim_is_withdrawn_when_its_reservation_ends() {
    let mut world = World::new();
    world.ready_machine("a");
    let (first, second) = (grant(&world, 1, &["a"]), grant(&world, 2, &["a"]));
    world.facts(Input::Granted(first));
    world.facts(Input::Granted(second));
    assert_eq!(world.facts(Input::Ended { reservation: ReservationId(2) }), [Fact::Claimed(None)]);
    assert_eq!(world.machine("a").tenure.holder.reservation(), Some(ReservationId(1)));
}

#[test]
fn an_extension_moves_the_deadline_once() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    let moved = Input::DeadlineMoved { reservation: ReservationId(1), deadline: world.now + seconds(9000) };
    let generation = world.machine("a").generation;
    assert_eq!(world.facts(moved.clone()), [Fact::DeadlineMoved { deadline: world.now + seconds(9000) }]);
    assert!(world.machine("a").generation > generation, "the agent is to know it");
    assert!(world.facts(moved).is_empty());
}

#[test]
fn a_deadline_is_enforced_here_after_its_grace_without_reservation() {
    let mut world = World::new();
    world.ready_machine("a");
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    arrive(&mut world, "a");
    world.now = world.now + seconds(3600);
    world.beat("a");
    assert!(world.tick().is_empty(), "its reservation is given the time to end by itself");
    world.now = world.now + DEADLINE_GRACE;
    world.beat("a");
    assert!(matches!(world.tick()[..], [Fact::DrainingStarted { next: Holder::Pool, .. }]));
}

#[test]
fn a_machine_whose_agent_was_never_heard_is_not_held_before_its_fence() {
    let mut world = World::new();
    world.command(Command::LoadPool(vec![entry("a", &[], true)])).unwrap();
    let granted = grant(&world, 1, &["a"]);
    world.facts(Input::Granted(granted));
    world.now = world.now + seconds(30);
    world.tick();
    assert_eq!((world.machine("a").tenure.stage, world.machine("a").epoch), (Stage::Fencing, Epoch(1)));
    let desired = world.hello(plain_hello("a"));
    assert_eq!(desired.holder.reservation(), Some(ReservationId(1)));
    world.facts(Input::FenceDone { machine: id("a"), epoch: desired.epoch });
    assert_eq!(world.machine("a").tenure.stage, Stage::Settled);
}

#[test]
fn what_a_reservation_of_thousands_of_machines_comes_to_is_decided_in_pieces_that_fit() {
    let mut world = World::new();
    let names: Vec<String> = (0..FOLLOWED_FACTS_MAX + 200).map(|number| format!("m{number}")).collect();
    names.iter().for_each(|name| world.ready_machine(name));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let granted = Input::Granted(grant(&world, 1, &names));
    let ended = Input::Ended { reservation: ReservationId(1) };
    let moved = Input::DeadlineMoved { reservation: ReservationId(1), deadline: world.now + seconds(7200) };
    for input in [granted, moved, ended] {
        assert!(MachineCore::in_pieces(&input));
        let sizes = [(); 3].map(|()| world.facts(input.clone()).len());
        assert_eq!(sizes, [FOLLOWED_FACTS_MAX, 200, 0], "{input:?}");
    }
}
