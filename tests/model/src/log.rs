//! One decision log: two instances that both believe to lead, clients that retry, and a reader.
//!
//! The lease is left out: an instance begins whenever it likes, so that only the log stands between two leaders. Real: the fold, the
//! turn, the memory of commands, the chain, what is certain of an append, and the core of reservation, whose commands show when they
//! are done twice. Played: the log's server, the bus, clients.

mod act;
mod instance;
mod server;

use std::fmt;

use stateright::{Model, Property};

use instance::Instance;
use server::{Publish, Server};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The server takes an append wherever the log ends.
    NoExpectedSequence,
    /// Commands are answered before the append is acknowledged.
    RepliesBeforeAcknowledgement,
    /// What may have been stored is sent again behind the log's present end.
    NewSequenceAfterUnknown,
    /// What may have been stored counts as stored.
    UnknownIsStored,
    /// What is not found right after counts as never stored.
    NothingFoundIsFinal,
    /// A leader whose place another took answers all the same.
    RepliesWhenLost,
    /// A leader answers readers without a look at the log.
    ReadsWithoutLooking,
    /// A client's retry is a new command.
    RetriesWithNewId,
    /// A leader decides without having raised the term.
    NoTermRaised,
}

/// The world, and how much goes wrong in it.
#[derive(Debug, Clone, Copy)]
pub struct LogWorld {
    /// Its mistake.
    pub mistake: Option<Mistake>,
    /// Crashes.
    pub crashes: u8,
    /// Messages and answers that are lost.
    pub losses: u8,
    /// Leaders that begin while another leads.
    pub takeovers: u8,
    /// Retries of clients that might still have been answered, and repeats of appends that might still be.
    pub repeats: u8,
}

/// Clients, each with one command.
const CLIENTS: usize = 2;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Client {
    /// Where its entry stands, as it was answered.
    answered: Option<u64>,
    /// It was told that its command failed.
    was_refused: bool,
    attempts: u8,
}

/// Somebody who asks how much was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Reader {
    /// Commands that were answered before it asked; none when it does not ask.
    asked: Option<usize>,
    asks: u8,
}

/// All of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    server: Server,
    instances: [Instance; 2],
    /// On their way to the server, sorted.
    flying: Vec<Publish>,
    clients: [Client; CLIENTS],
    reader: Reader,
    crashes: u8,
    losses: u8,
    takeovers: u8,
    repeats: u8,
    /// Which instance, in which of its lives, leads which term.
    leaders: Vec<(u64, usize, u8)>,
    wrongs: Wrongs,
}

/// What was seen to go wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Wrongs {
    /// A reader was told less than what had been answered before it asked.
    stale: bool,
    /// A leader answered at or behind the beginning of a later one.
    both_reply: bool,
    /// A leader called a sound log damaged.
    alarm: bool,
    /// A leader has another state than who folds its log.
    differs: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An instance reads to the end and begins to lead.
    Begin(usize),
    /// The message of this place arrives, and its outcome is heard or lost.
    Arrive(usize, bool),
    /// The message of this place is lost.
    Lose(usize),
    /// An instance hears the outcome of its append.
    Hear(usize),
    /// It waits no longer for the outcome.
    Resend(usize),
    /// A client gives its command to an instance.
    Ask(usize, usize),
    /// The reader asks an instance.
    Read(usize),
    /// An instance takes a turn.
    Turn(usize),
    /// An instance looks whether its log is the newest, and answers.
    Look(usize),
    /// An instance crashes.
    Crash(usize),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: &usize| ["a", "b"][*index];
        match self {
            Self::Begin(index) => write!(f, "{} reads the log to its end and appends that it leads", name(index)),
            Self::Arrive(place, true) => write!(f, "append {place} on its way arrives, and its sender will hear of it"),
            Self::Arrive(place, false) => write!(f, "append {place} on its way arrives, and the answer is lost"),
            Self::Lose(place) => write!(f, "append {place} on its way is lost"),
            Self::Hear(index) => write!(f, "{} hears what came of its append", name(index)),
            Self::Resend(index) => write!(f, "{} waited long enough for the outcome of its append", name(index)),
            Self::Ask(client, index) => write!(f, "client {client} gives its command to {}", name(index)),
            Self::Read(index) => write!(f, "the reader asks {}", name(index)),
            Self::Turn(index) => write!(f, "{} takes a turn", name(index)),
            Self::Look(index) => write!(f, "{} looks at the log's end, and answers", name(index)),
            Self::Crash(index) => write!(f, "{} crashes", name(index)),
        }
    }
}

impl LogWorld {
    /// Everything that can happen.
    fn possible(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        for place in 0..state.flying.len() {
            actions.push(Action::Arrive(place, true));
            if state.losses > 0 {
                actions.extend([Action::Arrive(place, false), Action::Lose(place)]);
            }
        }
        let leaders = state.instances.iter().filter(|instance| instance.is_there()).count();
        for index in 0..state.instances.len() {
            self.possible_of(state, index, leaders, &mut actions);
        }
        actions
    }

    fn possible_of(&self, state: &State, index: usize, leaders: usize, actions: &mut Vec<Action>) {
        let instance = &state.instances[index];
        if !instance.is_there() {
            if !state.server.is_broken() && (leaders == 0 || state.takeovers > 0) {
                actions.push(Action::Begin(index));
            }
            return;
        }
        if state.crashes > 0 {
            actions.push(Action::Crash(index));
        }
        let is_flying = state.flying.iter().any(|publish| publish.is_of(index, instance.life()));
        let possible = [
            (instance.has_heard(), Action::Hear(index)),
            (instance.waits() && (!is_flying || state.repeats > 0), Action::Resend(index)),
            (instance.may_turn(), Action::Turn(index)),
            (instance.looks(), Action::Look(index)),
            (instance.listens() && state.reader.asked.is_none() && state.reader.asks < 1, Action::Read(index)),
        ];
        actions.extend(possible.into_iter().filter_map(|(may, action)| may.then_some(action)));
        for client in 0..CLIENTS {
            let is_waiting = state.instances.iter().any(|instance| instance.has_command_of(client));
            let may_ask = !is_waiting || (state.repeats > 0 && !instance.has_command_of(client));
            if instance.listens() && state.clients[client].answered.is_none() && may_ask {
                actions.push(Action::Ask(client, index));
            }
        }
    }
}

impl Model for LogWorld {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            server: Server::begin(),
            instances: Default::default(),
            flying: Vec::new(),
            clients: Default::default(),
            reader: Reader::default(),
            crashes: self.crashes,
            losses: self.losses,
            takeovers: self.takeovers,
            repeats: self.repeats,
            leaders: Vec::new(),
            wrongs: Wrongs::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(self.possible(state));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(action, self.mistake);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, state: &State| {
                let is_kept =
                    |(index, client): (usize, &Client)| client.answered.is_none() || state.server.done(index) > 0;
                state.clients.iter().enumerate().all(is_kept)
            }),
            Property::always(ONCE, |_, state: &State| (0..CLIENTS).all(|index| state.server.done(index) <= 1)),
            Property::always(REFUSED, |_, state: &State| {
                let is_true = |(index, client): (usize, &Client)| !client.was_refused || state.server.done(index) == 0;
                state.clients.iter().enumerate().all(is_true)
            }),
            Property::always(CHAIN, |_, state: &State| !state.server.is_broken() && !state.wrongs.alarm),
            Property::always(SAME, |_, state: &State| !state.wrongs.differs),
            Property::always(ONE_REPLIES, |_, state: &State| !state.wrongs.both_reply),
            Property::always(FRESH, |_, state: &State| !state.wrongs.stale),
            Property::always(OWN_TERM, |_, state: &State| {
                let is_alone = |(term, index, life): &(u64, usize, u8)| {
                    state.leaders.iter().all(|other| other.0 != *term || (other.1, other.2) == (*index, *life))
                };
                state.leaders.iter().all(is_alone)
            }),
            Property::always(ANSWERED, |world: &Self, state: &State| {
                state.clients.iter().all(|client| client.answered.is_some()) || !world.possible(state).is_empty()
            }),
            Property::sometimes("a second leader does what the first could not", |_, state: &State| {
                state.leaders.len() > 1 && state.clients.iter().all(|client| client.answered.is_some())
            }),
            Property::sometimes("a retry is answered from memory", |_, state: &State| {
                let from_memory =
                    |client: &Client| client.attempts > 1 && client.answered.is_some_and(|at| at < state.server.last());
                state.clients.iter().any(from_memory)
            }),
        ]
    }
}

/// What was answered is in the log.
pub const KEPT: &str = "no acknowledged command is lost";
/// A command is done once, however often it is given.
pub const ONCE: &str = "no command is done twice";
/// Who is told that it failed can give it again.
pub const REFUSED: &str = "what was said to have failed is not done";
/// The log can be folded from its first message to its last.
pub const CHAIN: &str = "the chain of the log is whole";
/// What a leader decides is what everybody folds.
pub const SAME: &str = "a leader's state is the fold of its log";
/// Where a later leader has begun, an earlier one answers nothing.
pub const ONE_REPLIES: &str = "two leaders never both reply";
/// Who reads sees what was answered before.
pub const FRESH: &str = "a reader sees what was acknowledged before it asked";
/// Terms fence agents.
pub const OWN_TERM: &str = "a term has one leader";
/// Once nothing more can happen, everything was answered.
pub const ANSWERED: &str = "every command is answered in the end";
