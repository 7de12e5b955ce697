//! The work: packets on all streams until the end, over as many connections as it takes.
//!
//! A stream has two threads, its sender and its receiver. They end together: the sender says `Finish` after its last packet, the
//! receiver compares, and each end tells the other what it received. A `Finish` of the peer makes this end finish as well, so one
//! stop ends both. What breaks is met again (`meeting`), and goes on where the receivers stand.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use muster_sdk::{Live, Session};

use crate::flow::Flow;
use crate::meeting::{FIRST_MEETING_MAX, Joined, Meeting, NEXT_MEETING_MAX};
use crate::receiver::Receiver;
use crate::record::End;
use crate::sender::Sender;
use crate::settings::{Limits, Settings};
use crate::socket;
use crate::stream::Stream;
use crate::tally::Tally;
use crate::trouble::Trouble;

/// How often the connections are looked after.
const TICK: Duration = Duration::from_millis(200);
/// How long the end of a talk may take: what is on its way must arrive.
const END_MAX: Duration = Duration::from_secs(12);
/// Time before the process is killed that is left for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Stack of a sender and of a receiver.
const STACK_BYTES: usize = 256 * 1024;

/// Connections one after another that carry nothing, before the test gives up.
const FRUITLESS_MAX: u32 = 10;

const GOING: u8 = 0;
const ENDING: u8 = 1;
const BROKEN: u8 = 2;

/// Why a thread of a stream is over before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Data were corrupt, here or at the peer.
    Corrupt(String),
    /// The connection broke.
    Lost(String),
}

/// What the threads of all streams share, for as long as their connections live.
#[derive(Debug)]
pub(crate) struct Talk {
    phase: AtomicU8,
    /// Most bytes a second of one stream that we send; 0 without a limit.
    stream_rate_max: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// What our receivers found, once they are done.
    received: Vec<Option<End>>,
    /// Threads that live.
    threads: usize,
    /// The end was due before anything broke.
    ended: bool,
    failure: Option<Failure>,
}

impl Talk {
    fn new(streams: usize, stream_rate_max: u64) -> Self {
        let state = State { received: vec![None; streams], threads: 0, ended: false, failure: None };
        Self {
            phase: AtomicU8::new(GOING),
            stream_rate_max: AtomicU64::new(stream_rate_max),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether packets go on.
    pub(crate) fn is_going(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == GOING
    }

    fn is_broken(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == BROKEN
    }

    /// Asks all senders to finish.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        if self.is_going() {
            self.phase.store(ENDING, Ordering::Relaxed);
            state.ended = true;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Gives the connections up.
    fn break_off(&self, reason: &str) {
        self.fail(&mut self.state(), Failure::Lost(reason.to_owned()));
        self.changed.notify_all();
    }

    /// Most bytes a second of one stream that we send; 0 without a limit.
    pub(crate) fn stream_rate_max(&self) -> u64 {
        self.stream_rate_max.load(Ordering::Relaxed)
    }

    /// Has another limit from here on: who waits for its turn looks again.
    fn set_stream_rate_max(&self, rate: u64) {
        let state = self.state();
        self.stream_rate_max.store(rate, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits, at most so long, while packets go on under this limit.
    pub(crate) fn wait_while_going(&self, timeout: Duration, stream_rate_max: u64) {
        let going = |_: &mut State| self.is_going() && self.stream_rate_max() == stream_rate_max;
        drop(self.changed.wait_timeout_while(self.state(), timeout, going).unwrap_or_else(PoisonError::into_inner));
    }

    /// Says what a stream's receiver found.
    pub(crate) fn received(&self, stream: usize, end: End) {
        self.state().received[stream] = Some(end);
        self.changed.notify_all();
    }

    /// What a stream's receiver found, once it is done; none where the connection broke before.
    pub(crate) fn wait_received(&self, stream: usize) -> Option<End> {
        let waiting = |state: &mut State| state.received[stream].is_none() && !self.is_broken();
        let state = self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.received[stream].clone()
    }

    fn begin_thread(&self) {
        self.state().threads += 1;
    }

    fn end_thread(&self, result: Result<(), Failure>) {
        let mut state = self.state();
        state.threads -= 1;
        if let Err(failure) = result {
            self.fail(&mut state, failure);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Corruption outweighs a connection that broke, which may come of it; else what was first counts.
    fn fail(&self, state: &mut State, failure: Failure) {
        if matches!(failure, Failure::Lost(_)) {
            self.phase.store(BROKEN, Ordering::Relaxed);
        }
        let weighs = match (&state.failure, &failure) {
            (None, _) | (Some(Failure::Lost(_)), Failure::Corrupt(_)) => true,
            (Some(Failure::Corrupt(_)), _) | (Some(Failure::Lost(_)), Failure::Lost(_)) => false,
        };
        if weighs {
            state.failure = Some(failure);
        }
    }

    /// Waits, at most so long, for the end of all threads; true when they are over.
    fn wait_over(&self, timeout: Duration) -> bool {
        let waiting = |state: &mut State| state.threads > 0 && !self.is_broken();
        let (state, _) =
            self.changed.wait_timeout_while(self.state(), timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        state.threads == 0
    }

    /// How it ended, and whether that was due.
    fn result(&self) -> (Option<Failure>, bool) {
        let state = self.state();
        (state.failure.clone(), state.ended)
    }
}

/// What one process has for all its talks.
struct Process<'a, 'm> {
    session: &'a Session,
    settings: &'a Settings,
    limits: Live<Limits>,
    meeting: &'m mut Meeting<'a>,
    tally: &'m mut Tally,
}

/// Meets the peer and works until the end is due.
pub(crate) fn run<'a>(
    session: &'a Session,
    settings: &'a Settings,
    meeting: &mut Meeting<'a>,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    let limits = Live::new(session, Limits::read)?;
    let mut process = Process { session, settings, limits, meeting, tally };
    let mut joined = process.meeting.meet(&process.tally.next_packets(), FIRST_MEETING_MAX)?;
    session.ready();
    process.tally.begin();
    let (mut fruitless, mut before) = (0, None);
    loop {
        let Some(reason) = process.talk(&joined)? else { return Ok(()) };
        session.event("connection_lost", &reason);
        eprintln!("lost the connection: {reason}");
        if fruitless >= FRUITLESS_MAX {
            let peer = process.meeting.peer();
            return Err(Trouble::Gone(format!("connections to peer {peer} break at once: {reason}")));
        }
        joined = process.meeting.meet(&process.tally.next_packets(), NEXT_MEETING_MAX)?;
        process.tally.reconnects += 1;
        let stands = process.tally.received() + joined.hellos.iter().map(|hello| hello.next).sum::<u64>();
        fruitless = if before.replace(stands) == Some(stands) { fruitless + 1 } else { 0 };
    }
}

impl Process<'_, '_> {
    /// One talk, over connections that were met; why they broke, or none at the end.
    fn talk(&mut self, joined: &Joined) -> Result<Option<String>, Trouble> {
        let talk = Talk::new(joined.sockets.len(), self.limits.stream_rate_max(joined.sockets.len()));
        let (streams, peer, own) = (Arc::clone(&self.tally.streams), self.meeting.peer(), self.meeting.writer());
        let (session, settings) = (self.session, self.settings);
        std::thread::scope(|scope| {
            for (number, (socket, hello)) in joined.sockets.iter().zip(&joined.hellos).enumerate() {
                let line = Line { session, settings, talk: &talk, socket, stream: &streams[number], number };
                let outgoing = Flow::new(own, settings.role, number, settings.packet_bytes);
                let incoming = Flow::new(hello.writer, settings.role.other(), number, settings.packet_bytes);
                let (next, peer, same_clock) = (hello.next, peer.as_str(), joined.same_clock);
                start(scope, &talk, move || Sender::new(line, outgoing, next).run());
                start(scope, &talk, move || Receiver::new(line, incoming, peer, same_clock).run());
            }
            self.look_after(&talk, &joined.sockets);
        });
        self.tally.close(session, &joined.sockets);
        match talk.result() {
            (None, _) => Ok(None),
            (Some(Failure::Corrupt(reason)), _) => Err(Trouble::Corrupt(reason)),
            (Some(Failure::Lost(reason)), false) => Ok(Some(reason)),
            (Some(Failure::Lost(reason)), true) => {
                Err(Trouble::Gone(format!("peer {peer} is gone: it did not say what it received: {reason}")))
            }
        }
    }

    /// Until all threads are over: reports, answers the peer's words, and sees to it that the end comes and does not take too long.
    fn look_after(&mut self, talk: &Talk, sockets: &[TcpStream]) {
        let mut ending = None;
        while !talk.wait_over(TICK) && !talk.is_broken() {
            self.tally.report(self.session, sockets);
            if self.limits.follow(self.session) {
                talk.set_stream_rate_max(self.limits.stream_rate_max(sockets.len()));
            }
            if self.meeting.attend() {
                talk.break_off("the peer connects anew");
            }
            if self.is_due() {
                talk.end();
            }
            if !talk.is_going() && self.is_late(*ending.get_or_insert_with(Instant::now)) {
                talk.break_off(&format!("it did not end within {} s", END_MAX.as_secs()));
            }
        }
        if talk.is_broken() {
            sockets.iter().for_each(socket::end);
        }
    }

    fn is_due(&self) -> bool {
        self.session.stopping() || self.limits.duration.is_some_and(|duration| self.tally.elapsed() >= duration)
    }

    /// Whether an end that began then has taken too long.
    fn is_late(&self, began: Instant) -> bool {
        let now = Instant::now();
        let killed_soon = self.session.stop_deadline().is_some_and(|deadline| now + LAST_WORDS >= deadline);
        killed_soon || now.duration_since(began) >= END_MAX
    }
}

/// What both threads of a stream have in hand.
#[derive(Clone, Copy)]
pub(crate) struct Line<'t> {
    pub(crate) session: &'t Session,
    pub(crate) settings: &'t Settings,
    pub(crate) talk: &'t Talk,
    pub(crate) socket: &'t TcpStream,
    pub(crate) stream: &'t Stream,
    pub(crate) number: usize,
}

/// Starts a thread of a stream; one that can not be started is a connection that breaks.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    talk: &'scope Talk,
    work: impl FnOnce() -> Result<(), Failure> + Send + 'scope,
) {
    talk.begin_thread();
    let thread = Builder::new().name("muster-tcp-line".into()).stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn_scoped(scope, move || talk.end_thread(work())) {
        talk.end_thread(Err(Failure::Lost(format!("starting a thread failed: {error}"))));
    }
}
