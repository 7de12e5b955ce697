//! Volatile knowledge: what was heard of agents since this replica listens. Never logged, never hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::{
    Attempt, Dpid, Incarnation, JobNumber, MachineId, PoolTime, Position, ProcessId, ProcessState, TriggerPolicy,
};

use super::input::{Heartbeat, KnownProcess, Observation, Pinged};
use super::job::Process;
use super::limits::{ANSWERS_MAX, MISMATCHES_MAX, SILENT_AFTER, SUSPECT_UNTIL};
use super::machine::Machine;
use super::master::MasterHeard;
use super::state::State;

/// Identities of one machine that are told to stop or to be forgotten at once; more wait for the next list.
const TOLD_MAX: usize = 4_096;
/// Stalled processes that are listed at once.
const STALLED_MAX: usize = 1_000;

/// What was heard.
#[derive(Debug, Default)]
pub struct Observed {
    machines: BTreeMap<MachineId, Agent>,
    /// The same by when they were heard last, so that the silent ones are found without looking at all; with the place of each in the
    /// index of the pool at that time.
    by_heard: BTreeMap<(PoolTime, MachineId), u32>,
    /// The command center that is master.
    pub(super) master: MasterHeard,
}

/// What was heard of one agent.
#[derive(Debug, Default)]
pub struct Agent {
    /// When its newest heartbeat was heard.
    pub heard: PoolTime,
    /// Its incarnation by what was heard.
    pub incarnation: Incarnation,
    /// Generation that it has; none before it said so in this incarnation.
    pub acknowledged: Option<Position>,
    /// Heartbeats in a row that name an older generation than it has acknowledged: its disk went back, or its hello was answered
    /// with less.
    pub behind: u32,
    /// Why it did not take the newest order, for people; empty once it took one.
    pub refusal: String,
    /// Live processes by its newest heartbeat.
    pub live: u32,
    /// Heartbeats in a row whose digest differs from the log's at the same generation.
    pub mismatches: u32,
    /// What its policy file permits triggers to do.
    pub policy: TriggerPolicy,
    /// Newest batch of reports that it knows to be stored, and when it said so first.
    pub stored: (u64, PoolTime),
    /// Ping results in a row that show a process answering which the log calls starting or mia.
    pub ahead: u32,
    /// The newest pings.
    pub pinged: BTreeMap<Dpid, Pinged>,
    /// Processes whose newest ping says that their iterations have not changed for longer than their module allows.
    pub still: BTreeSet<Dpid>,
    /// Live processes of it that the log does not want.
    pub strays: BTreeSet<ProcessId>,
    /// Ended processes of it that the log has as ended, or does not know.
    pub forgettable: BTreeSet<ProcessId>,
}

impl Observed {
    /// What was heard of a machine's agent.
    #[must_use]
    pub fn agent(&self, machine: &MachineId) -> Option<&Agent> {
        self.machines.get(machine)
    }

    /// Whether the agent of a machine, in the life that MACHINES names, was heard lately.
    #[must_use]
    pub fn hears(&self, machine: &Machine, now: PoolTime) -> bool {
        let agent = self.agent(&machine.seen.machine);
        agent.is_some_and(|agent| agent.is_heard_in(machine.seen.incarnation, now))
    }

    /// Machines that were heard, but not lately.
    pub(super) fn silent(&self, now: PoolTime) -> impl Iterator<Item = &MachineId> {
        self.silent_near(now).map(|(machine, _)| machine)
    }

    /// The same, each with the place that it had in the index of the pool when it was heard.
    pub(super) fn silent_near(&self, now: PoolTime) -> impl Iterator<Item = (&MachineId, usize)> {
        let by_heard = self.by_heard.iter().take_while(move |((heard, _), _)| now.since(*heard) > SILENT_AFTER);
        by_heard.map(|((_, machine), near)| (machine, *near as usize))
    }

    /// For how long no agent was heard, where that says more of the bus or of this replica than of the machines.
    pub(super) fn hears_nobody(&self, now: PoolTime) -> Option<Duration> {
        let ((newest, _), _) = self.by_heard.last_key_value()?;
        Some(now.since(*newest)).filter(|quiet| (SILENT_AFTER..SUSPECT_UNTIL).contains(quiet))
    }

    /// Notes when a machine was heard.
    fn note_heard(&mut self, state: &State, machine: &MachineId, now: PoolTime) {
        let near = self.forget_heard(machine).unwrap_or_default();
        let ordinal = state.pool.ordinal_near(near as usize, machine.as_str()).unwrap_or_default();
        self.by_heard.insert((now, machine.clone()), ordinal as u32);
    }

    /// Forgets when a machine was heard; returns where it was in the index of the pool.
    fn forget_heard(&mut self, machine: &MachineId) -> Option<u32> {
        let heard = self.machines.get(machine)?.heard;
        self.by_heard.remove(&(heard, machine.clone()))
    }

    /// The newest ping of a process.
    #[must_use]
    pub fn pinged(&self, machine: &MachineId, dpid: Dpid, attempt: Attempt) -> Option<&Pinged> {
        let found = self.agent(machine).and_then(|agent| agent.pinged.get(&dpid));
        found.filter(|pinged| pinged.id.attempt == attempt)
    }

    /// How long the iterations of a process have not changed, if that makes it stalled: it is running, and its module says how long is
    /// too long.
    #[must_use]
    pub fn stall_of(&self, state: &State, dpid: Dpid, process: &Process) -> Option<Duration> {
        let pinged = self.pinged(&process.machine, dpid, process.attempt)?;
        let limit = state.jobs.get(&dpid.job)?.spec_of(dpid.process).module.stall;
        let is_stalled = process.state == ProcessState::Running && is_still(pinged, limit);
        is_stalled.then_some(pinged.unchanged)
    }

    /// Whether a machine's agent, in its newest life, has what its list said at a position.
    #[must_use]
    pub fn has_taken(&self, machine: &Machine, at: Position) -> bool {
        let agent = self.agent(&machine.seen.machine);
        agent.is_some_and(|agent| {
            agent.incarnation == machine.seen.incarnation && agent.acknowledged.is_some_and(|taken| taken >= at)
        })
    }

    /// Identities of every stalled process, of the first `STALLED_MAX`.
    #[must_use]
    pub fn stalled(&self, state: &State) -> BTreeSet<ProcessId> {
        let stalled = self.stalls(state).map(|(dpid, process)| state.identity(dpid, process));
        stalled.take(STALLED_MAX).collect()
    }

    /// How many processes of each job are stalled, by one walk over the agents; a job without any is not named.
    #[must_use]
    pub fn stalled_by_job(&self, state: &State) -> BTreeMap<JobNumber, usize> {
        let mut counts = BTreeMap::new();
        self.stalls(state).for_each(|(dpid, _)| *counts.entry(dpid.job).or_default() += 1);
        counts
    }

    /// How many processes of a job are stalled.
    #[must_use]
    pub fn stalled_of(&self, state: &State, job: JobNumber) -> usize {
        self.stalled_by_job(state).get(&job).copied().unwrap_or(0)
    }

    fn stalls<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (Dpid, &'a Process)> {
        let still = self.machines.values().flat_map(|agent| &agent.still);
        still.filter_map(|dpid| {
            let process = state.processes.get(dpid)?;
            self.stall_of(state, *dpid, process).map(|_| (*dpid, process))
        })
    }

    /// Takes news.
    pub(super) fn take(&mut self, state: &State, observation: Observation, now: PoolTime) {
        match observation {
            Observation::Heartbeat(heartbeat) => self.take_heartbeat(state, &heartbeat, now),
            Observation::Pings { machine, pinged } => {
                if let Some(agent) = self.machines.get_mut(&machine) {
                    agent.take_pings(state, pinged);
                }
            }
            Observation::Updated { machine, incarnation, generation, told } => {
                let Some(agent) = self.machines.get_mut(&machine) else { return };
                for id in told {
                    agent.strays.remove(&id);
                    agent.forgettable.remove(&id);
                }
                if agent.incarnation == incarnation {
                    agent.refusal.clear();
                    agent.acknowledged = agent.acknowledged.max(Some(generation));
                }
            }
            Observation::UpdateRefused { machine, detail } => {
                if let Some(agent) = self.machines.get_mut(&machine) {
                    agent.refusal = detail;
                }
            }
            Observation::Inventory { machine, known } => self.take_inventory(state, &machine, &known),
            Observation::Centers(beats) => self.master.take(state, &beats, now),
        }
    }

    fn take_heartbeat(&mut self, state: &State, heartbeat: &Heartbeat, now: PoolTime) {
        // Only machines of the log are remembered, so that nobody can fill this memory (invariant I12).
        let Some(machine) = state.machines.get(&heartbeat.machine) else {
            self.forget_heard(&heartbeat.machine);
            self.machines.remove(&heartbeat.machine);
            return;
        };
        let known = self.machines.get(&heartbeat.machine);
        if known.is_some_and(|agent| heartbeat.incarnation < agent.incarnation) {
            return;
        }
        self.note_heard(state, &heartbeat.machine, now);
        let agent = self.machines.entry(heartbeat.machine.clone()).or_default();
        if heartbeat.incarnation > agent.incarnation {
            *agent = Agent { incarnation: heartbeat.incarnation, ..Agent::default() };
        }
        agent.heard = now;
        agent.live = heartbeat.live;
        agent.policy.clone_from(&heartbeat.policy);
        if agent.stored.0 != heartbeat.stored || agent.stored.1 == PoolTime::NEVER {
            agent.stored = (heartbeat.stored, now);
        }
        agent.acknowledge(heartbeat.generation);
        let same_generation = heartbeat.generation == machine.generation;
        let same_processes = heartbeat.digest == machine.digest && heartbeat.live as usize == machine.live.len();
        // Who is away lives by the log, and by its agent only until the machine goes.
        let is_clear = machine.away == 0;
        agent.mismatches =
            if is_clear && same_generation && !same_processes { agent.mismatches.saturating_add(1) } else { 0 };
    }

    fn take_inventory(&mut self, state: &State, machine: &MachineId, known: &[KnownProcess]) {
        let Some(agent) = self.machines.get_mut(machine) else { return };
        (agent.mismatches, agent.ahead) = (0, 0);
        let (strays, forgettable) = unwanted(state, machine, known);
        agent.strays = strays.into_iter().take(TOLD_MAX).collect();
        agent.forgettable = forgettable.into_iter().take(TOLD_MAX).collect();
    }
}

impl Agent {
    /// A heartbeat was heard lately.
    #[must_use]
    pub fn is_heard(&self, now: PoolTime) -> bool {
        self.heard != PoolTime::NEVER && now.since(self.heard) <= SILENT_AFTER
    }

    /// A heartbeat of this life was heard lately.
    #[must_use]
    pub fn is_heard_in(&self, life: Incarnation, now: PoolTime) -> bool {
        self.incarnation == life && self.is_heard(now)
    }

    /// A heartbeat that was sent before our newest answer came is not believed; several in a row are.
    fn acknowledge(&mut self, generation: Position) {
        self.behind = if Some(generation) < self.acknowledged { self.behind + 1 } else { 0 };
        if self.behind == 0 || self.behind > MISMATCHES_MAX {
            self.acknowledged = Some(generation);
            self.behind = 0;
        }
    }

    /// Takes the pings of processes that the log knows.
    fn take_pings(&mut self, state: &State, pinged: Vec<Pinged>) {
        let mut is_ahead = false;
        self.pinged.clear();
        self.still.clear();
        for result in pinged {
            let Some(process) = state.current(&result.id) else { continue };
            is_ahead |= result.answered && matches!(process.state, ProcessState::Starting | ProcessState::Mia);
            let dpid = result.id.dpid;
            let job = state.jobs.get(&dpid.job);
            if job.is_some_and(|job| is_still(&result, job.spec_of(dpid.process).module.stall)) {
                self.still.insert(result.id.dpid);
            }
            self.pinged.insert(result.id.dpid, result);
        }
        self.ahead = if is_ahead { self.ahead.saturating_add(1) } else { 0 };
    }

    /// It is to be asked for all it knows.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.mismatches > MISMATCHES_MAX || self.ahead > ANSWERS_MAX
    }
}

/// Iterations have not changed for so long that it is too long.
fn is_still(pinged: &Pinged, limit: Duration) -> bool {
    !limit.is_zero() && pinged.unchanged >= limit
}

/// What an agent knows and the log does not want: live processes to be stopped, and ended ones that may be forgotten.
/// Absence from a list ends nothing, so both are said.
#[must_use]
pub(super) fn unwanted(state: &State, machine: &MachineId, known: &[KnownProcess]) -> (Vec<ProcessId>, Vec<ProcessId>) {
    let (mut strays, mut forgettable) = (Vec::new(), Vec::new());
    for process in known {
        let wanted = state.current(&process.id).is_some_and(|here| here.machine == *machine && !here.state.is_final());
        let is_away = process.state == ProcessState::Away;
        match (wanted, process.state.is_final() || is_away) {
            (true, _) => {}
            (false, false) => strays.push(process.id),
            // Its agent lets go of it with the start of the next attempt, which has its saved state.
            (false, true) if is_away && is_superseded(state, machine, &process.id) => {}
            (false, true) => forgettable.push(process.id),
        }
    }
    (strays, forgettable)
}

/// An attempt of which nothing is left but its saved state: its agent is done with it when the next one begins.
fn is_superseded(state: &State, machine: &MachineId, id: &ProcessId) -> bool {
    let current = state.processes.get(&id.dpid).filter(|_| id.run == state.run);
    current
        .is_some_and(|process| process.machine == *machine && process.attempt > id.attempt && !process.state.is_final())
}
