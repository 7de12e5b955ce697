//! The world: virtual time, the bus between the parts, and the two phases of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::{Epoch, PoolTime};
use muster_proto::v1::{self, machine_event};
use prost::Message;

use crate::agent::{Agent, Owner, Ports, Said};
use crate::bus::Letter;
use crate::malformed::States;
use crate::pace::Pace;
use crate::parts::{JobPart, MachinePart, ReservationPart};
use crate::random::Random;
use crate::service::{Context, Service, Stream, Streams};
use crate::trace::{Summary, Trace, Violation};
use crate::truth::Truth;
use crate::user::User;
use crate::{SimulationOptions, settle};

/// Pool time at which every run begins.
const START: PoolTime = PoolTime(1_800_000_000_000_000_000);
/// Nothing goes wrong for so long, with users still busy, between the faults and the end.
const CALM: Duration = Duration::from_secs(90);
/// What then has to settle has so long.
const SETTLE_MAX: Duration = Duration::from_secs(240);
/// Time between steps of a user, and of the watch over what has a deadline.
const USER_STEP: Duration = Duration::from_millis(500);
const WATCH_STEP: Duration = Duration::from_secs(1);

/// What is due at some time.
pub(crate) enum Happening {
    Turn(Stream, u64),
    Agent(usize, u64),
    User(usize),
    Fault,
    Watch,
    Letter(Box<Letter>),
}

/// How the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything may go wrong.
    Faults,
    /// Nothing goes wrong any more.
    Calm,
    /// Users only give back.
    Settling,
}

/// A run.
pub(crate) struct World {
    pub(crate) options: SimulationOptions,
    pub(crate) now: PoolTime,
    queue: BTreeMap<(PoolTime, u64), Happening>,
    queued: u64,
    pub(crate) random: Random,
    pub(crate) truth: Truth,
    pub(crate) trace: Trace,
    pub(crate) streams: Streams,
    pub(crate) reservations: Service<ReservationPart>,
    pub(crate) machines: Service<MachinePart>,
    pub(crate) jobs: Service<JobPart>,
    pub(crate) agents: Vec<Agent>,
    /// Each machine is cut off from the bus before this.
    pub(crate) cut_until: Vec<PoolTime>,
    pub(crate) users: Vec<User>,
    pub(crate) phase: Phase,
    pub(crate) crashes: usize,
    /// When the last fault ended.
    pub(crate) healed: PoolTime,
    pub(crate) pace: Pace,
    machines_read: usize,
}

impl World {
    pub(crate) fn new(options: SimulationOptions) -> Self {
        let mut world = Self {
            options,
            now: START,
            queue: BTreeMap::new(),
            queued: 0,
            random: Random::new(options.seed),
            truth: Truth::default(),
            trace: Trace::new(START),
            streams: Streams::default(),
            reservations: Service::new(),
            machines: Service::new(),
            jobs: Service::new(),
            agents: (0..options.machines).map(Agent::new).collect(),
            cut_until: vec![PoolTime::NEVER; options.machines],
            users: (0..options.users).map(|user| User::new(user, &options)).collect(),
            phase: if options.faults { Phase::Faults } else { Phase::Calm },
            crashes: 0,
            healed: START,
            pace: Pace::new(options.machines),
            machines_read: 0,
        };
        for stream in Stream::LOGS {
            world.wake(stream, Duration::ZERO);
        }
        for machine in 0..options.machines {
            let delay = world.random.millis(0, 2_000);
            world.wake_agent(machine, delay);
        }
        (0..options.users).for_each(|user| world.after(USER_STEP, Happening::User(user)));
        world.after(WATCH_STEP, Happening::Watch);
        world.after(Duration::from_secs(5), Happening::Fault);
        world
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> Result<Summary, Violation> {
        match self.run_phases() {
            Ok(()) => Ok(self.summary()),
            Err(what) => Err(Violation {
                options: self.options,
                at_ms: self.now.since(START).as_millis() as u64,
                what,
                history: self.trace.history(),
            }),
        }
    }

    /// Runs to the end, for what the services know then.
    pub(crate) fn states(mut self) -> Result<States, String> {
        self.run_phases()?;
        let states = (self.jobs.state(), self.machines.state(), self.reservations.state());
        let (Some(jobs), Some(machines), Some(reservations)) = states else {
            return Err("a service does not run at the end".into());
        };
        Ok(States::new(jobs, machines, reservations, self.now))
    }

    fn run_phases(&mut self) -> Result<(), String> {
        let calm_at = START + self.options.duration;
        self.run_until(calm_at)?;
        self.heal();
        self.run_until(calm_at + CALM)?;
        self.phase = Phase::Settling;
        self.users.iter_mut().for_each(User::finish);
        let end = self.now + SETTLE_MAX;
        loop {
            let unsettled = match settle::settled(self) {
                Ok(()) => return self.check_states().and_then(|()| settle::check_logs(self)),
                Err(what) => what,
            };
            if self.now >= end {
                return Err(format!("I9: not settled {} s after the last fault: {unsettled}", SETTLE_MAX.as_secs()));
            }
            self.run_until(self.now + Duration::from_secs(2))?;
        }
    }

    fn run_until(&mut self, end: PoolTime) -> Result<(), String> {
        while let Some(due) = self.queue.first_entry() {
            if due.key().0 > end {
                break;
            }
            self.now = due.key().0;
            let happening = due.remove();
            self.happen(happening)?;
            if let Some(broken) = self.truth.broken.take() {
                return Err(broken);
            }
        }
        self.now = end;
        Ok(())
    }

    fn check_states(&self) -> Result<(), String> {
        self.reservations.check()?;
        self.machines.check()?;
        self.jobs.check()
    }

    fn summary(&self) -> Summary {
        Summary {
            seed: self.options.seed,
            turns: Stream::LOGS.iter().map(|log| self.streams.of(*log).len()).sum(),
            jobs: self.users.iter().map(|user| user.accepted.len()).sum(),
            forks: self.truth.forks(),
            reservations: settle::handed_over(&self.streams),
            crashes: self.crashes,
            trace_hash: self.trace.hash(),
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + delay, self.queued), happening);
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Turn(stream, ticket) => {
                if self.pace.is_called(stream, ticket) {
                    self.hear_idle_agents(stream);
                    self.turn(stream)?;
                    let delay = self.next_turn(stream);
                    self.wake(stream, delay);
                }
            }
            Happening::Agent(machine, ticket) => {
                if self.pace.is_agent_called(machine, ticket) {
                    if self.cut_until[machine].is_due(self.now) {
                        self.reconnect(machine);
                    }
                    self.with_agent(machine, |agent, ports| agent.step(ports));
                    let delay = self.next_step(machine);
                    self.wake_agent(machine, delay);
                }
            }
            Happening::User(user) => {
                self.user(user);
                self.after(USER_STEP, Happening::User(user));
            }
            Happening::Fault => {
                if self.phase == Phase::Faults {
                    let delay = self.fault();
                    self.after(delay * self.options.rarity, Happening::Fault);
                }
            }
            Happening::Watch => {
                settle::watch_deadlines(self)?;
                if self.pace.take_stirred() {
                    settle::watch_pulses(self)?;
                }
                self.after(WATCH_STEP, Happening::Watch);
            }
            Happening::Letter(letter) => self.deliver(*letter),
        }
        Ok(())
    }

    fn turn(&mut self, stream: Stream) -> Result<(), String> {
        let before = self.streams.of(stream).len();
        let (now, flaw, may_crash) = (self.now, self.options.flaw, self.phase == Phase::Faults);
        let mut context = Context {
            now,
            streams: &mut self.streams,
            random: &mut self.random,
            trace: &mut self.trace,
            flaw,
            may_crash,
            check_every: self.options.check_every,
            out: Vec::new(),
        };
        match stream {
            Stream::Reservations => self.reservations.turn(&mut context)?,
            Stream::Machines => self.machines.turn(&mut context)?,
            Stream::Jobs => self.jobs.turn(&mut context)?,
            Stream::Reports => {}
        }
        let out = context.out;
        if self.streams.of(stream).len() > before {
            self.note_turn(stream);
            self.appended(stream);
        }
        self.say(stream, out);
        Ok(())
    }

    /// Notes what was appended, and learns of new epochs.
    fn note_turn(&mut self, stream: Stream) {
        let Some(last) = self.streams.of(stream).last() else { return };
        let hash = blake3::hash(last.payload());
        let entries = last.entries.len();
        let sequence = self.streams.of(stream).len();
        let hash = &hash.to_hex()[..8];
        self.trace.note(self.now, format_args!("{} {sequence}: {entries} entries, {hash}", stream.name()));
        if stream != Stream::Machines {
            return;
        }
        for stored in &self.streams.of(stream)[self.machines_read..] {
            for bytes in stored.entries.iter().flat_map(|entry| &entry.events) {
                let Ok(event) = v1::MachineEvent::decode(bytes.clone()) else { continue };
                if let Some(machine_event::Kind::EpochRaised(raised)) = event.kind {
                    let reservation = raised.holder.map_or(0, |holder| holder.reservation);
                    self.truth.epoch_raised(index(&event.machine), Epoch(raised.epoch), reservation);
                }
            }
        }
        self.machines_read = sequence;
    }

    pub(crate) fn with_agent(&mut self, machine: usize, act: impl FnOnce(&mut Agent, &mut Ports<'_>)) {
        let Some(agent) = self.agents.get_mut(machine) else { return };
        let mut ports = Ports {
            now: self.now,
            random: &mut self.random,
            truth: &mut self.truth,
            trace: &mut self.trace,
            flaw: self.options.flaw,
            may_crash: self.phase == Phase::Faults,
            said: Vec::new(),
        };
        act(agent, &mut ports);
        for said in ports.said {
            match said {
                Said::Hello { to, number, envelope } => self.send(Letter::Hello { to, machine, number, envelope }),
                Said::Heartbeat(envelope) => {
                    for to in [Owner::MachineLifecycle, Owner::Scheduler] {
                        self.send(Letter::Heartbeat { to, machine, envelope: envelope.clone() });
                    }
                }
                Said::Reports { batch, envelope } => self.send(Letter::Reports { machine, batch, envelope }),
            }
        }
    }

    fn user(&mut self, user: usize) {
        let is_busy = self.phase < Phase::Settling;
        let machines = self.options.machines;
        if let Some((to, envelope)) = self.users[user].say(self.now, is_busy, machines, &mut self.random) {
            self.send(Letter::Command { to, user, envelope });
        }
    }
}

/// The number of a machine, from its name.
pub(crate) fn index(name: &str) -> usize {
    name.strip_prefix('m').and_then(|number| number.parse().ok()).expect("simulated machines are numbered")
}
