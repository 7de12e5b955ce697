//! What orders mean for what is known: which processes are new, which are to stop, which are refused.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_model::{Epoch, PoolTime, Position, ProcessId, ResourceId};

use muster_proto::v1::{ErrandRecord, SyncAnswer};

use super::gang::Gang;

/// Where this machine stands, as far as starts are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// The epoch that is fenced: only starts of it are taken.
    pub fenced: Epoch,
    /// The newest epoch heard of; above `fenced` while fencing.
    pub epoch: Epoch,
    /// Starts are refused: draining, or the holder's deadline was enforced.
    pub closed: bool,
    /// Generation of machine-lifecycle's desired state that is on disk.
    pub machine_generation: Position,
    /// Nothing may be started here.
    pub machine_protected: bool,
    /// Resources that nothing may touch.
    pub protected: BTreeSet<String>,
    /// A disk that is being prepared as a test area, or back.
    pub preparing: Option<String>,
    /// Resources that exist.
    pub existing: BTreeSet<ResourceId>,
}

/// One process as it is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its identity.
    pub id: ProcessId,
    /// Epoch that it was placed in.
    pub epoch: Epoch,
    /// MACHINES generation that it was placed on.
    pub placed_on: Position,
    /// Resources that it was placed on.
    pub resources: Vec<String>,
    /// It is to stop, within this.
    pub stop: Option<Duration>,
    /// Its gang, where it has one.
    pub gang: Option<Gang>,
    /// What was decided of its newest announcement that this machine goes away.
    pub expected: Option<Expected>,
    /// What came of its newest arrival at a sync point.
    pub synced: Option<SyncAnswer>,
    /// Every errand that it asked for and that is decided.
    pub errands: Vec<ErrandRecord>,
}

/// What was decided of an announcement that this machine goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Number of the announcement.
    pub number: u64,
    /// Until when the machine is awaited; else why it may not go.
    pub decided: Result<PoolTime, String>,
}

/// Why one process is not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Of another epoch than the fenced one.
    OldEpoch,
    /// The machine takes no starts now.
    Draining,
    /// Placed on an older state of the machine.
    Stale,
    /// It would touch something protected.
    Protected,
    /// It names a resource that is not there.
    NoResource,
    /// It would use a disk that is being prepared.
    Preparing,
}

impl Refused {
    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::OldEpoch => "it was placed in another epoch of the machine",
            Self::Draining => "the machine is draining, or its epoch is not fenced yet",
            Self::Stale => "it was placed on an older state of the machine",
            Self::Protected => "it would touch something protected",
            Self::NoResource => "a resource that it was placed on is not there",
            Self::Preparing => "a disk that it was placed on is being prepared as a test area, or back",
        }
    }
}

/// What is to be done about one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write an intent, and start it.
    Start,
    /// Tell it to stop.
    Stop(Duration),
    /// It is known, and nothing changes.
    Nothing,
    /// It is not started.
    Refuse(Refused),
}

/// Whether the order came in an update, or in the whole list of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// An update: a stale placement is made again by the scheduler.
    Update,
    /// A hello's answer: it is the whole truth, and protection is checked here.
    Hello,
}

/// Decides about one order. A process that is `known` is never started again.
pub fn step(ground: &Ground, order: &Order, known: bool, way: Way) -> Step {
    match (known, order.stop) {
        (true, Some(grace)) => Step::Stop(grace),
        // A process that is to stop and was never started here never will be: its intent is written so that its end is said.
        (true, None) => Step::Nothing,
        (false, Some(_)) => Step::Start,
        (false, None) => match refusal(ground, order, way) {
            Some(refused) => Step::Refuse(refused),
            None => Step::Start,
        },
    }
}

fn refusal(ground: &Ground, order: &Order, way: Way) -> Option<Refused> {
    if order.epoch != ground.epoch {
        return Some(Refused::OldEpoch);
    }
    if ground.closed || ground.fenced != ground.epoch {
        return Some(Refused::Draining);
    }
    if ground.machine_protected || order.resources.iter().any(|resource| ground.protected.contains(resource)) {
        return Some(Refused::Protected);
    }
    if order.resources.iter().any(|resource| ground.preparing.as_ref() == Some(resource)) {
        return Some(Refused::Preparing);
    }
    if way == Way::Update && order.placed_on < ground.machine_generation {
        return Some(Refused::Stale);
    }
    if order.resources.iter().any(|resource| !ground.existing.contains(resource.as_str())) {
        return Some(Refused::NoResource);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground() -> Ground {
        Ground {
            fenced: Epoch(3),
            epoch: Epoch(3),
            machine_generation: Position::new(1, 10),
            protected: ["disk-sda".to_owned()].into(),
            existing: ["cpu0", "disk-sda", "disk-sdb"].map(|id| ResourceId::new(id).unwrap()).into(),
            ..Ground::default()
        }
    }

    fn order() -> Order {
        Order {
            id: ProcessId::default(),
            epoch: Epoch(3),
            placed_on: Position::new(1, 10),
            resources: vec!["disk-sdb".into()],
            stop: None,
            gang: None,
            expected: None,
            synced: None,
            errands: Vec::new(),
        }
    }

    #[test]
    fn a_known_process_is_never_started_again() {
        assert_eq!(step(&ground(), &order(), true, Way::Update), Step::Nothing);
        assert_eq!(step(&ground(), &order(), true, Way::Hello), Step::Nothing);
        assert_eq!(step(&ground(), &order(), false, Way::Update), Step::Start);
    }

    #[test]
    fn starts_are_refused_by_epoch_drain_protection_and_age() {
        let check = |ground: &Ground, order: &Order| step(ground, order, false, Way::Update);
        let old = Order { epoch: Epoch(2), ..order() };
        assert_eq!(check(&ground(), &old), Step::Refuse(Refused::OldEpoch));
        let draining = Ground { closed: true, ..ground() };
        assert_eq!(check(&draining, &order()), Step::Refuse(Refused::Draining));
        let fencing = Ground { epoch: Epoch(4), ..ground() };
        assert_eq!(check(&fencing, &Order { epoch: Epoch(4), ..order() }), Step::Refuse(Refused::Draining));
        let touching = Order { resources: vec!["disk-sda".into()], ..order() };
        assert_eq!(check(&ground(), &touching), Step::Refuse(Refused::Protected));
        let whole = Ground { machine_protected: true, ..ground() };
        assert_eq!(check(&whole, &order()), Step::Refuse(Refused::Protected));
        let preparing = Ground { preparing: Some("disk-sdb".into()), ..ground() };
        assert_eq!(check(&preparing, &order()), Step::Refuse(Refused::Preparing));
        let stale = Order { placed_on: Position::new(1, 9), ..order() };
        assert_eq!(check(&ground(), &stale), Step::Refuse(Refused::Stale));
        assert_eq!(step(&ground(), &stale, false, Way::Hello), Step::Start);
        let gone = Order { resources: vec!["disk-sdz".into()], ..order() };
        assert_eq!(check(&ground(), &gone), Step::Refuse(Refused::NoResource));
    }

    #[test]
    fn a_stop_reaches_known_processes_even_while_draining() {
        let draining = Ground { closed: true, ..ground() };
        let stop = Order { stop: Some(Duration::from_secs(5)), ..order() };
        assert_eq!(step(&draining, &stop, true, Way::Update), Step::Stop(Duration::from_secs(5)));
    }
}
