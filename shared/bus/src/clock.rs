//! The pool clock as this process follows it: CLOCK_BOOTTIME plus an offset that is slewed by at most 500 ppm. A clock may be made to
//! run on a source that is ahead, so that a lab can set the clocks of machines apart that share one host's.
//!
//! Not responsible for where the time comes from: a follower feeds [`Clock::observe`], the scheduler's leader feeds nothing.

use std::sync::Mutex;
use std::time::Duration;

use muster_model::PoolTime;

/// Greatest slew, parts per million.
const SLEW_PPM_MAX: i64 = 500;
/// Answers that the best is chosen of.
const SAMPLES_KEPT: usize = 8;

#[derive(Debug)]
struct State {
    /// Offset now applied to CLOCK_BOOTTIME, nanoseconds.
    offset: i64,
    /// Offset that the clock is slewing to, nanoseconds.
    target: i64,
    /// CLOCK_BOOTTIME at which `offset` was last advanced, nanoseconds.
    advanced: i64,
    /// Whether the pool's time was ever heard.
    set: bool,
    /// Newest observations: (round trip, offset, boot time of the observation).
    samples: Vec<(i64, i64, i64)>,
    /// No time below this is ever given.
    floor: i64,
}

/// A clock that follows the pool's.
#[derive(Debug)]
pub struct Clock {
    state: Mutex<State>,
    /// How far its source is ahead of CLOCK_BOOTTIME, nanoseconds.
    ahead: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// CLOCK_BOOTTIME, nanoseconds: goes on through suspend, is never set.
#[must_use]
pub fn boot_time() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

impl Clock {
    /// A clock that starts from this machine's wall time and follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::ahead(0)
    }

    /// As [`Clock::new`], of a machine whose clocks are ahead by so many nanoseconds.
    #[must_use]
    pub fn ahead(ahead: i64) -> Self {
        let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let boot = boot_time();
        let offset = wall.tv_sec * 1_000_000_000 + wall.tv_nsec - boot;
        let state = State { offset, target: offset, advanced: boot + ahead, set: false, samples: Vec::new(), floor: 0 };
        Self { state: Mutex::new(state), ahead }
    }

    /// The pool time now. Never goes back.
    #[must_use]
    pub fn now(&self) -> PoolTime {
        let mut state = self.lock();
        let boot = self.source();
        advance(&mut state, boot);
        state.floor = state.floor.max(boot + state.offset);
        PoolTime(state.floor)
    }

    /// The pool time is at least `time`: a new leader continues above the last event of its log.
    pub fn raise_floor(&self, time: PoolTime) {
        let mut state = self.lock();
        state.floor = state.floor.max(time.0);
    }

    /// The pool's time was heard, or begun here.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().set
    }

    /// Begins the pool's time with `time`: what a leader does that has nobody to follow.
    pub fn begin(&self, time: PoolTime) {
        let mut state = self.lock();
        let boot = self.source();
        (state.offset, state.target) = (time.0 - boot, time.0 - boot);
        (state.advanced, state.floor, state.set) = (boot, time.0, true);
    }

    /// Takes one answer of the pool clock: `time` was read between the boot times of asking and hearing, `round_trip` apart and
    /// ending now. The answer with the least round trip of the newest eight wins.
    pub fn observe(&self, time: PoolTime, round_trip: Duration) {
        let mut state = self.lock();
        let boot = self.source();
        advance(&mut state, boot);
        let round_trip = i64::try_from(round_trip.as_nanos()).unwrap_or(i64::MAX / 4);
        let offset = time.0 + round_trip / 2 - boot;
        if state.samples.len() == SAMPLES_KEPT {
            state.samples.remove(0);
        }
        state.samples.push((round_trip, offset, boot));
        let best = state.samples.iter().min_by_key(|sample| sample.0).map_or(offset, |sample| sample.1);
        state.target = best;
        if !state.set {
            state.offset = best;
            state.set = true;
        }
    }

    /// Half of the least round trip that the time rests on; none before the pool's time was heard.
    #[must_use]
    pub fn error(&self) -> Option<Duration> {
        let state = self.lock();
        let best = state.samples.iter().map(|sample| sample.0).min()?;
        Some(Duration::from_nanos(u64::try_from(best / 2).unwrap_or(0)))
    }

    /// What this clock measures with.
    fn source(&self) -> i64 {
        boot_time() + self.ahead
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the clock panics")
    }
}

/// Moves the offset towards its target by what the slew allows since it was last moved.
fn advance(state: &mut State, boot: i64) {
    let allowed = (boot - state.advanced).max(0) / 1_000_000 * SLEW_PPM_MAX;
    if allowed > 0 || state.offset == state.target {
        state.offset += (state.target - state.offset).clamp(-allowed, allowed);
        state.advanced = boot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_steps_and_later_ones_slew() {
        let clock = Clock::new();
        let ahead = clock.now() + Duration::from_secs(3600);
        clock.observe(ahead, Duration::ZERO);
        assert!(clock.now() >= ahead);
        let before = clock.now();
        clock.observe(before + Duration::from_secs(100), Duration::ZERO);
        assert!(clock.now().since(before) < Duration::from_secs(1), "a later answer does not step");
    }

    #[test]
    fn clocks_that_are_set_apart_agree_once_they_heard_the_time() {
        let right = Clock::new();
        for milliseconds in [-700, 700] {
            let wrong = || Clock::ahead(milliseconds * 1_000_000);
            let apart = wrong().now().0 - right.now().0;
            assert!((apart / 1_000_000 - milliseconds).abs() < 100, "{apart} ns apart");
            let wrong = wrong();
            wrong.observe(right.now(), Duration::ZERO);
            let apart = wrong.now().0 - right.now().0;
            assert!(apart.abs() < 100_000_000, "{apart} ns apart");
        }
    }

    #[test]
    fn a_time_that_is_begun_goes_on_from_there() {
        for hours in [-48_i64, 48] {
            let clock = Clock::new();
            assert!(!clock.is_set());
            let begun = PoolTime(clock.now().0 + hours * 3_600_000_000_000);
            clock.begin(begun);
            assert!(clock.is_set());
            let (first, boot) = (clock.now(), boot_time());
            assert!(first >= begun && first.since(begun) < Duration::from_secs(1));
            while boot_time() < boot + 2_000_000 {}
            assert!(clock.now().since(first) >= Duration::from_millis(1), "it goes");
        }
    }

    #[test]
    fn time_never_goes_back() {
        let clock = Clock::new();
        let floor = clock.now() + Duration::from_secs(10);
        clock.raise_floor(floor);
        clock.observe(PoolTime(1), Duration::ZERO);
        assert!(clock.now() >= floor);
    }
}
