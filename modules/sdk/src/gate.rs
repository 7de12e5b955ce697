//! The gate: a test goes on while all of its pulses are free. Every process computes the edges itself, from the pulse page of its
//! machine, and sleeps until then; so they go on with the agent gone, and nothing polls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_model::{PoolTime, PulseNumber};
use muster_module_protocol::{Context, ModuleMessage};
use muster_pulse_page::{PulsePage, Seen};

use crate::latency::Latency;
use crate::shared::Shared;

/// Stack of the thread that sleeps until the page changes.
const WATCH_STACK_BYTES: usize = 64 * 1024;

/// The pulses of a process.
#[derive(Debug)]
pub(crate) struct Pulses {
    page: PulsePage,
    numbers: Mutex<Vec<PulseNumber>>,
    /// It has pulses: looked at before each iteration.
    gated: AtomicBool,
    watched: AtomicBool,
    tally: Mutex<Tally>,
}

/// What became of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gated {
    /// It was free.
    Free,
    /// It was blocked, and is free now, or a stop was asked for.
    Waited,
    /// It is blocked still.
    Blocked,
}

/// How long pulses have blocked.
#[derive(Debug, Default)]
struct Tally {
    /// Time with pulses, and since when it has some.
    gated: Duration,
    gated_since: Option<Instant>,
    /// Time blocked, and since when threads are that are now, and how many.
    blocked: Duration,
    blocked_since: Option<Instant>,
    waiting: u32,
    /// From an edge until the process goes on; of the time since it was told last.
    late: Option<Latency>,
}

impl Pulses {
    fn new(page: PulsePage, numbers: &[u8]) -> Self {
        let pulses = Self {
            page,
            numbers: Mutex::default(),
            gated: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            tally: Mutex::default(),
        };
        pulses.set(numbers);
        pulses
    }

    fn set(&self, numbers: &[u8]) {
        *self.numbers.lock().unwrap_or_else(PoisonError::into_inner) =
            numbers.iter().copied().map(PulseNumber).collect();
        self.gated.store(!numbers.is_empty(), Ordering::Release);
        let (mut tally, now) = (self.tally(), Instant::now());
        if let Some(since) = tally.gated_since.take() {
            tally.gated += now - since;
        }
        tally.gated_since = (!numbers.is_empty()).then_some(now);
    }

    fn look(&self) -> Seen {
        self.page.look(&self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn begin(&mut self) {
        self.waiting += 1;
        self.blocked_since.get_or_insert_with(Instant::now);
    }

    fn end(&mut self, late: Option<Duration>) {
        self.waiting -= 1;
        if self.waiting == 0
            && let Some(since) = self.blocked_since.take()
        {
            self.blocked += since.elapsed();
        }
        if let Some(late) = late {
            self.late.get_or_insert_default().record(late);
        }
    }

    /// Counters and gauges; none for a process that never had pulses.
    fn metric(&mut self) -> Option<ModuleMessage> {
        let total = |sum: Duration, since: Option<Instant>| {
            (sum + since.map_or(Duration::ZERO, |at| at.elapsed())).as_secs_f64()
        };
        let gated = total(self.gated, self.gated_since);
        if gated == 0.0 {
            return None;
        }
        let blocked = total(self.blocked, self.blocked_since);
        let counters = [("blocked_seconds".to_owned(), blocked), ("gated_seconds".to_owned(), gated)];
        let mut gauges = BTreeMap::new();
        if let Some(late) = self.late.as_mut().filter(|late| !late.is_empty()) {
            gauges.insert("pulse_late_p50_seconds".to_owned(), late.percentile_seconds(50));
            gauges.insert("pulse_late_max_seconds".to_owned(), late.greatest_seconds());
            late.clear();
        }
        Some(ModuleMessage::Metric { device: String::new(), counters: counters.into(), gauges })
    }
}

/// Maps the page that the context names. A process without one is never gated.
pub(crate) fn begin(shared: &Arc<Shared>, context: &Context) -> std::io::Result<()> {
    if context.pulse_page.is_empty() {
        return Ok(());
    }
    match PulsePage::open(Path::new(&context.pulse_page)) {
        Ok(page) => {
            shared.begin_pulses(Pulses::new(page, &context.pulses));
            if context.pulses.is_empty() { Ok(()) } else { watch(shared) }
        }
        Err(error) => {
            eprintln!(
                "muster: the pulse page {} can not be read: {error}; this process goes on free",
                context.pulse_page
            );
            Ok(())
        }
    }
}

/// Sleeps until the page changes, again and again, and wakes who waits for an edge: from the first pulse on.
fn watch(shared: &Arc<Shared>) -> std::io::Result<()> {
    let Some(pulses) = shared.pulses() else { return Ok(()) };
    if pulses.watched.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let watched = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("muster-pulses".to_owned()).stack_size(WATCH_STACK_BYTES);
    let watching = move || {
        let Some(pulses) = watched.pulses() else { return };
        let mut seen = pulses.page.look(&[]);
        loop {
            pulses.page.wait_changed(&seen);
            let now = pulses.page.look(&[]);
            if now != seen {
                seen = now;
                watched.pulses_changed();
            }
        }
    };
    thread.spawn(watching).map(drop)
}

impl Shared {
    /// The process has these pulses from here on.
    pub(crate) fn set_pulses(self: &Arc<Self>, numbers: &[u8]) {
        let Some(pulses) = self.pulses() else { return };
        pulses.set(numbers);
        if !numbers.is_empty()
            && let Err(error) = watch(self)
        {
            eprintln!("muster: changes of pulses take effect at the next edge only: {error}");
        }
        self.pulses_changed();
    }

    pub(crate) fn is_blocked(&self) -> bool {
        let gated = self.pulses().filter(|pulses| pulses.gated.load(Ordering::Acquire) && !self.stopping());
        gated.is_some_and(|pulses| {
            let seen = pulses.look();
            seen.blocks(seen.now())
        })
    }

    /// Waits until all pulses are free, a stop is asked for, or the deadline.
    pub(crate) fn gate_until(&self, deadline: Option<Instant>) -> Gated {
        let gated = self.pulses().filter(|pulses| pulses.gated.load(Ordering::Acquire));
        let Some(pulses) = gated else { return Gated::Free };
        let (mut waited, mut edge) = (false, None);
        loop {
            let changes = self.pulse_changes();
            let seen = pulses.look();
            let now = seen.now();
            let free = seen.free_from(now);
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if free == now || self.stopping() || late {
                let is_free = free == now;
                if waited {
                    let edge: Option<PoolTime> = edge.filter(|_| is_free && !self.stopping());
                    pulses.tally().end(edge.map(|edge| now.since(edge)));
                }
                return match (is_free || self.stopping(), waited) {
                    (false, _) => Gated::Blocked,
                    (true, true) => Gated::Waited,
                    (true, false) => Gated::Free,
                };
            }
            if !waited {
                pulses.tally().begin();
                waited = true;
            }
            let rest = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            self.wait_for_edge(free.since(now).min(rest), changes);
            // An edge that a change has moved says nothing of how late this is.
            edge = (self.pulse_changes() == changes).then_some(free);
        }
    }

    /// Waits, at most so long, until a pulse begins to block.
    pub(crate) fn wait_for_block(&self, pause: Duration) {
        let changes = self.pulse_changes();
        let rest = match self.pulses().filter(|pulses| pulses.gated.load(Ordering::Acquire)) {
            Some(pulses) => {
                let seen = pulses.look();
                let now = seen.now();
                seen.blocked_from(now).map_or(pause, |edge| edge.since(now).min(pause))
            }
            None => pause,
        };
        self.wait_for_edge(rest, changes);
    }

    /// What its pulses came to, to be said to the agent; none for a process that never had some.
    pub(crate) fn take_blocked(&self) -> Option<ModuleMessage> {
        self.pulses()?.tally().metric()
    }
}
