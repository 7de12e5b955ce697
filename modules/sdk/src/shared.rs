//! What the test's thread and the link's thread share.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::asks::Asks;
use crate::gate::Pulses;
use crate::outbox::{Line, Outbox};
use crate::peers::PeerWords;
use crate::sync::Synced;

/// A trigger asks for the history of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Number of the trigger.
    pub trigger: u32,
    /// The firing.
    pub firing: String,
}

/// Grace of a stop that no agent gave a grace: a signal, or two minutes without an agent.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Requests for the history that wait to be taken; more at once ask for the same.
const DUMPS_MAX: usize = 8;
/// Words of peers that wait to be heard. They are said again and again, so the newest count and the oldest go.
const PEER_WORDS_MAX: usize = 64;

/// An announcement that the machine goes away.
#[derive(Debug)]
pub(crate) struct Announced {
    number: u64,
    /// As it is said, and again on each new connection.
    line: Vec<u8>,
    answer: Option<Result<(), String>>,
}

/// An arrival at a sync point.
#[derive(Debug)]
struct Arrived {
    round: (String, u64),
    /// As it is said, and again on each new connection.
    line: Vec<u8>,
    synced: Option<Synced>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) iterations: AtomicU64,
    /// Pings are left unanswered: the idle module's way to play a hung test.
    pub(crate) muted: AtomicBool,
    stopping: AtomicBool,
    dump_wanted: AtomicBool,
    /// The machine is about to go away by an announcement.
    leaving: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    outbox: Mutex<Outbox>,
    wake: OwnedFd,
    pulses: OnceLock<Pulses>,
    /// How often parameters have changed: looked at before every iteration.
    parameter_changes: AtomicU64,
    /// Questions that are answered later.
    pub(crate) asks: Asks,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    delivered: bool,
    lost: bool,
    stop_deadline: Option<Instant>,
    peer_words: VecDeque<PeerWords>,
    dumps: VecDeque<Dump>,
    pulse_changes: u64,
    /// Parameters that were said since the start.
    parameters: BTreeMap<String, String>,
    /// Why the machine does not crash, once it was asked to.
    not_crashed: Option<String>,
    /// The newest announcement that the machine goes away, while it waits for its answer.
    announced: Option<Announced>,
    /// The newest arrival at a sync point.
    arrived: Option<Arrived>,
}

impl Shared {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            iterations: AtomicU64::new(0),
            muted: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            dump_wanted: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
            outbox: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            pulses: OnceLock::new(),
            parameter_changes: AtomicU64::new(0),
            asks: Asks::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn send(&self, line: Line) {
        self.outbox().push(line);
        self.wake();
    }

    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Makes the link's thread look again. The counter of an eventfd that is full wakes it as well.
    pub(crate) fn wake(&self) {
        let _: Result<usize, Errno> = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Forgets all wakes so far.
    pub(crate) fn settle(&self) {
        let mut count = [0; 8];
        let _: Result<usize, Errno> = rustix::io::read(&self.wake, &mut count);
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn stop_deadline(&self) -> Option<Instant> {
        self.state().stop_deadline
    }

    /// Asks the test to stop; a repeated one changes nothing.
    pub(crate) fn stop(&self, grace: Duration) {
        let mut state = self.state();
        let now = Instant::now();
        state.stop_deadline.get_or_insert_with(|| now.checked_add(grace).unwrap_or(now + GRACE));
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_all();
        self.asks.wake();
    }

    /// Every ping says so again, and wakes nobody then: a test that a pulse blocks is to sleep.
    pub(crate) fn started(&self) {
        if !std::mem::replace(&mut self.state().started, true) {
            self.changed.notify_all();
        }
    }

    pub(crate) fn delivered(&self) {
        self.state().delivered = true;
        self.changed.notify_all();
    }

    /// No agent will be reached any more: the test is asked to end.
    pub(crate) fn lost(&self) {
        self.state().lost = true;
        self.stop(GRACE);
    }

    /// Whether the agent said start; false when it was lost or the time is over.
    pub(crate) fn wait_for_start(&self, timeout: Duration) -> bool {
        let waiting = |state: &mut State| !state.started && !state.lost;
        let (state, _) =
            self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        state.started
    }

    /// Whether the agent has the done; false when it was lost or the time is over.
    pub(crate) fn wait_for_delivery(&self, timeout: Duration) -> bool {
        let waiting = |state: &mut State| !state.delivered && !state.lost;
        let (state, _) =
            self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        state.delivered
    }

    pub(crate) fn heard_peer(&self, words: PeerWords) {
        let mut state = self.state();
        if state.peer_words.len() >= PEER_WORDS_MAX {
            state.peer_words.pop_front();
        }
        state.peer_words.push_back(words);
        self.changed.notify_all();
    }

    pub(crate) fn want_dump(&self, dump: Dump) {
        let mut state = self.state();
        if state.dumps.len() < DUMPS_MAX {
            state.dumps.push_back(dump);
        }
        self.dump_wanted.store(true, Ordering::Release);
    }

    /// Cheap where nothing is asked for, so that it can be asked after every transfer.
    pub(crate) fn take_dump(&self) -> Option<Dump> {
        if !self.dump_wanted.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        let dump = state.dumps.pop_front();
        self.dump_wanted.store(!state.dumps.is_empty(), Ordering::Release);
        dump
    }

    /// The next words of a peer; none at the deadline, and none at once when a stop was asked for and nothing waits.
    pub(crate) fn hear_peer(&self, deadline: Instant) -> Option<PeerWords> {
        let waiting = |state: &mut State| state.peer_words.is_empty() && !self.stopping();
        let rest = deadline.saturating_duration_since(Instant::now());
        let (mut state, _) =
            self.changed.wait_timeout_while(self.state(), rest, waiting).unwrap_or_else(PoisonError::into_inner);
        state.peer_words.pop_front()
    }

    /// Takes parameters that are others from here on. Said again, as after each connection, they change nothing.
    pub(crate) fn set_parameters(&self, parameters: &BTreeMap<String, String>) {
        let mut state = self.state();
        if parameters.iter().all(|(name, value)| state.parameters.get(name) == Some(value)) {
            return;
        }
        state.parameters.extend(parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.parameter_changes.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    /// Begins an announcement.
    pub(crate) fn announce(&self, number: u64, line: Vec<u8>) {
        self.state().announced = Some(Announced { number, line, answer: None });
    }

    /// What is not answered yet.
    pub(crate) fn unanswered(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        let announced = state.announced.iter().filter(|announced| announced.answer.is_none());
        let arrived = state.arrived.iter().filter(|arrived| arrived.synced.is_none());
        let lines =
            announced.map(|announced| announced.line.clone()).chain(arrived.map(|arrived| arrived.line.clone()));
        lines.chain(self.asks.unanswered()).collect()
    }

    /// Begins to wait at a sync point.
    pub(crate) fn arrive(&self, round: (String, u64), line: Vec<u8>) {
        self.state().arrived = Some(Arrived { round, line, synced: None });
    }

    /// A round is over.
    pub(crate) fn synced(&self, round: &(String, u64), synced: Synced) {
        if let Some(arrived) = self.state().arrived.as_mut().filter(|arrived| arrived.round == *round) {
            arrived.synced = Some(synced);
        }
        self.changed.notify_all();
    }

    /// Waits for the end of the round, or for a stop.
    pub(crate) fn wait_for_round(&self) -> Option<Synced> {
        let waiting = |state: &mut State| {
            !self.stopping() && state.arrived.as_ref().is_some_and(|arrived| arrived.synced.is_none())
        };
        let state = self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.arrived.as_ref().and_then(|arrived| arrived.synced.clone())
    }

    /// An announcement is answered. From a leave on, signals are those of the machine that goes down.
    pub(crate) fn answered(&self, n: u64, answer: Result<(), String>) {
        let mut state = self.state();
        let is_granted = answer.is_ok();
        if let Some(announced) = state.announced.as_mut().filter(|announced| announced.number == n) {
            announced.answer = Some(answer);
            self.leaving.store(is_granted, Ordering::Release);
        }
        self.changed.notify_all();
    }

    /// This machine is about to go away.
    pub(crate) fn leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Waits for the answer to the newest announcement, or for a stop.
    pub(crate) fn wait_for_answer(&self) -> Result<(), String> {
        let waiting = |state: &mut State| {
            !self.stopping() && state.announced.as_ref().is_some_and(|announced| announced.answer.is_none())
        };
        let state = self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        let answer = state.announced.as_ref().and_then(|announced| announced.answer.clone());
        answer.unwrap_or_else(|| Err("the process was told to stop".to_owned()))
    }

    pub(crate) fn not_crashed(&self, why: &str) {
        self.state().not_crashed = Some(why.to_owned());
        self.changed.notify_all();
    }

    /// Waits for the end of the machine; why it does not come.
    pub(crate) fn wait_for_crash(&self, timeout: Duration) -> String {
        let waiting = |state: &mut State| state.not_crashed.is_none();
        let (mut state, _) =
            self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        state.not_crashed.take().unwrap_or_else(|| format!("the machine still lives after {} s", timeout.as_secs()))
    }

    /// How often parameters have changed.
    pub(crate) fn parameter_changes(&self) -> u64 {
        self.parameter_changes.load(Ordering::Acquire)
    }

    /// Parameters that were said since the start, and how often they had changed by then.
    pub(crate) fn changed_parameters(&self) -> (u64, BTreeMap<String, String>) {
        let state = self.state();
        (self.parameter_changes(), state.parameters.clone())
    }

    /// Waits, at most so long, for a stop or other parameters than those that were seen; true when a stop was asked for.
    pub(crate) fn wait_for_change(&self, timeout: Duration, seen: u64) -> bool {
        let waiting = |_: &mut State| !self.stopping() && self.parameter_changes() == seen;
        drop(self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner));
        self.stopping()
    }

    /// The pulses of this process; none where it has no page to look at.
    pub(crate) fn pulses(&self) -> Option<&Pulses> {
        self.pulses.get()
    }

    /// Gives it a page to look at, once.
    pub(crate) fn begin_pulses(&self, pulses: Pulses) {
        let _: Result<(), Pulses> = self.pulses.set(pulses);
    }

    /// The pulses, or their definitions, are others: who waits for an edge looks again.
    pub(crate) fn pulses_changed(&self) {
        self.state().pulse_changes += 1;
        self.changed.notify_all();
    }

    /// How often pulses have changed; read before they are looked at.
    pub(crate) fn pulse_changes(&self) -> u64 {
        self.state().pulse_changes
    }

    /// Waits until the time is over, a stop is asked for, or pulses have changed since they were looked at.
    pub(crate) fn wait_for_edge(&self, timeout: Duration, looked_at: u64) {
        let waiting = |state: &mut State| !self.stopping() && state.pulse_changes == looked_at;
        drop(self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits, at most so long, for a stop; true when it was asked for.
    pub(crate) fn wait_for_stop(&self, timeout: Duration) -> bool {
        let waiting = |_: &mut State| !self.stopping();
        drop(self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner));
        self.stopping()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// How often the calling thread has gone to sleep.
    fn sleeps() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a thread has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).expect("it counts")
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let begin = Instant::now();
        while !condition() {
            assert!(begin.elapsed() < LIMIT, "it does not come true");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_not_answered_is_said_again_on_the_next_connection() {
        let shared = Shared::new().expect("an eventfd");
        let round = ("here".to_owned(), 1);
        shared.announce(1, b"away".to_vec());
        shared.arrive(round.clone(), b"here".to_vec());
        assert_eq!(shared.unanswered(), [b"away", b"here"]);
        shared.answered(7, Ok(()));
        assert!(!shared.leaving(), "another announcement was answered");
        shared.answered(1, Ok(()));
        assert!(shared.leaving() && shared.wait_for_answer().is_ok());
        assert_eq!(shared.unanswered(), [b"here"]);
        let (no_voters, by, why) = (Vec::new(), String::new(), String::new());
        let synced = Synced { end: muster_module_protocol::SyncEnd::TimedOut, yes: 1, no: 0, no_voters, by, why };
        shared.synced(&round, synced.clone());
        assert_eq!((shared.wait_for_round(), shared.unanswered().len()), (Some(synced), 0));
        shared.answered(1, Err("it stayed".to_owned()));
        assert!(!shared.leaving());
    }

    #[test]
    fn a_ping_wakes_no_thread_that_a_pulse_blocks() {
        let shared = Arc::new(Shared::new().expect("an eventfd"));
        shared.started();
        let (sender, place) = std::sync::mpsc::channel();
        let gated = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let own = std::fs::read_link("/proc/thread-self").expect("a thread has a place");
            sender.send(std::path::Path::new("/proc").join(own)).expect("the test waits");
            let before = sleeps();
            gated.wait_for_edge(LIMIT, gated.pulse_changes());
            sleeps() - before
        });
        let stat = place.recv().expect("it lives").join("stat");
        let is_asleep = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "));
        for _ in 0..100 {
            wait_until(is_asleep);
            shared.started();
        }
        shared.pulses_changed();
        let slept = thread.join().expect("it ends");
        assert!(slept < 20, "it was woken {slept} times");
    }
}
