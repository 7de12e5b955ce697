//! What a run is a function of.

use std::time::Duration;

/// The check of a larger pool than this takes longer than what it checks,
const CHECKED_MAX: usize = 1_000;
/// and runs only so often.
const CHECK_EVERY_OF_LARGE: u32 = 1_000;

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
    /// Users, of which there is at least one.
    pub users: usize,
    /// So many times rarer than in a crowded run do users speak and do things go wrong.
    pub rarity: u32,
    /// Each core's own check runs after every so many decisions, and at the end. Anything but 1 is for pools that are too large for that.
    pub check_every: u32,
    /// A deliberate mistake in a model, which the checks must find; none in earnest.
    pub flaw: Option<Flaw>,
}

impl SimulationOptions {
    /// A crowded run with faults, of the usual length.
    #[must_use]
    pub fn new(seed: u64, machines: usize) -> Self {
        let (duration, check_every) = (crate::DURATION, if machines <= CHECKED_MAX { 1 } else { CHECK_EVERY_OF_LARGE });
        Self { seed, machines, duration, faults: true, users: 3, rarity: 1, check_every, flaw: None }
    }

    /// A run in which most of the time nothing happens, as in most hours of a pool.
    #[must_use]
    pub fn hour(seed: u64, machines: usize) -> Self {
        Self { duration: Duration::from_secs(3_600), rarity: 60, ..Self::new(seed, machines) }
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
