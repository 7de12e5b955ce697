//! The lease: two instances of a service, the bucket of leases, and requests that are slow, lost sight of, or answered to a process
//! that was stopped meanwhile.
//!
//! Real: when a lease holds, is renewed, read back and taken (`Holding`, `Candidate`). Played: the bucket, the clock, the bus.

use std::fmt;

use muster_ledger::pure::{Candidate, Held, Holding, Look, RENEW_EVERY, Renewal};
use stateright::{Model, Property};

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
/// The server forgets a lease after so many seconds.
const LEASE_AGE: i64 = 6;
/// An answer is waited for so many seconds.
const ANSWER_WITHIN: i64 = 1;
/// Seconds that are looked at.
const TIME_MAX: i64 = 7;

/// Writes that the bucket takes before nobody sends another one: without a bound they could be sent for ever within a second.
const WRITES_MAX: u64 = 2;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The lease is counted from when its answer was received.
    CountedFromReceipt,
    /// Reading a lease back prolongs it.
    ReadBackProlongs,
    /// A loop that does not turn renews.
    RenewsWhileHanging,
    /// The lease is taken whatever stands in the bucket.
    TakenBlindly,
    /// A leader that answers a probe counts as gone.
    TakenFromTheLiving,
}

/// The world.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeaseWorld {
    /// Its mistake.
    pub mistake: Option<Mistake>,
}

/// What stands in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    revision: u64,
    owner: usize,
    written: i64,
}

/// A write to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Write {
    sent: i64,
    over: u64,
    /// Its sender reached the leader whose lease it takes with its last probe.
    from_living: bool,
    /// None while it is on its way; then its revision, or that it was refused.
    stored: Option<Result<u64, ()>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Role {
    Looks(Candidate),
    Leads(Holding),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Instance {
    role: Role,
    write: Option<Write>,
    /// A write that was not waited for any longer, and has not arrived.
    late: Option<Write>,
    is_connected: bool,
    /// When its loop turned last, as it really was.
    turned: i64,
}

/// All of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    now: i64,
    entry: Option<Entry>,
    revision: u64,
    instances: [Instance; 2],
    cuts: u8,
    /// A lease that had not expired was taken.
    was_taken_early: bool,
    /// And from one that could be reached.
    was_taken_from_living: bool,
    was_renewed: bool,
    has_passed: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A second passes.
    Second,
    /// The loop of an instance turns.
    Turn(usize),
    /// It sends a renewal.
    Renew(usize),
    /// It looks for a leader.
    Look(usize),
    /// Its write arrives.
    Arrive(usize),
    /// Its late write arrives.
    ArriveLate(usize),
    /// It hears what came of its write.
    Hear(usize),
    /// It waits no longer.
    GiveUp(usize),
    /// Its connection is lost.
    Cut(usize),
    /// Its connection is back.
    Join(usize),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: &usize| ["a", "b"][*index];
        match self {
            Self::Second => write!(f, "a second passes"),
            Self::Turn(index) => write!(f, "the loop of {} turns", name(index)),
            Self::Renew(index) => write!(f, "{} sends a renewal of its lease", name(index)),
            Self::Look(index) => write!(f, "{} looks for a leader", name(index)),
            Self::Arrive(index) => write!(f, "the write of {} arrives at the bucket", name(index)),
            Self::ArriveLate(index) => write!(f, "a late write of {} arrives at the bucket", name(index)),
            Self::Hear(index) => write!(f, "{} hears what came of its write", name(index)),
            Self::GiveUp(index) => write!(f, "{} waits no longer, and reads the bucket", name(index)),
            Self::Cut(index) => write!(f, "{} loses its connection", name(index)),
            Self::Join(index) => write!(f, "{} is connected again", name(index)),
        }
    }
}

impl State {
    fn begin() -> Self {
        let instance = Instance {
            role: Role::Looks(Candidate::default()),
            write: None,
            late: None,
            is_connected: true,
            turned: 0,
        };
        Self {
            now: 0,
            entry: None,
            revision: 0,
            instances: [instance.clone(), instance],
            cuts: 1,
            was_taken_early: false,
            was_taken_from_living: false,
            was_renewed: false,
            has_passed: false,
        }
    }

    fn nanoseconds(&self) -> i64 {
        self.now * SECOND
    }

    /// What stands in the bucket, for one of the instances.
    fn held(&self, index: usize) -> Held {
        match self.living_entry() {
            None => Held::Nothing(0),
            Some(entry) if entry.owner == index => Held::Ours(entry.revision),
            Some(entry) => Held::Others(entry.revision),
        }
    }

    fn living_entry(&self) -> Option<Entry> {
        self.entry.filter(|entry| self.now - entry.written < LEASE_AGE)
    }

    fn leads(&self, index: usize) -> bool {
        matches!(&self.instances[index].role, Role::Leads(holding) if holding.is_valid(self.nanoseconds()))
    }

    /// A write arrives: it is stored where the bucket still is as its sender saw it.
    fn arrive(&mut self, index: usize, write: Write, mistake: Option<Mistake>) -> Result<u64, ()> {
        let entry = self.living_entry();
        let stands = entry.map_or(0, |entry| entry.revision);
        if stands != write.over && mistake != Some(Mistake::TakenBlindly) {
            return Err(());
        }
        // Its sender saw this very lease, and took it all the same.
        if entry.is_some_and(|entry| entry.owner != index && entry.revision == write.over) {
            self.was_taken_early = true;
            self.was_taken_from_living |= write.from_living;
        }
        self.has_passed |= self.entry.is_some_and(|entry| entry.owner != index);
        self.was_renewed |= entry.is_some_and(|entry| entry.owner == index);
        self.revision += 1;
        self.entry = Some(Entry { revision: self.revision, owner: index, written: self.now });
        Ok(self.revision)
    }

    /// An instance hears that its write was stored.
    fn stored(&mut self, index: usize, sent: i64, revision: u64, mistake: Option<Mistake>) {
        let now = self.nanoseconds();
        let counted = if mistake == Some(Mistake::CountedFromReceipt) { now } else { sent * SECOND };
        let turned = self.now;
        let instance = &mut self.instances[index];
        match &mut instance.role {
            Role::Leads(holding) => holding.renewed(counted, revision),
            Role::Looks(_) => {
                instance.role = Role::Leads(Holding::taken(counted, revision, now));
                instance.turned = turned;
            }
        }
    }

    fn read_back(&mut self, index: usize, mistake: Option<Mistake>) {
        let (held, now) = (self.held(index), self.nanoseconds());
        let Role::Leads(holding) = &mut self.instances[index].role else { return };
        holding.read_back(held);
        if let (Some(Mistake::ReadBackProlongs), Held::Ours(revision)) = (mistake, held) {
            holding.renewed(now, revision);
        }
    }

    fn renew(&mut self, index: usize, mistake: Option<Mistake>) -> Option<()> {
        let (now, seconds) = (self.nanoseconds(), self.now);
        let instance = &mut self.instances[index];
        let Role::Leads(holding) = &instance.role else { return None };
        match holding.renewal(now) {
            Renewal::Over(over) => {
                instance.write = Some(Write { sent: seconds, over, from_living: false, stored: None })
            }
            Renewal::Hangs if mistake == Some(Mistake::RenewsWhileHanging) => {
                instance.write =
                    Some(Write { sent: seconds, over: holding.revision(), from_living: false, stored: None });
            }
            Renewal::Hangs => return None,
            Renewal::Lost => instance.role = Role::Looks(Candidate::default()),
        }
        Some(())
    }

    fn look(&mut self, index: usize, mistake: Option<Mistake>) -> Option<()> {
        let (held, seconds) = (self.held(index), self.now);
        let other = 1 - index;
        let is_reached = matches!(self.instances[other].role, Role::Leads(_)) && self.instances[other].is_connected;
        let Role::Looks(candidate) = &mut self.instances[index].role else { return None };
        let before = candidate.clone();
        let taken = match candidate.look(held) {
            Look::Take(over) => Some((over, false)),
            Look::Probe => {
                let Held::Others(revision) = held else { return None };
                let answers = is_reached && mistake != Some(Mistake::TakenFromTheLiving);
                let takes = candidate.probed(answers);
                takes.then_some((revision, is_reached))
            }
        };
        let instance = &mut self.instances[index];
        if let Some((over, from_living)) = taken {
            instance.write = Some(Write { sent: seconds, over, from_living, stored: None });
        } else if instance.role == Role::Looks(before) {
            return None;
        }
        Some(())
    }

    fn hear(&mut self, index: usize, mistake: Option<Mistake>) -> Option<()> {
        let write = self.instances[index].write.take_if(|write| write.stored.is_some())?;
        match write.stored? {
            Ok(revision) => self.stored(index, write.sent, revision, mistake),
            Err(()) => self.read_back(index, mistake),
        }
        Some(())
    }

    fn give_up(&mut self, index: usize, mistake: Option<Mistake>) -> Option<()> {
        let is_late = |write: &mut Write| self.now - write.sent >= ANSWER_WITHIN;
        let write = self.instances[index].write.take_if(is_late)?;
        self.instances[index].late = write.stored.is_none().then_some(write);
        if self.instances[index].is_connected {
            self.read_back(index, mistake);
        }
        Some(())
    }

    fn take(&mut self, action: Action, mistake: Option<Mistake>) -> Option<()> {
        match action {
            Action::Second => self.now += 1,
            Action::Turn(index) => {
                let now = self.nanoseconds();
                let Role::Leads(holding) = &mut self.instances[index].role else { return None };
                holding.turned(now);
                self.instances[index].turned = self.now;
            }
            Action::Renew(index) => self.renew(index, mistake)?,
            Action::Look(index) => self.look(index, mistake)?,
            Action::Arrive(index) => {
                let write = self.instances[index].write?;
                let stored = Some(self.arrive(index, write, mistake));
                self.instances[index].write = Some(Write { stored, ..write });
            }
            Action::ArriveLate(index) => {
                let write = self.instances[index].late.take()?;
                // Nobody waits for the outcome.
                self.arrive(index, write, mistake).ok()?;
            }
            Action::Hear(index) => self.hear(index, mistake)?,
            Action::GiveUp(index) => self.give_up(index, mistake)?,
            Action::Cut(index) => {
                self.cuts -= 1;
                self.instances[index].is_connected = false;
            }
            Action::Join(index) => self.instances[index].is_connected = true,
        }
        Some(())
    }
}

impl Model for LeaseWorld {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::begin()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < TIME_MAX {
            actions.push(Action::Second);
        }
        // One write at a time is late: two make the world tens of millions of states larger.
        let is_all_heard_of = state.instances.iter().all(|instance| instance.late.is_none());
        for (index, instance) in state.instances.iter().enumerate() {
            let is_free = instance.write.is_none() && instance.is_connected && state.revision < WRITES_MAX;
            let asks = if matches!(instance.role, Role::Leads(_)) { Action::Renew(index) } else { Action::Look(index) };
            let is_flying = |write: &Option<Write>| write.is_some_and(|write| write.stored.is_none());
            let possible = [
                (matches!(instance.role, Role::Leads(_)) && instance.turned < state.now, Action::Turn(index)),
                (is_free, asks),
                (is_flying(&instance.write) && instance.is_connected, Action::Arrive(index)),
                (instance.late.is_some() && instance.is_connected, Action::ArriveLate(index)),
                (instance.write.is_some_and(|write| write.stored.is_some()), Action::Hear(index)),
                (instance.write.is_some() && is_all_heard_of, Action::GiveUp(index)),
                (instance.is_connected && state.cuts > 0, Action::Cut(index)),
                (!instance.is_connected, Action::Join(index)),
            ];
            actions.extend(possible.into_iter().filter_map(|(may, action)| may.then_some(action)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(action, self.mistake)?;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_HOLDER, |_, state: &State| {
                state.was_taken_early || !(state.leads(0) && state.leads(1))
            }),
            Property::always(FROM_THE_DEAD, |_, state: &State| !state.was_taken_from_living),
            Property::always(HANGING, |_, state: &State| {
                state.instances.iter().all(|instance| match &instance.role {
                    Role::Leads(holding) => holding.valid_until() <= ends_at_most(instance.turned),
                    Role::Looks(_) => true,
                })
            }),
            Property::sometimes("a lease is renewed", |_, state: &State| state.was_renewed),
            Property::sometimes("a lease passes to another", |_, state: &State| {
                state.has_passed && !state.was_taken_early
            }),
            Property::sometimes("a lease is taken early", |_, state: &State| state.was_taken_early && state.leads(1)),
        ]
    }
}

/// A loop that turned last at this second leads at most until then.
fn ends_at_most(turned: i64) -> i64 {
    let renewed = i64::try_from(RENEW_EVERY.as_nanos()).unwrap_or(i64::MAX);
    (turned + LEASE_AGE) * SECOND + renewed
}

/// Two never hold the lease at once, unless one took it from a leader that nobody could reach: then the log alone tells them apart.
pub const ONE_HOLDER: &str = "two instances never both hold the lease";
/// Three probes that reach nobody come before a lease is taken that has not expired.
pub const FROM_THE_DEAD: &str = "a lease is never taken from a leader that answers";
/// A leader that does not turn is soon none.
pub const HANGING: &str = "a leader whose loop hangs loses its lease";
