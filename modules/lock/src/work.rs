//! What the threads of a process share: who it is, what it counts, its history, and when it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use muster_pattern::name_hash;
use muster_sdk::{OnError, Session, float};

use crate::core::Writer;
use crate::history::History;
use crate::settings::Settings;
use crate::tally::Tally;
use crate::trouble::Trouble;

/// Stack of a taker, and of the server.
const STACK_BYTES: usize = 512 * 1024;
/// How often a pause looks for the end.
const LOOK: Duration = Duration::from_millis(100);
/// Reports of one process at most; what is found beyond is counted.
const REPORTS_MAX: u64 = 1_000;
/// Reports whose files are kept.
const KEPT_MAX: u64 = 64;

/// What is to be done about something wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Report it and keep its files.
    Files,
    /// Report it.
    Report,
    /// Count it.
    Count,
}

/// A process at work.
pub(crate) struct Work<'a> {
    pub(crate) session: &'a Session,
    pub(crate) settings: &'a Settings,
    pub(crate) writer: Writer,
    pub(crate) history: History,
    tally: Mutex<Tally>,
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    begin: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that live.
    threads: usize,
    /// Why the process ends, where that is not its stop or its time.
    trouble: Option<Trouble>,
    /// Wrong things that were found, and what the first was.
    found: u64,
    first: Option<String>,
    /// Of a server: its clients and the requests that wait there.
    clients: usize,
    waiting: usize,
}

impl<'a> Work<'a> {
    pub(crate) fn new(session: &'a Session, settings: &'a Settings) -> Self {
        Self {
            session,
            settings,
            writer: Writer { owner: session.owner(), machine: name_hash(&session.context().machine) },
            history: History::default(),
            tally: Mutex::new(Tally::new()),
            over: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
            begin: Instant::now(),
        }
    }

    /// A stop was asked for, its time is over, the server has ended, or there is trouble: to be looked at often.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.session.stopping()
    }

    /// Ends the work in order.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Ends it for a reason; the first one counts.
    pub(crate) fn fail(&self, trouble: Trouble) {
        self.state().trouble.get_or_insert(trouble);
        self.end();
    }

    /// Pauses, and returns early when it is over.
    pub(crate) fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while !pause.is_zero() && !self.is_over() {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() || self.session.wait(rest.min(LOOK)) {
                return;
            }
        }
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in something wrong.
    pub(crate) fn found(&self) -> Worth {
        self.tally().errors += 1;
        let mut state = self.state();
        state.found += 1;
        if state.found <= KEPT_MAX {
            Worth::Files
        } else if state.found <= REPORTS_MAX {
            Worth::Report
        } else {
            Worth::Count
        }
    }

    /// Notes what it was, once it was reported: the test ends, unless it is to go on.
    pub(crate) fn note(&self, what: String) {
        match self.session.on_error() {
            OnError::Report | OnError::Crash | OnError::Trigger(_) => self.fail(Trouble::Wrong(what)),
            OnError::Continue => drop(self.state().first.get_or_insert(what)),
        }
    }

    /// How it went, once all threads have ended.
    pub(crate) fn outcome(&self) -> Result<(), Trouble> {
        let mut state = self.state();
        if let Some(trouble) = state.trouble.take() {
            return Err(trouble);
        }
        let Some(first) = &state.first else { return Ok(()) };
        let (found, reported) = (state.found, state.found.min(REPORTS_MAX));
        Err(Trouble::Wrong(format!("{found} things were wrong, {reported} of them reported; the first: {first}")))
    }

    /// Of a server: how many clients it has, and how many requests wait.
    pub(crate) fn serves(&self, clients: usize, waiting: usize) {
        let mut state = self.state();
        (state.clients, state.waiting) = (clients, waiting);
    }

    /// Reports if it is time to, answers a trigger's wish for the history, and ends the work when its time is over.
    pub(crate) fn look_after(&self, duration: Option<Duration>) {
        let (clients, waiting) = {
            let state = self.state();
            (state.clients, state.waiting)
        };
        let levels = [("clients", float(clients as u64)), ("waiting_requests", float(waiting as u64))];
        self.tally().report(self.session, if clients > 0 { &levels } else { &[] });
        self.session.dump_if_asked(|| self.history.text());
        if duration.is_some_and(|duration| self.begin.elapsed() >= duration) {
            self.end();
        }
    }

    /// Starts a thread that belongs to the work. One that can not be started ends it.
    pub(crate) fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: &str,
        thread: impl FnOnce() -> Result<(), Trouble> + Send + 'scope,
    ) {
        self.state().threads += 1;
        let ended = |result: Result<(), Trouble>| {
            if let Err(trouble) = result {
                self.fail(trouble);
            }
            self.state().threads -= 1;
            self.changed.notify_all();
        };
        let builder = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = builder.spawn_scoped(scope, move || ended(thread())) {
            ended(Err(Trouble::Setting(format!("starting a thread failed: {error}"))));
        }
    }

    /// Waits until all threads have ended, so long at most; whether they have.
    pub(crate) fn wait_ended(&self, pause: Duration) -> bool {
        let living = |state: &mut State| state.threads > 0;
        let waited = self.changed.wait_timeout_while(self.state(), pause, living);
        waited.unwrap_or_else(PoisonError::into_inner).0.threads == 0
    }
}
