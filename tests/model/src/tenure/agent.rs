//! The agent and its machine.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Attempt, Dpid, Epoch, Incarnation, JobNumber, Position, ProcessId, ProcessNumber, RunId, Term};
use muster_node_agent::core::authority::{Given, Owner, Standing};
use muster_node_agent::core::fence::{Fence, Told};
use muster_node_agent::core::orders::{Ground, Order, Step, Way, step};

use super::machines::{Said, Word};
use super::{Known, Mistake};

/// How far the agent is with its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// It has to say hello.
    Silent,
    /// It has said hello, by this number.
    Asked(u8),
    /// It was answered, and fences.
    Fencing,
    Online,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Life {
    standing: Standing,
    stage: Stage,
}

/// A process that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    epoch: u64,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Agent {
    /// On its disk.
    fence: Fence,
    /// On its disk: processes of which an intent was written.
    intents: BTreeSet<u8>,
    alive: BTreeMap<u8, Process>,
    life: Option<Life>,
    boot: u8,
    hellos: u8,
}

/// What a word did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    /// A process was started: its number, the epoch it runs in, and the reservation that it was placed for.
    pub(super) started: Option<(u8, u64, u64)>,
}

impl Agent {
    pub(super) fn begin() -> Self {
        let mut agent = Self {
            fence: Fence::default(),
            intents: BTreeSet::new(),
            alive: BTreeMap::new(),
            life: None,
            boot: 1,
            hellos: 0,
        };
        agent.start(None);
        agent
    }

    pub(super) fn stage(&self) -> Option<Stage> {
        self.life.as_ref().map(|life| life.stage)
    }

    pub(super) fn deadline(&self) -> i64 {
        self.fence.deadline().0
    }

    pub(super) fn fenced(&self) -> u64 {
        self.fence.fenced_epoch().0
    }

    pub(super) fn has_processes(&self) -> bool {
        !self.alive.is_empty()
    }

    fn older(&self) -> impl Iterator<Item = u8> {
        let epoch = self.fence.epoch().0;
        self.alive.iter().filter(move |(_, process)| process.epoch < epoch).map(|(number, _)| *number)
    }

    pub(super) fn ends_older(&self) -> bool {
        self.life.is_some() && !self.fence.is_closed() && self.older().next().is_some()
    }

    pub(super) fn may_close(&self, mistake: Option<Mistake>) -> bool {
        let is_over = self.older().next().is_none() || mistake == Some(Mistake::NoFence);
        self.life.is_some() && !self.fence.is_closed() && is_over
    }

    pub(super) fn end_older(&mut self) {
        let oldest = self.older().next();
        if let Some(number) = oldest {
            self.alive.remove(&number);
        }
    }

    pub(super) fn end_one(&mut self) {
        self.alive.pop_first();
    }

    /// Something older than an epoch is alive.
    pub(super) fn has_older_than(&self, epoch: u64) -> bool {
        self.alive.values().any(|process| process.epoch < epoch)
    }

    /// Closes the fence; gives the epoch that is reported.
    pub(super) fn close(&mut self) -> u64 {
        self.fence.close();
        if let Some(life) = &mut self.life
            && life.stage == Stage::Fencing
        {
            life.stage = Stage::Online;
        }
        self.fenced()
    }

    pub(super) fn crash(&mut self, mistake: Option<Mistake>) {
        self.life = None;
        if mistake == Some(Mistake::FenceInMemory) {
            self.fence = Fence::default();
        }
    }

    pub(super) fn reboot(&mut self, mistake: Option<Mistake>) {
        self.crash(mistake);
        self.alive.clear();
        self.boot += 1;
    }

    pub(super) fn start(&mut self, mistake: Option<Mistake>) {
        let mut standing = Standing::of(&self.fence);
        if mistake == Some(Mistake::TermsInMemory) {
            standing.terms.clear();
        }
        self.life = Some(Life { standing, stage: Stage::Silent });
    }

    /// It went back to a snapshot: its connection is another one. Boot ids and numbers of hellos go on, as clocks do.
    pub(super) fn wakes_as(&mut self, snapshot: &Self) {
        let (boot, hellos) = (self.boot, self.hellos);
        *self = snapshot.clone();
        self.boot = boot;
        self.hellos = hellos;
        if let Some(life) = &mut self.life {
            life.stage = Stage::Silent;
        }
    }

    pub(super) fn hello(&mut self) -> Said {
        self.hellos += 1;
        if let Some(life) = &mut self.life {
            life.stage = Stage::Asked(self.hellos);
        }
        Said::Hello {
            number: self.hellos,
            boot: self.boot,
            fenced: self.fenced(),
            incarnation: self.fence.incarnation().0,
        }
    }

    pub(super) fn beat(&self) -> Said {
        Said::Beat {
            incarnation: self.fence.incarnation().0,
            boot: self.boot,
            generation: self.fence.machine_generation(),
            fenced: self.fenced(),
            live: u32::try_from(self.alive.len()).unwrap_or(u32::MAX),
            draining: self.fence.draining,
        }
    }

    /// Hears a word. `known` takes what it was really told.
    pub(super) fn hear(&mut self, word: &Word, known: &mut Known, mistake: Option<Mistake>) -> Done {
        match word {
            Word::Desired { term, desired } => {
                let (epoch, incarnation) = (Epoch(desired.0.epoch), Incarnation(desired.0.incarnation));
                let given = Given { term: Term(*term), epoch, incarnation };
                if self.admits(Owner::MachineLifecycle, given, mistake) && !self.fence.knows_newer(&desired.0) {
                    self.want(&desired.0, Told::Command);
                    known.told(*term, &desired.0, Told::Command);
                }
            }
            Word::Greeted { term, hello, desired } => {
                if self.stage() == Some(Stage::Asked(*hello)) && self.admits_term(Term(*term), mistake) {
                    self.raise_term(Owner::MachineLifecycle, Term(*term));
                    self.want(&desired.0, Told::Hello);
                    known.told(*term, &desired.0, Told::Hello);
                }
            }
            Word::Answer { term, hello_again, generation, deadline } => {
                if self.life.is_some() && self.admits_term(Term(*term), mistake) {
                    self.answered(*hello_again, *generation, *deadline, known, mistake);
                }
            }
            Word::Start { process, epoch, incarnation, placed_on, reservation } => {
                let given = Given { term: Term(1), epoch: Epoch(*epoch), incarnation: Incarnation(*incarnation) };
                if self.admits(Owner::Scheduler, given, mistake) {
                    let started = self.fork(*process, Epoch(*epoch), *placed_on, mistake);
                    return Done { started: started.map(|epoch| (*process, epoch, *reservation)) };
                }
            }
        }
        Done::default()
    }

    fn admits_term(&self, term: Term, mistake: Option<Mistake>) -> bool {
        let any = mistake == Some(Mistake::NoTermAtAgent);
        self.life.as_ref().is_some_and(|life| any || life.standing.admits_term(Owner::MachineLifecycle, term))
    }

    fn admits(&mut self, owner: Owner, given: Given, mistake: Option<Mistake>) -> bool {
        let Some(life) = &self.life else { return false };
        let mut judged = given;
        if mistake == Some(Mistake::NoTermAtAgent) {
            judged.term = Term(u64::MAX);
        }
        if mistake == Some(Mistake::NoEpochAtAgent) {
            judged.epoch = judged.epoch.max(life.standing.epoch);
        }
        let is_admitted = life.standing.admit(owner, judged).is_ok();
        if is_admitted {
            self.raise_term(owner, given.term);
        }
        is_admitted
    }

    fn raise_term(&mut self, owner: Owner, term: Term) {
        if self.fence.raise_term(owner, term)
            && let Some(life) = &mut self.life
        {
            life.standing.terms = self.fence.terms();
        }
    }

    fn want(&mut self, desired: &muster_proto::v1::MachineDesired, told: Told) {
        self.fence.take(desired, told);
        let Some(life) = &mut self.life else { return };
        life.standing.epoch = self.fence.epoch();
        if told == Told::Hello {
            life.standing.incarnation = Some(self.fence.incarnation());
            life.stage = if self.fence.is_closed() { Stage::Online } else { Stage::Fencing };
        }
    }

    fn answered(
        &mut self,
        hello_again: bool,
        generation: Position,
        deadline: i64,
        known: &mut Known,
        mistake: Option<Mistake>,
    ) {
        if hello_again {
            if let Some(life) = self.life.as_mut().filter(|life| life.stage == Stage::Online) {
                life.stage = Stage::Silent;
            }
            return;
        }
        let overtakes = mistake == Some(Mistake::OvertakenAnswers);
        let heard = if overtakes { Position::new(1, u64::from(u32::MAX)) } else { generation };
        self.fence.hear_deadline(heard, muster_model::PoolTime(deadline));
        if deadline != 0 && generation >= known.deadline.0 {
            known.deadline = (generation, deadline);
        }
    }

    /// Starts a process, if it may; gives the epoch in which it runs.
    fn fork(&mut self, number: u8, epoch: Epoch, placed_on: Position, mistake: Option<Mistake>) -> Option<u64> {
        let ground = Ground {
            fenced: self.fence.fenced_epoch(),
            epoch: self.fence.epoch(),
            closed: self.fence.refuses_starts(),
            machine_generation: self.fence.machine_generation(),
            ..Ground::default()
        };
        let any_epoch = mistake == Some(Mistake::NoEpochAtAgent);
        let order = Order {
            id: id(number),
            epoch: if any_epoch { ground.epoch } else { epoch },
            placed_on: if any_epoch { ground.machine_generation } else { placed_on },
            resources: Vec::new(),
            stop: None,
            gang: None,
            expected: None,
            synced: None,
            errands: Vec::new(),
        };
        if step(&ground, &order, self.intents.contains(&number), Way::Update) != Step::Start {
            return None;
        }
        self.intents.insert(number);
        self.alive.insert(number, Process { epoch: order.epoch.0 });
        Some(order.epoch.0)
    }
}

fn id(number: u8) -> ProcessId {
    let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(u32::from(number)) };
    ProcessId { run: RunId(1), dpid, attempt: Attempt(1) }
}
