//! Tests of the core, through one [`Pool`] that decides, folds and checks every invariant after every event.

mod findings;
mod groups;
mod histories;
mod images;
mod line;
mod notices;
mod quorum;
mod races;
mod rollouts;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use muster_ledger::{At, Core, Now};
use muster_model::{Epoch, Flag, MachineId, PoolTime, Position, Refusal, ReservationId, Term};

use super::{
    ClientsWanted, Command, End, Event, Extension, Input, Listed, News, Record, Reply, ReservationCore, Reserve, Stage,
    State, check,
};
use crate::wire;

const HOUR: Duration = Duration::from_secs(3600);
const START: PoolTime = PoolTime(1_000_000_000_000);

/// The core with a clock and machines that machine-lifecycle would move.
struct Pool {
    state: State,
    now: Now,
    log: Vec<(Event, Position, PoolTime)>,
}

impl Pool {
    /// A pool of `count` machines, `m0`, `m1`, ..., that are free.
    fn of(count: usize) -> Self {
        let now = Now { time: START, position: Position::new(1, 1), term: Term(1) };
        let mut pool = Self { state: State::default(), now, log: Vec::new() };
        for index in 0..count {
            pool.add(index);
        }
        pool
    }

    fn add(&mut self, index: usize) {
        let cpus = if index.is_multiple_of(2) { "4" } else { "8" };
        let attributes = BTreeMap::from([("cpus".to_owned(), cpus.to_owned())]);
        for news in [
            News::Added { tags: [format!("rack{}", index / 2)].into() },
            News::Flag(Flag::Active, true),
            News::Attributes(attributes),
            News::Phase { ready: true, offline: false },
            News::Settings { bootable: true, image: None },
        ] {
            self.hear(index, news);
        }
    }

    /// Decides on one input, folds what comes of it, and checks everything.
    fn decide(&mut self, input: &Input) -> Result<Option<Record>, Refusal> {
        let decision = ReservationCore::decide(&self.state, &(), input, self.now)?;
        let at = At { position: self.now.position, time: self.now.time, actor: "" };
        for event in &decision.events {
            let read = wire::decode_event(&wire::encode_event(event)).expect("an event is read back");
            assert_eq!(&read, event, "an event is read back as it was");
            ReservationCore::apply(&mut self.state, event, &at);
            if let Err(reason) = check(&self.state) {
                panic!("{reason}, after {event:?} of {:?}", self.log);
            }
            self.log.push((event.clone(), at.position, at.time));
        }
        if !decision.events.is_empty() {
            self.now.position.sequence.0 += 1;
        }
        Ok(decision.reply.and_then(|reply| match reply {
            Reply::Reservation(record) => Some(*record),
            Reply::Quota { .. } | Reply::Reservations(_) => None,
        }))
    }

    fn command(&mut self, user: &str, command: Command) -> Result<Record, Refusal> {
        let replied = self.decide(&Input::Command { user: user.into(), command: Box::new(command) })?;
        let record = replied.expect("a command is answered");
        let id = record.reservation.id;
        assert_eq!(self.state.reservation(id), Some(&record.reservation), "the answer is what was decided");
        Ok(record)
    }

    fn reserve(&mut self, selector: &str, count: u32) -> Result<ReservationId, Refusal> {
        let selector = selector.to_owned();
        let reserve = Reserve { selector, count, duration: HOUR, ..Reserve::default() };
        Ok(self.command("user:anna", Command::Reserve(reserve))?.reservation.id)
    }

    fn check_in(&mut self, id: ReservationId) -> Result<Record, Refusal> {
        self.command("user:anna", Command::CheckIn { id })
    }

    fn hear(&mut self, index: usize, news: News) {
        let input = Input::Machine { machine: machine(index), news };
        self.decide(&input).expect("news are never refused");
    }

    /// machine-lifecycle moves a machine to a reservation, or back to the pool.
    fn move_to(&mut self, index: usize, holder: Option<ReservationId>) {
        let epoch = self.state.machine(&machine(index)).map_or(Epoch(1), |known| known.epoch.next());
        self.hear(index, News::Draining(holder));
        self.hear(index, News::EpochRaised { epoch, holder });
        self.hear(index, News::Fenced(epoch));
    }

    fn wait(&mut self, time: Duration) {
        self.now.time = self.now.time + time;
        self.decide(&Input::Tick).expect("a tick is never refused");
    }

    fn stage(&self, id: ReservationId) -> &Stage {
        &self.state.reservation(id).expect("it was queued").stage
    }

    fn ended(&self, id: ReservationId) -> Option<End> {
        match self.stage(id) {
            Stage::Ended(ended) => Some(ended.end),
            Stage::Queued | Stage::Preparing(_) | Stage::Ready(_) => None,
        }
    }

    /// What a replica or a restarted instance has after reading the same log.
    fn folded_again(&self) -> State {
        let mut state = State::default();
        for (event, position, time) in &self.log {
            ReservationCore::apply(&mut state, event, &At { position: *position, time: *time, actor: "" });
        }
        state
    }
}

fn machine(index: usize) -> MachineId {
    MachineId::new(&format!("m{index}")).expect("a legal name")
}

fn is_queued(stage: &Stage) -> bool {
    matches!(stage, Stage::Queued)
}

fn is_preparing(stage: &Stage) -> bool {
    matches!(stage, Stage::Preparing(_))
}

fn is_ready(stage: &Stage) -> bool {
    matches!(stage, Stage::Ready(_))
}
