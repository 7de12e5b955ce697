//! The deadline of a reservation, on reservation, machine-lifecycle and the agent, each of which enforces it when it must.
//!
//! Time goes in steps; between two of them a connection breaks or comes back, a service stops or goes on, people extend. In a step all
//! that is up does all that it can: what is looked for is who is left to end what, and by when, not in which order messages come. The
//! scheduler never stops anything here: that is the worst case. Real: the cores of reservation and machine-lifecycle, what each takes
//! from the other's log on the wire, and the agent's fence. Played: time, streams without loss, stops.

mod agent;
mod services;

use std::fmt;
use std::time::Duration;

use muster_model::PoolTime;
use stateright::{Model, Property};

use agent::{Agent, End};
use services::Services;

/// Between two looks.
const STEP: Duration = Duration::from_millis(2_500);
/// The reservation is for so long,
const DURATION: Duration = Duration::from_secs(20);
/// and extended by this.
const EXTENSION: Duration = Duration::from_secs(20);
/// I5: a reservation outlives its deadline by less than this while the agent and machine-lifecycle reach each other,
const ONLINE_MAX: Duration = Duration::from_secs(10);
/// and by less than this whatever happens.
const OUTLIVES_MAX: Duration = Duration::from_secs(30);

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The agent enforces nothing alone.
    NoDeadlineAtAgent,
    /// The agent enforces a deadline only where nobody has answered for a while.
    OnlyWhenCutOff,
    /// machine-lifecycle leaves deadlines to reservation.
    NoDeadlineAtMachines,
    /// An extension never reaches machine-lifecycle.
    ExtensionLost,
    /// The agent's clock is two minutes ahead.
    ClockAhead,
}

/// The world, and how much happens in it.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineWorld {
    /// Its mistake.
    pub mistake: Option<Mistake>,
    /// The agent is cut off so often.
    pub cuts: u8,
    /// Each service stops so often.
    pub stops: u8,
}

/// All of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    now: PoolTime,
    services: Services,
    agent: Agent,
    cuts: u8,
    stops: [u8; 2],
    extensions: u8,
    /// Since when agent and machine-lifecycle reach each other.
    online_since: Option<PoolTime>,
    wrongs: Wrongs,
    seen: SeenOnce,
}

/// What was seen to go wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Wrongs {
    late_online: bool,
    late: bool,
    early: bool,
}

/// What is to be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct SeenOnce {
    ended_by_fence: bool,
    ended_alone: bool,
    outlived_first_deadline: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// All that is up does what it can, and time passes.
    Step,
    /// The agent loses its connection.
    Cut,
    /// It is connected again.
    Join,
    /// A service stops.
    Stop(Service),
    /// It goes on.
    GoOn(Service),
    /// Its user extends the reservation.
    Extend,
}

/// A service of this world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// reservation.
    Reservation,
    /// machine-lifecycle.
    MachineLifecycle,
}

impl Service {
    const ALL: [Self; 2] = [Self::Reservation, Self::MachineLifecycle];

    fn index(self) -> usize {
        match self {
            Self::Reservation => 0,
            Self::MachineLifecycle => 1,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reservation => "reservation",
            Self::MachineLifecycle => "machine-lifecycle",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step => write!(f, "all that is up does what it can, and {STEP:?} pass"),
            Self::Cut => write!(f, "the agent loses its connection"),
            Self::Join => write!(f, "the agent is connected again"),
            Self::Stop(service) => write!(f, "{service} stops"),
            Self::GoOn(service) => write!(f, "{service} goes on"),
            Self::Extend => write!(f, "the reservation is extended by {EXTENSION:?}"),
        }
    }
}

impl State {
    /// A reservation that was just handed over, with a process on its machine.
    fn begin(world: &DeadlineWorld) -> Self {
        let now = services::BEGIN;
        let mut state = Self {
            now,
            services: Services::begin(now),
            agent: Agent::begin(now),
            cuts: world.cuts,
            stops: [world.stops; 2],
            extensions: 1,
            online_since: Some(now),
            wrongs: Wrongs::default(),
            seen: SeenOnce::default(),
        };
        state.settle(None);
        state.services.activate(now);
        state.settle(None);
        state.services.reserve(now, DURATION);
        state.settle(None);
        state.agent.fork();
        state
    }

    /// Until when the reservation has its machine, by its log.
    fn deadline(&self) -> PoolTime {
        self.services.deadline()
    }

    /// All that is up does all that it can.
    fn settle(&mut self, mistake: Option<Mistake>) {
        const ROUNDS_MAX: usize = 12;
        for _ in 0..ROUNDS_MAX {
            let before = (self.services.positions(), self.agent.clone());
            self.services.turn(self.now, &mut self.agent, mistake);
            if (self.services.positions(), &self.agent) == (before.0, &before.1) {
                return;
            }
        }
        unreachable!("a step comes to rest");
    }

    fn step(&mut self, mistake: Option<Mistake>) {
        let is_alive = self.agent.is_alive();
        self.settle(mistake);
        self.agent.enforce(self.now, mistake);
        let (now, deadline) = (self.now, self.deadline());
        match self.agent.end() {
            Some(End::Fenced) if is_alive => {
                self.wrongs.early |= now < deadline;
                self.seen.ended_by_fence = true;
            }
            Some(End::Alone) if is_alive => {
                self.wrongs.early |= now < self.agent.deadline();
                self.seen.ended_alone = true;
            }
            Some(End::Fenced | End::Alone) | None => {}
        }
        if self.agent.is_alive() {
            let online_from = self.online_since.map(|since| since.max(deadline));
            self.wrongs.late_online |= online_from.is_some_and(|from| from + ONLINE_MAX <= now);
            self.wrongs.late |= deadline + OUTLIVES_MAX <= now;
            self.seen.outlived_first_deadline |= services::BEGIN + DURATION + ONLINE_MAX <= now && now < deadline;
        }
        self.now = self.now + STEP;
    }

    fn take(&mut self, action: Action, mistake: Option<Mistake>) {
        match action {
            Action::Step => self.step(mistake),
            Action::Cut => {
                self.cuts -= 1;
                self.agent.cut();
            }
            Action::Join => self.agent.join(),
            Action::Stop(service) => {
                self.stops[service.index()] -= 1;
                self.services.stop(service);
            }
            Action::GoOn(service) => self.services.go_on(service, self.now),
            Action::Extend => {
                self.extensions -= 1;
                self.services.extend(self.now, EXTENSION);
            }
        }
        let is_online = self.agent.is_connected() && self.services.is_up(Service::MachineLifecycle);
        self.online_since = is_online.then(|| self.online_since.unwrap_or(self.now));
    }
}

impl Model for DeadlineWorld {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::begin(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // Once nothing lives, nothing can outlive anything.
        if !state.agent.is_alive() {
            return;
        }
        actions.push(Action::Step);
        if state.agent.is_connected() {
            actions.extend((state.cuts > 0).then_some(Action::Cut));
        } else {
            actions.push(Action::Join);
        }
        for service in Service::ALL {
            if !state.services.is_up(service) {
                actions.push(Action::GoOn(service));
            } else if state.stops[service.index()] > 0 {
                actions.push(Action::Stop(service));
            }
        }
        let may_extend = state.extensions > 0 && state.services.is_up(Service::Reservation);
        actions.extend((may_extend && state.now < state.deadline()).then_some(Action::Extend));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.take(action, self.mistake);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONLINE, |_, state: &State| !state.wrongs.late_online),
            Property::always(OUTLIVES, |_, state: &State| !state.wrongs.late),
            Property::always(EARLY, |_, state: &State| !state.wrongs.early),
            Property::sometimes("what ran is ended by a fence", |_, state: &State| state.seen.ended_by_fence),
            Property::sometimes("what ran is ended by the agent alone", |_, state: &State| state.seen.ended_alone),
            Property::sometimes("an extension counts", |_, state: &State| state.seen.outlived_first_deadline),
        ]
    }
}

/// I5.
pub const ONLINE: &str =
    "I5: nothing outlives its deadline by 10 s while machine-lifecycle and the agent reach each other";
/// I5.
pub const OUTLIVES: &str = "I5: nothing outlives its deadline by 30 s, whatever is cut off or stopped";
/// I6.
pub const EARLY: &str = "nothing is ended before its deadline";
