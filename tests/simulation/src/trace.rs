//! What happened: a hash over all of it, and the last of it for people.

use std::collections::VecDeque;
use std::fmt;

use muster_model::PoolTime;

use crate::SimulationOptions;

/// So much of what happened is shown with a violation.
const KEPT: usize = 60;

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    last: VecDeque<String>,
    start: PoolTime,
}

impl Trace {
    pub(crate) fn new(start: PoolTime) -> Self {
        Self { hasher: blake3::Hasher::new(), last: VecDeque::new(), start }
    }

    /// Notes something.
    pub(crate) fn note(&mut self, now: PoolTime, what: fmt::Arguments<'_>) {
        let line = format!("{:>10.3} {what}", now.since(self.start).as_secs_f64());
        self.hasher.update(line.as_bytes());
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Hash of everything so far.
    pub(crate) fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..16].to_owned()
    }

    /// What happened last.
    pub(crate) fn history(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Seed.
    pub seed: u64,
    /// Messages of all three logs.
    pub turns: usize,
    /// Jobs that were accepted.
    pub jobs: usize,
    /// Processes that were forked.
    pub forks: usize,
    /// Reservations that were handed over.
    pub reservations: usize,
    /// Crashes of services and agents, and reboots of machines.
    pub crashes: usize,
    /// Hash of the whole trace.
    pub trace_hash: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, turns, jobs, forks, reservations, crashes, trace_hash } = self;
        write!(
            f,
            "seed {seed}: {turns} turns, {jobs} jobs, {forks} forks, {reservations} reservations, {crashes} crashes, trace {trace_hash}"
        )
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// The options of the run.
    pub options: SimulationOptions,
    /// Virtual time since its start, milliseconds.
    pub at_ms: u64,
    /// Which invariant, and how.
    pub what: String,
    /// What happened last.
    pub history: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        let SimulationOptions { seed, machines, duration, users, rarity, .. } = self.options;
        writeln!(f, "seed {seed}, at {} ms: {}", self.at_ms, self.what)?;
        write!(f, "run it again with: cargo xtask simulate --seed {seed} --machines {machines}")?;
        let usual = SimulationOptions::new(seed, machines);
        if duration != usual.duration {
            write!(f, " --minutes {}", duration.as_secs() / 60)?;
        }
        if users != usual.users {
            write!(f, " --users {users}")?;
        }
        if rarity != usual.rarity {
            write!(f, " --rarity {rarity}")?;
        }
        Ok(())
    }
}
