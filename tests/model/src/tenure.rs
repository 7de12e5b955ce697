//! One machine that changes hands: machine-lifecycle with a leader that was deposed, the machine's agent, and starts by the scheduler.
//!
//! Real: the core of machine-lifecycle (decide, apply, wanted, its own check), its answers to heartbeats, and what the agent decides of
//! terms, epochs, fences, deadlines and starts. Played: the bus (what services say is delayed, repeated, reordered and lost; what an
//! agent says arrives in order, or not at all), disks, crashes, reverts, people. The log is sound here: that is the log's world.

mod act;
mod agent;
mod machines;

use std::fmt;

use stateright::{Model, Property};

use agent::{Agent, Stage};
use machines::{Machines, Report, Said, Word};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The agent takes every term.
    NoTermAtAgent,
    /// Terms are gone when the agent crashes.
    TermsInMemory,
    /// The agent says that it is fenced without ending what is older.
    NoFence,
    /// The fence is gone when the agent crashes.
    FenceInMemory,
    /// The agent takes orders of every epoch.
    NoEpochAtAgent,
    /// An answer that was overtaken counts as the newest.
    OvertakenAnswers,
    /// A hello is answered before its incarnation is in the log.
    HelloAnsweredUnlogged,
}

/// The world, and how much happens in it.
#[derive(Debug, Clone, Copy)]
pub struct TenureWorld {
    /// Its mistake.
    pub mistake: Option<Mistake>,
    /// How much happens at most.
    pub budget: Budget,
}

/// How much happens at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Crashes of the agent, or of its machine.
    pub crashes: u8,
    /// The machine goes back to a snapshot.
    pub reverts: u8,
    /// Another leads machine-lifecycle.
    pub takeovers: u8,
    /// Messages that arrive twice.
    pub copies: u8,
    /// Messages that are lost.
    pub losses: u8,
    /// Processes that are started.
    pub starts: u8,
    /// Ten seconds pass.
    pub times: u8,
}

/// What services have said at most and the agent has not heard.
const WORDS_MAX: usize = 2;
/// What the agent has said at most and nobody has heard.
const SAID_MAX: usize = 1;

/// All of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    machines: Machines,
    agent: Agent,
    snapshot: Option<Box<(Agent, Known)>>,
    /// To the agent, sorted.
    words: Vec<Word>,
    /// From the agent, in order.
    said: Vec<Said>,
    /// In the agent's spool.
    reports: Vec<Report>,
    budget: Budget,
    /// How far the reservation is: not granted, granted, extended, ended.
    course: u8,
    /// Processes that were started, as bits.
    forks: u8,
    known: Known,
    wrongs: Wrongs,
    seen: SeenOnce,
}

/// What the agent has really been told, whatever it makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Known {
    /// The highest term of machine-lifecycle in what it took.
    term: u64,
    /// The newest generation that it heard of, and the deadline that came with it for the present holder.
    deadline: (muster_model::Position, i64),
    /// The epoch that it heard of, and the reservation whose it is.
    holder: (u64, u64),
    /// The highest epoch that it has fenced.
    fenced: u64,
}

/// What was seen to go wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Wrongs {
    held_twice: bool,
    stale_acts: bool,
    needless_fence: bool,
    started_twice: bool,
    older_alive: bool,
    granted_twice: bool,
}

/// What is to be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct SeenOnce {
    has_reverted: bool,
    noticed_revert: bool,
    ran_reserved: bool,
    came_back: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ten seconds pass.
    Time,
    /// reservation says the next of: granted, extended, ended.
    Reserve,
    /// The leader ticks.
    Tick,
    /// The leader tells the agent what it wants.
    Tell,
    /// The leader that was deposed tells it.
    OldTells,
    /// The leader hears the oldest that the agent said.
    Hear,
    /// The leader that was deposed hears it too.
    OldHears,
    /// The oldest that the agent said is lost.
    LoseSaid,
    /// The agent hears the word of this place.
    Deliver(usize),
    /// And will hear it again.
    Repeat(usize),
    /// The word of this place is lost.
    Lose(usize),
    /// The leader reads the oldest report, which the agent says once it is online.
    Report,
    /// Another leads.
    Takeover,
    /// The scheduler starts a process.
    Place,
    /// The agent says hello.
    Hello,
    /// The leader hears a heartbeat of the agent.
    Beat,
    /// The leader that was deposed hears one.
    OldBeat,
    /// The agent ends a process of an older epoch.
    EndOlder,
    /// The agent closes its fence.
    Close,
    /// A process of a machine that drains ends.
    End,
    /// The agent crashes.
    Crash,
    /// Its machine reboots.
    Reboot,
    /// The agent starts.
    Start,
    /// A snapshot is taken of the machine.
    Snapshot,
    /// The machine goes back to it.
    Revert,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Time => "ten seconds pass",
            Self::Reserve => "reservation says the next of: granted, extended, ended",
            Self::Tick => "machine-lifecycle ticks",
            Self::Tell => "machine-lifecycle tells the agent what it wants",
            Self::OldTells => "the deposed leader tells the agent what it wants",
            Self::Hear => "machine-lifecycle hears the oldest that the agent said",
            Self::OldHears => "the deposed leader hears the oldest that the agent said",
            Self::LoseSaid => "the oldest that the agent said is lost",
            Self::Deliver(place) => return write!(f, "the agent hears word {place} on its way"),
            Self::Repeat(place) => return write!(f, "the agent hears word {place} on its way, and will hear it again"),
            Self::Lose(place) => return write!(f, "word {place} on its way to the agent is lost"),
            Self::Report => "machine-lifecycle reads the oldest report",
            Self::Takeover => "another instance leads machine-lifecycle",
            Self::Place => "the scheduler starts a process",
            Self::Hello => "the agent says hello",
            Self::Beat => "machine-lifecycle hears a heartbeat",
            Self::OldBeat => "the deposed leader hears a heartbeat",
            Self::EndOlder => "the agent ends a process of an older epoch",
            Self::Close => "the agent closes its fence",
            Self::End => "a process of the draining machine ends",
            Self::Crash => "the agent crashes",
            Self::Reboot => "the machine reboots",
            Self::Start => "the agent starts",
            Self::Snapshot => "a snapshot is taken of the machine",
            Self::Revert => "the machine goes back to its snapshot",
        };
        f.write_str(words)
    }
}

impl Model for TenureWorld {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::begin(self.budget)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (agent, budget) = (&state.agent, &state.budget);
        let has_old = state.machines.has_deposed();
        let stage = agent.stage();
        let is_quiet = state.said.len() < SAID_MAX;
        let has_room = state.words.len() < WORDS_MAX;
        let possible = [
            (budget.times > 0, Action::Time),
            (state.course < 3, Action::Reserve),
            (true, Action::Tick),
            (has_room, Action::Tell),
            (has_room && has_old, Action::OldTells),
            (!state.said.is_empty(), Action::Hear),
            (!state.said.is_empty() && has_old && has_room, Action::OldHears),
            (has_old && has_room && stage == Some(Stage::Online), Action::OldBeat),
            (!state.said.is_empty() && budget.losses > 0, Action::LoseSaid),
            (!state.reports.is_empty() && stage == Some(Stage::Online), Action::Report),
            (budget.takeovers > 0, Action::Takeover),
            (budget.starts > 0 && has_room, Action::Place),
            (is_quiet && state.may_greet(), Action::Hello),
            (stage == Some(Stage::Online), Action::Beat),
            (agent.ends_older(), Action::EndOlder),
            (agent.may_close(self.mistake), Action::Close),
            (state.machines.drains() && agent.has_processes(), Action::End),
            (budget.crashes > 0 && stage.is_some(), Action::Crash),
            (budget.crashes > 0, Action::Reboot),
            (stage.is_none(), Action::Start),
            (budget.reverts > 0 && state.snapshot.is_none() && stage == Some(Stage::Online), Action::Snapshot),
            (budget.reverts > 0 && state.snapshot.is_some(), Action::Revert),
        ];
        actions.extend(possible.into_iter().filter_map(|(may, action)| may.then_some(action)));
        for place in 0..state.words.len() {
            actions.push(Action::Deliver(place));
            actions.extend((budget.copies > 0).then_some(Action::Repeat(place)));
            actions.extend((budget.losses > 0).then_some(Action::Lose(place)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(action, self.mistake);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let revert = Property::sometimes("a revert is noticed", |_, state: &State| state.seen.noticed_revert);
        let mut properties = vec![
            Property::always(ONE_HOLDER, |_, state: &State| !state.wrongs.held_twice),
            Property::always(STALE, |_, state: &State| !state.wrongs.stale_acts),
            Property::always(NEEDLESS, |_, state: &State| !state.wrongs.needless_fence),
            Property::always(ONCE, |_, state: &State| !state.wrongs.started_twice),
            Property::always(FENCED, |_, state: &State| !state.wrongs.older_alive),
            Property::always(INCARNATION, |_, state: &State| !state.wrongs.granted_twice),
            Property::always(DEADLINE, |_, state: &State| state.agent.deadline() == state.known.deadline.1),
            Property::always(KEPT, |_, state: &State| state.agent.fenced() >= state.known.fenced),
            Property::always("MACHINES keeps its own rules", |_, state: &State| state.machines.check()),
            Property::sometimes("a process of a reservation runs", |_, state: &State| state.seen.ran_reserved),
            Property::sometimes("a machine comes back to the pool", |_, state: &State| state.seen.came_back),
        ];
        properties.extend((self.budget.reverts > 0).then_some(revert));
        properties
    }
}

/// I1.
pub const ONE_HOLDER: &str = "I1: what was started for one holder never runs under another";
/// I4.
pub const STALE: &str = "I4: words of a lower term or epoch change nothing at the agent";
/// I6.
pub const NEEDLESS: &str = "I6: a restart of the agent ends nothing";
/// I6.
pub const ONCE: &str = "I6: a restart of the agent repeats nothing";
/// I7.
pub const FENCED: &str = "I7: nothing of an older epoch is alive when something of a newer one starts";
/// Twins are told apart by it.
pub const INCARNATION: &str = "an incarnation is granted once";
/// What the agent enforces alone is what it was told last.
pub const DEADLINE: &str = "the agent keeps the newest deadline that it was told";
/// What was said to be fenced stays so.
pub const KEPT: &str = "a fence that was reported is on the disk";
