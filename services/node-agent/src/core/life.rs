//! The life of one process, as a state machine: events in, effects out. Everything that happens to a process goes through
//! [`Life::take`]; nothing else changes its state.

use std::time::Duration;

use muster_model::ProcessState;

pub(crate) use super::life_words::{Effect, Event};
use super::outcome::{End, Ending, Said, judge};

/// Pings are this far apart.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(1);
/// So many missed pings in a row make a process mia.
pub(crate) const MISSES_MAX: u32 = 3;
/// A process whose connection is gone has this long to come back before its pings count as missed: after a restart of the
/// agent, modules look for the new socket.
pub(crate) const RECONNECT_GRACE: Duration = Duration::from_secs(10);
/// A process that exited before it was heard has this long for what it said to be read.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);
/// As [`SETTLE`], where the connection is still open: a child may hold it.
pub(crate) const SETTLE_CONNECTED: Duration = Duration::from_secs(2);

/// How far a process has come on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its intent is on disk; directory and artifact are being made ready.
    Preparing,
    /// The keeper was asked.
    Spawning,
    /// It lives.
    Alive,
    /// It is gone; what it said may still be on its way. Since when.
    Exited(Duration),
    /// Reported.
    Ended,
}

#[derive(Debug, Clone)]
struct Stop {
    deadline: Duration,
    reason: String,
    said: bool,
}

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    state: ProcessState,
    stage: Stage,
    connected: bool,
    ever_connected: bool,
    /// Misses are not counted before this.
    quiet_until: Duration,
    ping: u64,
    ping_sent: Duration,
    answered: bool,
    missed: u32,
    iterations: u64,
    /// When iterations were seen to change last; none before the first answer.
    progressed: Option<Duration>,
    stop: Option<Stop>,
    kill: Option<String>,
    said: Option<Said>,
    status: Option<i32>,
    /// It was seen alive, or its exit was.
    ran: bool,
}

impl Life {
    /// A process whose intent was just written.
    pub(crate) fn new() -> Self {
        Self {
            state: ProcessState::Starting,
            stage: Stage::Preparing,
            connected: false,
            ever_connected: false,
            quiet_until: Duration::ZERO,
            ping: 0,
            ping_sent: Duration::ZERO,
            answered: true,
            missed: 0,
            iterations: 0,
            progressed: None,
            stop: None,
            kill: None,
            said: None,
            status: None,
            ran: false,
        }
    }

    /// A process that an earlier life of the agent started, in the state that was reported last.
    pub(crate) fn adopted(state: ProcessState, said: Option<Said>, now: Duration) -> Self {
        Self { state, stage: Stage::Spawning, said, quiet_until: now + RECONNECT_GRACE, ..Self::new() }
    }

    /// A process whose machine went away as it was announced: its next attempt is another process.
    pub(crate) fn gone() -> Self {
        Self { state: ProcessState::Away, stage: Stage::Ended, ..Self::new() }
    }

    /// A process that was reported as ended, and is not forgotten yet.
    pub(crate) fn ended(state: ProcessState) -> Self {
        Self { state, stage: Stage::Ended, ..Self::new() }
    }

    /// The state that was reported last.
    pub(crate) fn state(&self) -> ProcessState {
        self.state
    }

    /// How far it has come.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// It has no end yet.
    pub(crate) fn is_live(&self) -> bool {
        self.stage != Stage::Ended
    }

    /// The keeper was asked, and it may be on the CPU.
    pub(crate) fn may_run(&self) -> bool {
        matches!(self.stage, Stage::Spawning | Stage::Alive)
    }

    /// It ended by itself after its machine was let go away: that is no end of it, unless the machine stays.
    pub(crate) fn is_held(&self) -> bool {
        let asked = self.said.is_some() || self.stop.is_some() || self.kill.is_some();
        self.state == ProcessState::Away && matches!(self.stage, Stage::Exited(_)) && !asked
    }

    /// It is known to have run.
    pub(crate) fn was_seen(&self) -> bool {
        self.ran || self.state != ProcessState::Starting
    }

    /// It was told to stop, or is being killed.
    pub(crate) fn is_ending(&self) -> bool {
        self.stop.is_some()
            || self.kill.is_some()
            || !matches!(self.stage, Stage::Preparing | Stage::Spawning | Stage::Alive)
    }

    /// Pings missed in a row.
    pub(crate) fn missed(&self) -> u32 {
        self.missed
    }

    /// Iterations at the last answer.
    pub(crate) fn iterations(&self) -> u64 {
        self.iterations
    }

    /// How long iterations have not changed; nothing before the first answer.
    pub(crate) fn unchanged(&self, now: Duration) -> Duration {
        self.progressed.map_or(Duration::ZERO, |progressed| now.saturating_sub(progressed))
    }

    /// The stop that it was given, with what is left of its grace.
    pub(crate) fn stop_given(&self, now: Duration) -> Option<(Duration, &str)> {
        self.stop.as_ref().map(|stop| (stop.deadline.saturating_sub(now), stop.reason.as_str()))
    }

    /// How it said that it ended.
    pub(crate) fn said(&self) -> Option<&Said> {
        self.said.as_ref()
    }

    /// It has said how it ended.
    pub(crate) fn has_said(&self) -> bool {
        self.said.is_some()
    }

    /// Takes one event at `now`, a time that only rises.
    pub(crate) fn take(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        if self.stage == Stage::Ended {
            return Vec::new();
        }
        match event {
            Event::Asked => self.asked(),
            Event::Spawned => self.spawned(),
            Event::NotStarted(reason) => self.not_started(reason, now),
            Event::SetUp(said) => self.set_up(said, now),
            Event::Connected => self.connected(now),
            Event::Disconnected => self.disconnected(now),
            Event::Pong { n, iterations } => self.pong(n, iterations, now),
            Event::Blocked => self.blocked(now),
            Event::Done(said) => self.done(said),
            Event::Exited(status) => self.exited(status, now),
            Event::Away => self.away(),
            Event::Back(reason) => self.back(&reason),
            Event::Stop { grace, reason } => self.stop(grace, reason, now),
            Event::Kill(reason) => self.kill(reason),
            Event::Tick => self.tick(now),
        }
    }

    /// The end, once [`Effect::Conclude`] was given. `found` is what it left in its directory, where nothing was heard.
    pub(crate) fn conclude(&mut self, found: Option<Said>) -> End {
        let end = if self.ran { judge(self.ending(found)) } else { self.never_ran() };
        (self.stage, self.state) = (Stage::Ended, end.state);
        end
    }

    fn ending(&mut self, found: Option<Said>) -> Ending {
        Ending {
            said: self.said.take().or(found),
            status: self.status,
            stop: self.stop.take().map(|stop| stop.reason),
            kill: self.kill.take(),
        }
    }

    fn never_ran(&mut self) -> End {
        match (self.stop.take(), self.kill.take()) {
            (_, Some(reason)) => End::never_ran(&reason),
            (Some(stop), None) => End::stopped_before(&stop.reason),
            (None, None) => End::never_ran("it was never started"),
        }
    }

    fn asked(&mut self) -> Vec<Effect> {
        if self.stage == Stage::Preparing {
            self.stage = Stage::Spawning;
        }
        Vec::new()
    }

    fn spawned(&mut self) -> Vec<Effect> {
        if self.stage != Stage::Spawning {
            return Vec::new();
        }
        (self.stage, self.ran) = (Stage::Alive, true);
        if self.kill.is_some() {
            return vec![Effect::Kill];
        }
        // Its first answer may overtake the keeper's word; running is said with the id that the keeper names.
        if self.ping > 0 && self.answered { self.running() } else { Vec::new() }
    }

    fn not_started(&mut self, reason: String, now: Duration) -> Vec<Effect> {
        if !matches!(self.stage, Stage::Preparing | Stage::Spawning) {
            return Vec::new();
        }
        self.stage = Stage::Exited(now);
        self.kill.get_or_insert(reason);
        vec![Effect::Conclude]
    }

    fn set_up(&mut self, said: Said, now: Duration) -> Vec<Effect> {
        if self.stage != Stage::Preparing {
            return Vec::new();
        }
        (self.stage, self.ran, self.status) = (Stage::Exited(now), true, Some(0));
        self.said = Some(said);
        vec![Effect::Conclude]
    }

    fn connected(&mut self, now: Duration) -> Vec<Effect> {
        (self.connected, self.ever_connected) = (true, true);
        (self.answered, self.missed) = (true, if self.state == ProcessState::Mia { self.missed } else { 0 });
        let mut effects = vec![Effect::SendStart];
        match &mut self.stop {
            Some(stop) => {
                stop.said = true;
                effects.push(Effect::SendStop { grace: stop.deadline.saturating_sub(now) });
            }
            None => effects.push(self.next_ping(now)),
        }
        effects
    }

    fn disconnected(&mut self, now: Duration) -> Vec<Effect> {
        self.connected = false;
        if let Some(stop) = &mut self.stop {
            stop.said = false;
        }
        match self.stage {
            Stage::Exited(_) if self.is_held() => Vec::new(),
            Stage::Exited(_) => vec![Effect::Conclude],
            Stage::Preparing | Stage::Spawning | Stage::Alive | Stage::Ended => self.be_quiet(now),
        }
    }

    fn be_quiet(&mut self, now: Duration) -> Vec<Effect> {
        self.quiet_until = now + RECONNECT_GRACE;
        Vec::new()
    }

    fn next_ping(&mut self, now: Duration) -> Effect {
        self.ping += 1;
        (self.ping_sent, self.answered) = (now, false);
        Effect::SendPing(self.ping)
    }

    fn pong(&mut self, n: u64, iterations: u64, now: Duration) -> Vec<Effect> {
        if iterations != self.iterations || self.progressed.is_none() {
            (self.iterations, self.progressed) = (iterations, Some(now));
        }
        if n != self.ping {
            return Vec::new();
        }
        (self.answered, self.missed) = (true, 0);
        if self.stage == Stage::Alive { self.running() } else { Vec::new() }
    }

    fn blocked(&mut self, now: Duration) -> Vec<Effect> {
        self.progressed = self.progressed.map(|_| now);
        Vec::new()
    }

    fn running(&mut self) -> Vec<Effect> {
        match self.state {
            ProcessState::Starting | ProcessState::Mia if self.stop.is_none() => self.report(ProcessState::Running, ""),
            _ => Vec::new(),
        }
    }

    fn report(&mut self, state: ProcessState, reason: &str) -> Vec<Effect> {
        if !self.state.may_become(state) {
            return Vec::new();
        }
        self.state = state;
        vec![Effect::Report { state, reason: reason.into() }]
    }

    fn done(&mut self, said: Said) -> Vec<Effect> {
        self.said.get_or_insert(said);
        Vec::new()
    }

    fn exited(&mut self, status: Option<i32>, now: Duration) -> Vec<Effect> {
        if matches!(self.stage, Stage::Exited(_)) {
            return Vec::new();
        }
        (self.stage, self.status, self.ran) = (Stage::Exited(now), status, true);
        let heard_all = !self.connected && (self.ever_connected || self.said.is_some());
        if heard_all && !self.is_held() { vec![Effect::Conclude] } else { Vec::new() }
    }

    fn away(&mut self) -> Vec<Effect> {
        if matches!(self.stage, Stage::Alive | Stage::Exited(_)) && !self.state.is_final() {
            self.state = ProcessState::Away;
        }
        Vec::new()
    }

    fn back(&mut self, reason: &str) -> Vec<Effect> {
        if self.state != ProcessState::Away {
            return Vec::new();
        }
        if matches!(self.stage, Stage::Exited(_)) {
            self.state = ProcessState::Running;
            return vec![Effect::Conclude];
        }
        self.report(ProcessState::Running, reason)
    }

    fn stop(&mut self, grace: Duration, reason: String, now: Duration) -> Vec<Effect> {
        if self.stop.is_some() || self.kill.is_some() || matches!(self.stage, Stage::Exited(_)) {
            return Vec::new();
        }
        self.stop = Some(Stop { deadline: now + grace, reason: reason.clone(), said: self.connected });
        if self.stage == Stage::Preparing {
            self.stage = Stage::Exited(now);
            return vec![Effect::Conclude];
        }
        let mut effects = self.report(ProcessState::Fip, &reason);
        if self.connected {
            effects.push(Effect::SendStop { grace });
        }
        effects
    }

    fn kill(&mut self, reason: String) -> Vec<Effect> {
        self.kill.get_or_insert(reason);
        match self.stage {
            Stage::Preparing => {
                self.stage = Stage::Exited(Duration::ZERO);
                vec![Effect::Conclude]
            }
            Stage::Spawning | Stage::Alive => vec![Effect::Kill],
            Stage::Exited(_) | Stage::Ended => Vec::new(),
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<Effect> {
        match self.stage {
            Stage::Preparing | Stage::Ended => Vec::new(),
            Stage::Exited(_) if self.is_held() => Vec::new(),
            Stage::Exited(since) => {
                let wait = if self.connected { SETTLE_CONNECTED } else { SETTLE };
                if now >= since + wait { vec![Effect::Conclude] } else { Vec::new() }
            }
            Stage::Spawning | Stage::Alive => self.tick_alive(now),
        }
    }

    fn tick_alive(&mut self, now: Duration) -> Vec<Effect> {
        if now < self.ping_sent + PING_INTERVAL {
            return Vec::new();
        }
        if self.kill.is_some() {
            self.ping_sent = now;
            return vec![Effect::Kill];
        }
        if let Some(stop) = &self.stop {
            if now < stop.deadline {
                return Vec::new();
            }
            self.kill = Some(format!("{}: killed past its grace", stop.reason));
            return vec![Effect::Kill];
        }
        self.ping_again(now)
    }

    fn ping_again(&mut self, now: Duration) -> Vec<Effect> {
        let silent = if self.connected { !self.answered } else { now >= self.quiet_until };
        let mut effects = Vec::new();
        if silent {
            self.missed = self.missed.saturating_add(1);
            if self.missed >= MISSES_MAX && self.state == ProcessState::Running {
                effects = self.report(ProcessState::Mia, "three pings were missed");
            }
        }
        if self.connected {
            effects.push(self.next_ping(now));
        } else {
            self.ping_sent = now;
        }
        effects
    }
}
