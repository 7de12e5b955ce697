//! How time passes: who takes a turn or a step when. Where nothing happens nobody does anything, so that an hour costs little.
//!
//! Whoever something happened to acts as often as it can for some seconds; then only when something is due. Heartbeats of agents to
//! which nothing happens are not sent one by one: a service that takes a turn hears those whose last one is some seconds old.

use std::time::Duration;

use muster_model::PoolTime;

use crate::agent::Owner;
use crate::service::Stream;
use crate::world::{Happening, World};

/// Nobody was called.
const NEVER_CALLED: PoolTime = PoolTime(i64::MAX);
/// An agent that something happened to steps again within this.
const STIRRED_STEP: Duration = Duration::from_millis(250);
/// An idle agent is heard again after so long: well within the silence that counts as the end of a machine.
const HEARD_AGAIN_AFTER: Duration = Duration::from_secs(7);

/// When somebody acts next.
#[derive(Debug, Clone, Copy)]
struct Call {
    at: PoolTime,
    ticket: u64,
}

impl Call {
    const NONE: Self = Self { at: NEVER_CALLED, ticket: 0 };

    /// A ticket for this time, unless it acts before that anyway.
    fn sooner(&mut self, at: PoolTime) -> Option<u64> {
        if self.at <= at {
            return None;
        }
        *self = Self { at, ticket: self.ticket + 1 };
        Some(self.ticket)
    }

    /// Whether this is the call that counts.
    fn take(&mut self, ticket: u64) -> bool {
        let counts = self.ticket == ticket;
        if counts {
            self.at = NEVER_CALLED;
        }
        counts
    }
}

/// Who acts when.
#[derive(Debug)]
pub(crate) struct Pace {
    turns: [Call; Stream::LOGS.len()],
    agents: Vec<Call>,
    /// When each service heard each idle agent.
    heard: [Vec<PoolTime>; 2],
    /// Something was said since that was last asked.
    stirred: bool,
}

impl Pace {
    pub(crate) fn new(machines: usize) -> Self {
        let heard = || vec![PoolTime::NEVER; machines];
        let (turns, agents) = ([Call::NONE; Stream::LOGS.len()], vec![Call::NONE; machines]);
        Self { turns, agents, heard: [heard(), heard()], stirred: false }
    }

    pub(crate) fn is_called(&mut self, stream: Stream, ticket: u64) -> bool {
        self.turns[stream as usize].take(ticket)
    }

    pub(crate) fn is_agent_called(&mut self, machine: usize, ticket: u64) -> bool {
        self.agents[machine].take(ticket)
    }

    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }
}

impl World {
    /// A service takes a turn within this.
    pub(crate) fn wake(&mut self, stream: Stream, within: Duration) {
        if let Some(ticket) = self.pace.turns[stream as usize].sooner(self.now + within) {
            self.after(within, Happening::Turn(stream, ticket));
        }
    }

    /// An agent takes a step within this.
    pub(crate) fn wake_agent(&mut self, machine: usize, within: Duration) {
        if let Some(ticket) = self.pace.agents[machine].sooner(self.now + within) {
            self.after(within, Happening::Agent(machine, ticket));
        }
    }

    /// Something happens to a service.
    pub(crate) fn stir(&mut self, stream: Stream) {
        self.pace.stirred = true;
        match stream {
            Stream::Reservations => self.reservations.stir(self.now),
            Stream::Machines => self.machines.stir(self.now),
            Stream::Jobs => self.jobs.stir(self.now),
            Stream::Reports => return,
        }
        let within = self.random.millis(20, 120);
        self.wake(stream, within);
    }

    /// Something is to happen to a service at some time.
    pub(crate) fn stir_at(&mut self, stream: Stream, at: PoolTime) {
        let within = at.since(self.now);
        self.wake(stream, within);
    }

    /// Something was stored in a stream: who follows it reads it.
    pub(crate) fn appended(&mut self, stream: Stream) {
        let followers: &[Stream] = match stream {
            Stream::Reservations => &[Stream::Machines, Stream::Jobs],
            Stream::Machines => &[Stream::Reservations, Stream::Jobs],
            Stream::Jobs => &[Stream::Reservations],
            Stream::Reports => &[Stream::Machines, Stream::Jobs],
        };
        followers.iter().for_each(|follower| self.stir(*follower));
        self.stir(stream);
    }

    /// Something happens to an agent.
    pub(crate) fn stir_agent(&mut self, machine: usize) {
        self.pace.stirred = true;
        self.agents[machine].stir(self.now);
        self.wake_agent(machine, STIRRED_STEP);
    }

    /// Something may have become due for an agent.
    pub(crate) fn hasten_agent(&mut self, machine: usize) {
        let within = self.next_step(machine);
        self.wake_agent(machine, within);
    }

    /// Until a service's next turn, when nothing happens before.
    pub(crate) fn next_turn(&mut self, stream: Stream) -> Duration {
        let at = match stream {
            Stream::Reservations => self.reservations.next_turn(self.now),
            Stream::Machines => self.machines.next_turn(self.now),
            Stream::Jobs | Stream::Reports => self.jobs.next_turn(self.now),
        };
        at.map_or(Duration::ZERO, |at| at.since(self.now)) + self.random.millis(20, 120)
    }

    /// Until an agent's next step, when nothing happens before.
    pub(crate) fn next_step(&self, machine: usize) -> Duration {
        let due = self.agents[machine].next_due(self.now).map_or(STIRRED_STEP, |at| at.since(self.now));
        let cut = self.cut_until[machine].since(self.now);
        if cut.is_zero() { due } else { due.min(cut) }
    }

    /// A service that takes a turn hears the agents to which nothing happens.
    pub(crate) fn hear_idle_agents(&mut self, stream: Stream) {
        let owner = match stream {
            Stream::Machines => Owner::MachineLifecycle,
            Stream::Jobs => Owner::Scheduler,
            Stream::Reservations | Stream::Reports => return,
        };
        for machine in 0..self.options.machines {
            let heard = &mut self.pace.heard[owner as usize][machine];
            let is_cut = self.now < self.cut_until[machine];
            if is_cut || self.now.since(*heard) < HEARD_AGAIN_AFTER || !self.agents[machine].is_idle(self.now) {
                continue;
            }
            *heard = self.now;
            let Some((name, heartbeat)) = self.agents[machine].idle_heartbeat(self.now) else { continue };
            let answer = match owner {
                Owner::MachineLifecycle => self.machines.heard_idle(&name, &heartbeat, self.now),
                Owner::Scheduler => self.jobs.heard_idle(&name, &heartbeat, self.now),
            };
            if let Some(answer) = answer {
                self.with_agent(machine, |agent, ports| agent.heartbeat_answered(owner, &answer, ports));
                self.hasten_agent(machine);
            }
        }
    }
}
