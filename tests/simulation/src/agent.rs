//! A model of the node agent and its machine: what it keeps on disk, what runs on it, what it says and is told.
//!
//! Follows the promises of the real one (design: agents): hello before anything else, intents before forks, fences, generations,
//! a spool of reports. It speaks the same messages. A crash of the agent keeps disk and processes; a reboot keeps the disk alone.

mod disk;
mod orders;
mod pace;
mod process;
mod step;

use std::collections::BTreeMap;

use muster_model::{Epoch, PoolTime, ProcessId};
use muster_proto::v1::{self, envelope::Body};

use crate::clock::Clock;
use crate::options::Flaw;
use crate::random::Random;
use crate::service::Stream;
use crate::trace::Trace;
use crate::truth::Truth;

pub(crate) use disk::Disk;
use process::{Child, Exit};

/// A service that agents talk with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    MachineLifecycle,
    Scheduler,
}

impl Owner {
    /// The log that it owns.
    pub(crate) fn log(self) -> Stream {
        match self {
            Self::MachineLifecycle => Stream::Machines,
            Self::Scheduler => Stream::Jobs,
        }
    }
}

/// Something that an agent says.
#[derive(Debug)]
pub(crate) enum Said {
    /// A hello; its answer names the same number.
    Hello { to: Owner, number: u64, envelope: v1::Envelope },
    /// A heartbeat, to both services.
    Heartbeat(v1::Envelope),
    /// A batch of reports.
    Reports { batch: u64, envelope: v1::Envelope },
}

/// What an agent acts on and through.
pub(crate) struct Ports<'a> {
    pub(crate) now: PoolTime,
    pub(crate) random: &'a mut Random,
    pub(crate) truth: &'a mut Truth,
    pub(crate) trace: &'a mut Trace,
    pub(crate) flaw: Option<Flaw>,
    /// The agent may crash in the middle of what it does.
    pub(crate) may_crash: bool,
    pub(crate) said: Vec<Said>,
}

/// How far an agent is with its hellos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Says hello to machine-lifecycle.
    Greeting(Owner),
    /// Says everything else.
    Online,
}

/// What an agent has in memory.
#[derive(Debug)]
struct Life {
    stage: Stage,
    /// Granted in this life; 0 before.
    incarnation: u64,
    /// Number of the newest hello, and when it was said.
    hello: (u64, PoolTime),
    beat: u64,
    beat_at: PoolTime,
    /// Batch that is being published, and since when.
    publishing: Option<(u64, PoolTime)>,
    /// When a service last answered.
    contact: PoolTime,
    /// The holder's deadline was enforced alone.
    closed: bool,
    /// What it takes for pool time.
    clock: Clock,
}

/// A machine with its agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) index: usize,
    pub(crate) disk: Disk,
    life: Option<Life>,
    children: BTreeMap<ProcessId, Child>,
    /// Exits that the keeper has recorded, on disk.
    exits: BTreeMap<ProcessId, Exit>,
    boot: u64,
    /// It says nothing and does nothing before this: down, or its agent is.
    pub(crate) down_until: PoolTime,
    hellos: u64,
    snapshot: Option<Snapshot>,
    /// Something happened to it, and it steps as often as it can before this.
    stirred_until: PoolTime,
}

/// A machine as it was: disk, and what ran.
#[derive(Debug)]
struct Snapshot {
    disk: Disk,
    children: BTreeMap<ProcessId, Child>,
    exits: BTreeMap<ProcessId, Exit>,
}

impl Agent {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            disk: Disk::default(),
            life: None,
            children: BTreeMap::new(),
            exits: BTreeMap::new(),
            boot: 1,
            down_until: PoolTime::NEVER,
            hellos: 0,
            snapshot: None,
            stirred_until: PoolTime::NEVER,
        }
    }

    /// The machine's name.
    pub(crate) fn name(&self) -> String {
        format!("m{}", self.index)
    }

    /// Epoch, incarnation, and processes without an end, as the agent knows them.
    pub(crate) fn account(&self) -> (Epoch, u64, Vec<ProcessId>) {
        let live = self.disk.known.iter().filter(|(_, known)| !known.ended).map(|(id, _)| *id).collect();
        (Epoch(self.disk.fenced), self.disk.incarnation, live)
    }

    /// The generation of the desired list that it has, and the pulses that came with it.
    pub(crate) fn pulses(&self) -> (muster_model::Position, &[muster_proto::v1::Pulse]) {
        (self.disk.generation, &self.disk.pulses)
    }

    /// It is up, has said its hellos, and owes nobody a report.
    pub(crate) fn is_settled(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.stage == Stage::Online) && self.disk.spool.is_empty()
    }

    /// The agent dies; its processes live on.
    pub(crate) fn crash(&mut self, until: PoolTime) {
        self.life = None;
        self.down_until = until;
    }

    /// The machine reboots: agent and processes die.
    pub(crate) fn reboot(&mut self, until: PoolTime, truth: &mut Truth) {
        self.crash(until);
        self.boot += 1;
        for id in std::mem::take(&mut self.children).into_keys() {
            truth.excuse(id);
            truth.ended(id);
        }
    }

    /// A snapshot is taken of the machine.
    pub(crate) fn take_snapshot(&mut self) {
        let (disk, children, exits) = (self.disk.clone(), self.children.clone(), self.exits.clone());
        self.snapshot = Some(Snapshot { disk, children, exits });
    }

    /// The machine goes back to its snapshot, if there is one: disk and processes are as they were, and all that came after has never
    /// been. Its boot id stays.
    pub(crate) fn go_back(&mut self, until: PoolTime, truth: &mut Truth) -> bool {
        let Some(Snapshot { disk, children, exits }) = self.snapshot.take() else { return false };
        self.crash(until);
        (self.disk, self.children, self.exits) = (disk, children, exits);
        let running: Vec<ProcessId> = self.children.keys().copied().collect();
        truth.went_back(self.index, &running, |id| self.disk.known.contains_key(id));
        true
    }

    /// Its connection was lost and came back: it says hello again.
    pub(crate) fn reconnected(&mut self) {
        if let Some(life) = &mut self.life {
            life.stage = Stage::Greeting(Owner::MachineLifecycle);
            life.hello.1 = PoolTime::NEVER;
            life.publishing = None;
        }
    }

    /// What it takes for pool time is wrong by something else from now on.
    pub(crate) fn step_clock(&mut self, flaw: Option<Flaw>, random: &mut Random) {
        if let Some(life) = &mut self.life {
            life.clock = Clock::of_agent(flaw, random);
        }
    }

    fn born(&mut self, ports: &mut Ports<'_>) {
        let may_be_wrong = ports.may_crash || ports.flaw == Some(Flaw::WallClock);
        let clock = if may_be_wrong { Clock::of_agent(ports.flaw, ports.random) } else { Clock::default() };
        let life = Life {
            stage: Stage::Greeting(Owner::MachineLifecycle),
            incarnation: 0,
            hello: (0, PoolTime::NEVER),
            beat: 0,
            beat_at: PoolTime::NEVER,
            publishing: None,
            contact: ports.now,
            closed: false,
            clock,
        };
        self.life = Some(life);
    }

    fn envelope(&self, body: Body, now: PoolTime) -> v1::Envelope {
        let incarnation = self.life.as_ref().map_or(0, |life| life.incarnation);
        v1::Envelope {
            source: format!("agent/{}", self.name()),
            time_ns: now.0,
            epoch: self.disk.fenced,
            incarnation,
            body: Some(body),
            ..Default::default()
        }
    }

    fn boot_id(&self) -> String {
        format!("boot-{}-{}", self.index, self.boot)
    }
}
