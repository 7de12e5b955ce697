//! What a run is a function of.

use std::time::Duration;

/// A run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulationOptions {
    /// Seed of everything that is random.
    pub seed: u64,
    /// Machines, each with its agent.
    pub machines: usize,
    /// Virtual time of the first phase; the second takes what it needs, within a bound.
    pub duration: Duration,
    /// Things go wrong in the first phase.
    pub faults: bool,
    /// A deliberate mistake in a model, which the checks must find; none in earnest.
    pub flaw: Option<Flaw>,
}

impl SimulationOptions {
    /// A run with faults, of the usual length.
    #[must_use]
    pub fn new(seed: u64, machines: usize) -> Self {
        Self { seed, machines, duration: crate::DURATION, faults: true, flaw: None }
    }
}

/// A deliberate mistake. The simulation is worth something only if it finds each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// An agent reports a fence without ending what is older.
    NoFence,
    /// An agent forks without writing its intents to disk.
    NoIntents,
    /// Services answer before what they answer is in their log.
    AnswersBeforeAppend,
    /// An agent takes every command, whatever epoch, term, incarnation and generation it is of.
    NoAuthority,
    /// An agent drops reports that are not acknowledged at once. What it knows by itself makes up for it.
    NoSpool,
    /// The same, and what it knows by itself says nothing of ends.
    NoSpoolNoEnds,
    /// A service forgets the commands that it has answered.
    NoCommandMemory,
    /// A service does not keep how far it has read the other logs.
    NoPositions,
    /// A leader appends wherever its log ends, also when another has appended since.
    NoExpectedSequence,
    /// A leader whose append was refused answers what it had decided all the same.
    AnswersWhenLost,
    /// A leader takes its own clock for the pool's, also when that is behind the last event of its log.
    NoTimeFloor,
    /// An agent enforces deadlines by a clock that people set.
    WallClock,
}
