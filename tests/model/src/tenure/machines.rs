//! machine-lifecycle: its log, who leads, who believes to, and what is said between it and the agent.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_ledger::{At, Core, Now, Scope};
use muster_machine_lifecycle::core::{
    Desired, Effect, Event, Fact, Grant, Heartbeat, Hello, Input, Inventory, Machine, MachineCore, Observation,
    Observed, Reply, State as Folded, check,
};
use muster_machine_lifecycle::{core::Stage, wire};
use muster_model::{Epoch, Incarnation, MachineId, Phase, PoolTime, Position, ReservationId, Term};
use muster_proto::v1;

/// When the world begins.
pub(super) const BEGIN: PoolTime = PoolTime(1_000_000_000_000);
/// What runs may take so long to end before the machine changes hands.
const DRAIN: Duration = Duration::from_secs(5);
/// The reservation ends then,
const DEADLINE: Duration = Duration::from_secs(600);
/// or then, once it was extended.
const EXTENDED: Duration = Duration::from_secs(1_200);
/// The reservation.
pub(super) const RESERVATION: u64 = 1;

/// Something that a service says to the agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Word {
    /// What machine-lifecycle wants.
    Desired { term: u64, desired: Wanted },
    /// The answer to a hello.
    Greeted { term: u64, hello: u8, desired: Wanted },
    /// The answer to a heartbeat.
    Answer { term: u64, hello_again: bool, generation: Position, deadline: i64 },
    /// The scheduler starts a process.
    Start { process: u8, epoch: u64, incarnation: u64, placed_on: Position, reservation: u64 },
}

/// What machine-lifecycle wants, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted(pub(super) Arc<v1::MachineDesired>);

impl Wanted {
    fn of(desired: &Desired) -> Self {
        Self(Arc::new(wire::desired_to_wire(desired)))
    }

    fn key(&self) -> (u64, u64, u64, bool) {
        let generation = self.0.generation.unwrap_or_default().sequence;
        (generation, self.0.incarnation, self.0.epoch, self.0.draining)
    }
}

impl PartialOrd for Wanted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wanted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Something that the agent says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Hello { number: u8, boot: u8, fenced: u64, incarnation: u64 },
    Beat { incarnation: u64, boot: u8, generation: Position, fenced: u64, live: u32, draining: bool },
}

/// A fence that the agent reports.
pub(super) type Report = u64;

/// The log as it is folded; its own encoding tells it from all others.
#[derive(Debug, Clone)]
struct Log {
    state: Arc<Folded>,
    key: Bytes,
    sequence: u64,
}

impl Log {
    fn new(state: Folded, sequence: u64) -> Self {
        let key = MachineCore::encode_state(&state);
        Self { state: Arc::new(state), key, sequence }
    }
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        (self.sequence, &self.key) == (other.sequence, &other.key)
    }
}

impl Eq for Log {}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.sequence, &self.key).hash(state);
    }
}

/// Who leads, or believes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Leader {
    term: u64,
    log: Log,
    observed: Arc<Observed>,
}

/// The service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Machines {
    pub(super) now: PoolTime,
    leader: Leader,
    deposed: Option<Leader>,
    /// Every incarnation that was granted, in the order of their hellos.
    granted: Vec<u64>,
    /// Whose each epoch is, from 1.
    holders: Vec<u64>,
}

/// What came of an input.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// An epoch rose.
    pub(super) raised: bool,
    reply: Option<Reply>,
}

fn id() -> MachineId {
    MachineId::new("m1").expect("a legal name")
}

impl Leader {
    fn machine(&self) -> Option<&Machine> {
        self.log.state.machines.values().next()
    }

    /// Decides an input, and folds what was decided.
    fn decide(&mut self, input: &Input, now: PoolTime) -> (Vec<Event>, Option<Reply>) {
        let position = Position::new(1, self.log.sequence + 1);
        let moment = Now { time: now, position, term: Term(self.term) };
        let Ok(decision) = MachineCore::decide(&self.log.state, &self.observed, input, moment) else {
            return (Vec::new(), None);
        };
        if !decision.events.is_empty() {
            let mut state = Folded::clone(&self.log.state);
            for event in &decision.events {
                MachineCore::apply(&mut state, event, &At { position, time: now, actor: "" });
            }
            self.log = Log::new(state, position.sequence.0);
        }
        (decision.events, decision.reply)
    }

    fn observe(&mut self, observation: Observation, now: PoolTime) {
        let mut observed = Observed::clone(&self.observed);
        MachineCore::observe(&mut observed, &self.log.state, observation, now);
        self.observed = Arc::new(observed);
    }

    /// What is to be told to the agent.
    fn wanted(&self, now: PoolTime) -> Option<Word> {
        let wanted = MachineCore::wanted(&self.log.state, &self.observed, Scope::Full, now);
        wanted.into_iter().find_map(|effect| match effect {
            Effect::SendDesired { desired, .. } => {
                Some(Word::Desired { term: self.term, desired: Wanted::of(&desired) })
            }
            Effect::Switch { .. }
            | Effect::LookAtPower { .. }
            | Effect::Boot { .. }
            | Effect::KeepKernel { .. }
            | Effect::Prepare { .. } => None,
        })
    }

    fn answer(&self, incarnation: u64) -> Word {
        let answer = wire::heartbeat_answer(0, Incarnation(incarnation), self.machine());
        let generation = answer.generation.unwrap_or_default().into();
        let deadline = answer.holder_deadline_ns;
        Word::Answer { term: self.term, hello_again: answer.hello_again, generation, deadline }
    }
}

impl Machines {
    /// It has listened long enough to give verdicts.
    pub(super) fn begin() -> Self {
        let log = Log::new(Folded::default(), 1);
        let leader = Leader { term: 1, log, observed: Arc::default() };
        let mut machines = Self { now: BEGIN, leader, deposed: None, granted: Vec::new(), holders: Vec::new() };
        machines.leader.observe(Observation::LeadershipBegan, PoolTime(BEGIN.0 - 60_000_000_000));
        machines
    }

    pub(super) fn has_deposed(&self) -> bool {
        self.deposed.is_some()
    }

    pub(super) fn drains(&self) -> bool {
        self.leader.machine().is_some_and(|machine| matches!(machine.tenure.stage, Stage::Draining { .. }))
    }

    /// It is the pool's, and nothing is under way.
    pub(super) fn rests(&self) -> bool {
        self.leader.machine().is_some_and(Machine::rests_in_pool)
    }

    pub(super) fn check(&self) -> bool {
        check::check(&self.leader.log.state).is_ok()
    }

    /// Whose an epoch is: the number of a reservation, or 0 for the pool.
    pub(super) fn holder_of(&self, epoch: u64) -> Option<u64> {
        let place = usize::try_from(epoch).ok()?.checked_sub(1)?;
        self.holders.get(place).copied()
    }

    /// The leader decides an input.
    fn decide(&mut self, input: &Input) -> Came {
        let (events, reply) = self.leader.decide(input, self.now);
        let mut came = Came { raised: false, reply };
        for event in events {
            if let Event::Machine { fact: Fact::EpochRaised { holder, .. }, .. } = event {
                came.raised = true;
                self.holders.push(holder.reservation().map_or(0, |id| id.0));
            }
        }
        came
    }

    pub(super) fn tick(&mut self) {
        self.decide(&Input::Tick);
    }

    pub(super) fn report(&mut self, epoch: Report) {
        self.decide(&Input::FenceDone { machine: id(), epoch: Epoch(epoch) });
    }

    /// What reservation says, one after the other.
    pub(super) fn reserve(&mut self, course: u8) {
        let reservation = ReservationId(RESERVATION);
        let input = match course {
            0 => Input::Granted(Grant {
                reservation,
                user: "user:anna".into(),
                machines: [id()].into(),
                deadline: BEGIN + DEADLINE,
                ssh_key: String::new(),
                drain: DRAIN,
                kernel: None,
                image: None,
            }),
            1 => Input::DeadlineMoved { reservation, deadline: BEGIN + EXTENDED },
            _ => Input::Ended { reservation },
        };
        self.decide(&input);
    }

    /// Another reads the log to its end, and appends that it leads.
    pub(super) fn takeover(&mut self) {
        let mut next = self.leader.clone();
        next.term += 1;
        next.log.sequence += 1;
        next.observe(Observation::LeadershipBegan, self.now);
        self.deposed = Some(std::mem::replace(&mut self.leader, next));
    }

    pub(super) fn told(&self) -> Option<Word> {
        self.leader.wanted(self.now)
    }

    pub(super) fn told_by_deposed(&self) -> Option<Word> {
        self.deposed.as_ref()?.wanted(self.now)
    }

    /// The leader hears the agent: what it answers, whether it granted an incarnation that was granted before, and whether an epoch
    /// rose because of it.
    pub(super) fn hear(&mut self, said: &Said) -> (Option<Word>, bool, bool) {
        match said {
            Said::Hello { number, .. } => {
                let came = self.decide(&Input::Hello(hello(said)));
                let (word, twice) = self.greeted(*number, self.leader.term, came.reply);
                (word, twice, came.raised)
            }
            Said::Beat { incarnation, .. } => {
                let now = self.now;
                self.leader.observe(Observation::Heartbeat(heartbeat(said)), now);
                (Some(self.leader.answer(*incarnation)), false, false)
            }
        }
    }

    /// The deposed leader hears it. It answers a hello only by mistake: what it decides never gets into the log.
    pub(super) fn deposed_hears(&mut self, said: &Said, answers_unlogged: bool) -> (Option<Word>, bool) {
        let now = self.now;
        let Some(mut old) = self.deposed.take() else { return (None, false) };
        let (word, twice) = match said {
            Said::Hello { number, .. } if answers_unlogged => {
                let (_, reply) = old.clone().decide(&Input::Hello(hello(said)), now);
                self.greeted(*number, old.term, reply)
            }
            Said::Hello { .. } => (None, false),
            Said::Beat { incarnation, .. } => {
                old.observe(Observation::Heartbeat(heartbeat(said)), now);
                (Some(old.answer(*incarnation)), false)
            }
        };
        self.deposed = Some(old);
        (word, twice)
    }

    fn greeted(&mut self, hello: u8, term: u64, reply: Option<Reply>) -> (Option<Word>, bool) {
        let Some(Reply::Hello(desired)) = reply else { return (None, false) };
        let incarnation = desired.incarnation.0;
        let twice = self.granted.contains(&incarnation);
        self.granted.push(incarnation);
        (Some(Word::Greeted { term, hello, desired: Wanted::of(&desired) }), twice)
    }

    /// The scheduler starts a process where the log says that the machine is usable.
    pub(super) fn place(&self, process: u8) -> Option<Word> {
        let machine = self.leader.machine()?;
        let is_usable = machine.tenure.stage == Stage::Settled && machine.phase == Phase::Ready && !machine.is_new();
        is_usable.then(|| Word::Start {
            process,
            epoch: machine.epoch.0,
            incarnation: machine.incarnation.0,
            placed_on: machine.generation,
            reservation: machine.tenure.holder.reservation().map_or(0, |id| id.0),
        })
    }
}

fn boot_id(boot: u8) -> String {
    format!("boot-{boot}")
}

fn hello(said: &Said) -> Hello {
    let Said::Hello { boot, fenced, incarnation, .. } = *said else {
        unreachable!("only hellos are asked for here");
    };
    Hello {
        machine: id(),
        agent_version: "1".into(),
        boot_id: boot_id(boot),
        fenced_epoch: Epoch(fenced),
        last_incarnation: Incarnation(incarnation),
        last_batch: 0,
        inventory: Some(Arc::new(Inventory::default())),
        command_line: String::new(),
        announced: None,
    }
}

fn heartbeat(said: &Said) -> Heartbeat {
    let Said::Beat { incarnation, boot, generation, fenced, live, draining } = *said else {
        unreachable!("only heartbeats are asked for here");
    };
    Heartbeat {
        machine: id(),
        incarnation: Incarnation(incarnation),
        boot_id: boot_id(boot),
        generation,
        fenced_epoch: Epoch(fenced),
        processes_live: live,
        processes_digest: 0,
        draining,
        stored: 0,
        boot: None,
        storage: None,
        ssh_key: String::new(),
    }
}
