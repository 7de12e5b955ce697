//! Random histories: nothing that happens in any order breaks an invariant.

use muster_model::NotifyTarget;
use proptest::prelude::*;

use super::*;
use crate::core::outlook::{Outlook, Promised};

const MACHINES: usize = 4;
const USERS: [&str; 3] = ["user:anna", "user:ben", "user:cleo"];

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Reserve {
        selector: usize,
        count: u32,
        user: usize,
        priority: u32,
        hours: u32,
    },
    RollOut {
        target: u32,
        minimum: u32,
    },
    /// A machine is booted for who has it, and proven or not.
    Boot(usize, bool),
    CheckIn(u64),
    Extend(u64),
    /// machine-lifecycle makes the next step of a machine towards what it has read of our log.
    Advance(usize),
    /// machine-lifecycle reads on in our log.
    Read,
    Trouble(usize, usize),
    /// All who are to be told are, or can not be.
    Tell(bool),
    /// A job is started on what somebody holds.
    Use(u64),
    /// One is to have no deadline any more.
    Never(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_usize, 1..4_u32, 0..3_usize, 0..2_u32, 1..4_u32)
            .prop_map(|(selector, count, user, priority, hours)| Step::Reserve { selector, count, user, priority, hours }),
        2 => (1..5_u32, 1..3_u32).prop_map(|(target, minimum)| Step::RollOut { target, minimum: minimum.min(target) }),
        5 => (0..MACHINES, prop::bool::weighted(0.8)).prop_map(|(machine, proven)| Step::Boot(machine, proven)),
        2 => (1..12_u64).prop_map(Step::CheckIn),
        1 => (1..12_u64).prop_map(Step::Extend),
        8 => (0..MACHINES).prop_map(Step::Advance),
        6 => Just(Step::Read),
        2 => (0..MACHINES, 0..7_usize).prop_map(|(machine, kind)| Step::Trouble(machine, kind)),
        3 => any::<bool>().prop_map(Step::Tell),
        1 => (1..12_u64).prop_map(Step::Use),
        1 => (1..12_u64).prop_map(Step::Never),
        2 => (0..3_000_u64).prop_map(Step::Wait),
    ]
}

/// machine-lifecycle as far as it concerns reservation: it reads the log in order and moves machines to their newest holder.
#[derive(Default)]
struct Lifecycle {
    read: usize,
    wish: BTreeMap<usize, Option<ReservationId>>,
}

impl Lifecycle {
    fn read(&mut self, pool: &mut Pool) {
        let Some((event, position, _)) = pool.log.get(self.read).cloned() else { return };
        self.read += 1;
        match event {
            Event::Granted { id, machines, .. } => self.wish(pool, &machines, Some(id)),
            Event::Dropped { id, machine, .. } if self.wish.get(&index(&machine)) == Some(&Some(id)) => {
                self.wish(pool, &[machine].into(), None);
            }
            Event::Ended { id, .. } => {
                let machines = pool.state.reservation(id).and_then(|ended| ended.grant().cloned());
                let mine = |machine: &&MachineId| self.wish.get(&index(machine)) == Some(&Some(id));
                let machines = machines.map(|grant| grant.machines.iter().filter(mine).cloned().collect());
                self.wish(pool, &machines.unwrap_or_default(), None);
            }
            _ => {}
        }
        let last_of_turn = pool.log.get(self.read).is_none_or(|(_, next, _)| *next != position);
        if last_of_turn {
            pool.decide(&Input::Taken(position)).expect("never refused");
        }
    }

    fn wish(&mut self, pool: &mut Pool, machines: &super::super::MachineSet, holder: Option<ReservationId>) {
        for machine in machines {
            if pool.state.machine(machine).is_some() {
                self.wish.insert(index(machine), holder);
                pool.hear(index(machine), News::Draining(holder));
            }
        }
    }

    /// A machine that somebody has is booted for them.
    fn boot(pool: &mut Pool, index: usize, proven: bool) {
        let Some(known) = pool.state.machine(&machine(index)).cloned() else { return };
        let super::super::Tenure::Held(id) = known.tenure else { return };
        pool.hear(index, News::Ordered(Some(id)));
        pool.hear(index, News::Proven(proven));
        pool.hear(index, News::Phase { ready: proven, offline: !proven });
    }

    fn advance(&mut self, pool: &mut Pool, index: usize) {
        let Some(known) = pool.state.machine(&machine(index)).cloned() else { return };
        match known.tenure {
            super::super::Tenure::Draining(holder) => {
                pool.hear(index, News::EpochRaised { epoch: known.epoch.next(), holder });
            }
            super::super::Tenure::Held(_) | super::super::Tenure::Returning => {
                pool.hear(index, News::Fenced(known.epoch));
            }
            super::super::Tenure::Pool => {}
        }
    }
}

fn index(machine: &MachineId) -> usize {
    machine.as_str()[1..].parse().expect("machines are numbered")
}

fn trouble(pool: &mut Pool, lifecycle: &mut Lifecycle, machine: usize, kind: usize) {
    match kind {
        0 => pool.hear(machine, News::Down(true)),
        1 => {
            pool.hear(machine, News::Down(false));
            pool.hear(machine, News::Phase { ready: true, offline: false });
        }
        2 => pool.hear(machine, News::Quarantined),
        3 => pool.hear(machine, News::Flag(Flag::Maintenance, true)),
        4 => pool.hear(machine, News::Flag(Flag::Maintenance, false)),
        5 => {
            pool.hear(machine, News::Removed);
            lifecycle.wish.remove(&machine);
        }
        _ => {
            if pool.state.machine(&super::machine(machine)).is_none() {
                pool.add(machine);
            }
        }
    }
}

/// Its user gives it back.
fn check_in(pool: &mut Pool, id: ReservationId) {
    let Some(user) = pool.state.reservation(id).map(|known| known.request.user.clone()) else { return };
    let _ = pool.command(&user, Command::CheckIn { id });
}

fn perform(pool: &mut Pool, lifecycle: &mut Lifecycle, step: &Step) {
    match *step {
        Step::Reserve { selector, count, user, priority, hours } => {
            let selector = ["", "cpus>=8", "m0,m1", "tag=rack1", "not m3"][selector].to_owned();
            let notify = (hours % 2 == 0).then(|| NotifyTarget::Command("pager".into()));
            let no_show = (user == 1).then_some(HOUR / 3);
            let duration = HOUR * hours;
            let reserve = Reserve { selector, count, priority, duration, notify, no_show, ..Reserve::default() };
            let _ = pool.command(USERS[user], Command::Reserve(reserve));
        }
        Step::RollOut { target, minimum } => drop(pool.roll_out(super::rollouts::asked(target, minimum))),
        Step::Boot(machine, proven) => Lifecycle::boot(pool, machine, proven),
        Step::CheckIn(id) => check_in(pool, ReservationId(id)),
        Step::Extend(id) => {
            let _ = pool.command("user:anna", Command::Extend { id: ReservationId(id), to: Extension::By(HOUR) });
        }
        Step::Advance(machine) => lifecycle.advance(pool, machine),
        Step::Read => lifecycle.read(pool),
        Step::Tell(told) => drop(pool.try_all((!told).then_some("no route"))),
        Step::Use(id) => drop(pool.decide(&Input::Used(ReservationId(id)))),
        Step::Never(id) => {
            let _ = pool.command("user:anna", Command::Extend { id: ReservationId(id), to: Extension::Never });
        }
        Step::Trouble(machine, kind) => trouble(pool, lifecycle, machine, kind),
        Step::Wait(seconds) => pool.wait(Duration::from_secs(seconds)),
    }
}

/// Every reservation ends at most once, and is granted at most once, before it.
fn check_order(pool: &Pool) {
    let mut stages: BTreeMap<ReservationId, u8> = BTreeMap::new();
    for (event, ..) in &pool.log {
        let (id, stage) = match event {
            Event::Queued { id, .. } => (id, 1),
            Event::Granted { id, .. } => (id, 2),
            Event::Ready { id, .. } => (id, 3),
            Event::Ended { id, .. } => (id, 4),
            Event::Extended { .. }
            | Event::Dropped { .. }
            | Event::Dismissed { .. }
            | Event::Countdown { .. }
            | Event::Aged { .. }
            | Event::Noticed { .. }
            | Event::TakenUp { .. }
            | Event::QuotaSet { .. }
            | Event::MachineReturned { .. }
            | Event::MachineSeen { .. } => continue,
        };
        let before = stages.insert(*id, stage).unwrap_or(0);
        let further = (before, stage) == (2, 2) && is_rollout(pool, *id);
        assert!(before < stage || further, "{id} went from {before} to {stage}");
    }
}

fn is_rollout(pool: &Pool, id: ReservationId) -> bool {
    pool.state.reservation(id).is_some_and(|known| known.request.rollout.is_some())
}

/// Whoever is served before one that stands before it in line does not delay it: that one is expected as early after the grant as before.
/// In the turn in which it is served itself, nothing is left to delay.
fn check_line(pool: &Pool) {
    let mut state = State::default();
    // One pass goes by the line as it was before it, although each end and each grant changes its user's use.
    let (mut turn, mut line) = (Position::default(), Vec::new());
    for (number, (event, position, time)) in pool.log.iter().enumerate() {
        let at = At { position: *position, time: *time, actor: "" };
        if *position != turn {
            (turn, line) = (*position, state.line_with(None).collect());
        }
        let before = first_that_waits(&state, &line, *time, event);
        ReservationCore::apply(&mut state, event, &at);
        if matches!(event, Event::Queued { .. }) {
            // A newcomer stands in it as well.
            line = state.line_with(None).collect();
        }
        let turn = pool.log[number..].iter().take_while(|(_, later, _)| later == position);
        let served = |first| turn.clone().any(|(event, ..)| matches!(event, Event::Granted { id, .. } if *id == first));
        if let Some((first, expected)) = before.filter(|(first, _)| !served(*first)) {
            let after = expected_of(&state, first, *time);
            assert!(after.is_some_and(|after| after <= expected), "{event:?} delays {first}: {expected:?}, {after:?}");
        }
    }
}

/// The first in line that is before what this event grants, and when it is served at the latest.
fn first_that_waits(
    state: &State,
    line: &[ReservationId],
    now: PoolTime,
    event: &Event,
) -> Option<(ReservationId, PoolTime)> {
    let Event::Granted { id, .. } = event else { return None };
    let served = state.reservation(*id).filter(|served| served.grant().is_none())?;
    let mut before = line.iter().copied().take_while(|waiting| *waiting != served.id);
    before.find_map(|waiting| {
        let waits = state.reservation(waiting).is_some_and(|waiting| is_queued(&waiting.stage));
        Some((waiting, expected_of(state, waiting, now)?)).filter(|_| waits)
    })
}

fn expected_of(state: &State, id: ReservationId, now: PoolTime) -> Option<PoolTime> {
    let waiting = state.reservation(id)?;
    Some(Outlook::of(state, waiting).expect(&Promised::new(), now).1?.start)
}

/// Hours within which everybody who waits is served: each of some dozens may have all machines for four hours, and their preparation.
const SERVED_WITHIN: usize = 400;

/// Once nothing new comes and nothing is wrong with any machine, everybody who waits is served, or gives up as they said.
fn serve_all(pool: &mut Pool, lifecycle: &mut Lifecycle) {
    let has_none = |known: &&super::super::Reservation| matches!(&known.stage, Stage::Ready(grant) if grant.deadline == PoolTime::NEVER);
    let for_ever: Vec<_> = pool.state.reservations().filter(has_none).map(|known| known.id).collect();
    for_ever.into_iter().for_each(|id| check_in(pool, id));
    for machine in 0..MACHINES {
        pool.add(machine);
        pool.hear(machine, News::Flag(Flag::Maintenance, false));
        pool.hear(machine, News::Down(false));
    }
    for _ in 0..SERVED_WITHIN {
        if pool.state.queued() == 0 {
            return;
        }
        pool.wait(HOUR);
        while lifecycle.read < pool.log.len() {
            lifecycle.read(pool);
        }
        for machine in 0..MACHINES {
            lifecycle.advance(pool, machine);
            lifecycle.advance(pool, machine);
            pool.hear(machine, News::Phase { ready: true, offline: false });
        }
    }
    let told = |waiting| crate::core::explain(&pool.state, waiting, pool.now.time);
    panic!("waiting after {SERVED_WITHIN} hours: {:?}", pool.state.queue().map(told).collect::<Vec<_>>());
}

/// Once machine-lifecycle has read everything and moved everything, and nothing new comes, all machines are the pool's.
fn settle_all(pool: &mut Pool, lifecycle: &mut Lifecycle) {
    let ids: Vec<_> = pool.state.reservations().map(|reservation| reservation.id).collect();
    ids.into_iter().for_each(|id| check_in(pool, id));
    for _ in 0..6 {
        pool.wait(Duration::from_secs(1));
        while lifecycle.read < pool.log.len() {
            lifecycle.read(pool);
        }
        for machine in 0..MACHINES {
            lifecycle.advance(pool, machine);
        }
    }
    assert_eq!(pool.state.open().count(), 0, "everything settles");
    assert_eq!(pool.state.queued(), 0);
}

proptest! {
    #[test]
    fn no_history_gives_a_machine_to_two_or_ends_anything_twice(steps in prop::collection::vec(step(), 1..120)) {
        let mut pool = Pool::of(MACHINES);
        let mut lifecycle = Lifecycle::default();
        pool.permit_no_deadline();
        for step in &steps {
            perform(&mut pool, &mut lifecycle, step);
        }
        serve_all(&mut pool, &mut lifecycle);
        settle_all(&mut pool, &mut lifecycle);
        check_order(&pool);
        check_line(&pool);
        prop_assert_eq!(&pool.folded_again(), &pool.state);
        let encoded = wire::encode_state(&pool.state);
        prop_assert_eq!(wire::decode_state(&encoded), Ok(pool.state.clone()));
        prop_assert_eq!(wire::encode_state(&pool.folded_again()), encoded);
    }
}
