use super::*;
use crate::core::{Holder, Phase};

/// Invariant I8: the whole table of phases, as it is meant to be.
#[test]
fn only_listed_transitions_of_phase_are_legal() {
    use Phase::{Dirty, Installing, Offline, Ready, Rebooting, Reverting, Settling, Verifying};
    let table: [(Phase, &[Phase]); 8] = [
        (Dirty, &[Reverting, Settling, Ready, Offline]),
        (Reverting, &[Dirty, Settling, Offline]),
        (Settling, &[Dirty, Reverting, Installing, Ready, Offline]),
        (Installing, &[Dirty, Reverting, Rebooting, Offline]),
        (Rebooting, &[Dirty, Installing, Verifying, Offline]),
        (Verifying, &[Dirty, Installing, Rebooting, Ready, Offline]),
        (Ready, &[Dirty, Reverting, Settling, Installing, Rebooting]),
        (Offline, &[Dirty, Ready]),
    ];
    for (from, legal) in table {
        for to in Phase::ALL {
            assert_eq!(from.may_become(to), legal.contains(&to), "{from:?} -> {to:?}");
        }
    }
}

#[test]
fn an_illegal_event_has_no_effect() {
    let mut world = World::new();
    world.ready_machine("a");
    let next = Holder::Reservation { id: ReservationId(1), user: String::new(), deadline: world.now };
    let illegal = [
        Fact::EpochRaised { epoch: Epoch(1), holder: Holder::Pool },
        Fact::EpochRaised { epoch: Epoch(2), holder: next },
        Fact::FenceReported { epoch: Epoch(1) },
        Fact::IncarnationGranted {
            incarnation: Incarnation(1),
            boot_id: "x".into(),
            agent_version: String::new(),
            fenced_epoch: Epoch(0),
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
