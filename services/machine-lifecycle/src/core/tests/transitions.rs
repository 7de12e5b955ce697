use super::*;
use crate::core::Holder;

#[test]
fn an_illegal_event_has_no_effect() {
    let mut world = World::new();
    world.ready_machine("a");
    let next =
        Holder::Reservation { id: ReservationId(1), user: String::new(), deadline: world.now, ssh_key: String::new() };
    let illegal = [
        Fact::EpochRaised { epoch: Epoch(1), holder: Holder::Pool },
        Fact::EpochRaised { epoch: Epoch(2), holder: next },
        Fact::FenceReported { epoch: Epoch(1) },
        Fact::IncarnationGranted {
            incarnation: Incarnation(1),
            boot_id: "x".into(),
            agent_version: String::new(),
            fenced_epoch: Epoch(0),
            last_batch: 0,
            went_back: false,
        },
        Fact::DrainingStarted { next: Holder::Pool, deadline: world.now },
        Fact::PhaseChanged { from: Phase::Dirty, to: Phase::Ready, reason: String::new() },
        Fact::PhaseChanged { from: Phase::Ready, to: Phase::Offline, reason: String::new() },
        Fact::HealthChanged { down: false },
        Fact::DeadlineMoved { deadline: world.now },
        Fact::Removed,
        Fact::Added { protect: BTreeSet::new(), tags: BTreeSet::new() },
        Fact::BootObserved { boot_id: "boot-1".into() },
    ];
    for fact in illegal {
        let before = world.state.clone();
        let event = Event::Machine { id: id("a"), fact };
        assert!(check::legal(&world.state, &event).is_err(), "{event:?}");
        let at = At { position: Position::new(1, 99), time: world.now, actor: "" };
        MachineCore::apply(&mut world.state, &event, &at);
        assert_eq!(world.state, before, "{event:?}");
    }
}
