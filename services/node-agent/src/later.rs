//! What nobody waits for: done once nothing is done that somebody waits for, by a thread of low priority.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Starts and ends go on while the last was seen no longer ago than this.
const RUSH_LASTS: Duration = Duration::from_millis(500);
/// What can wait does so for at most so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether there still is a rush.
const RUSH_POLL: Duration = Duration::from_millis(50);
/// The lowest priority that still gets a share of a busy CPU: what waits must not wait for ever.
const NICE: i32 = 19;

/// When somebody was served last who waits: a start, an end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rush(Arc<Mutex<Option<Instant>>>);

impl Rush {
    /// Somebody is served now.
    pub(crate) fn goes_on(&self) {
        *self.0.lock().expect("no holder of this panics") = Some(Instant::now());
    }

    /// Nobody was for a while.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().expect("no holder of this panics").is_none_or(|last| last.elapsed() > RUSH_LASTS)
    }

    /// Waits until it is over; false when that takes too long.
    fn wait(&self) -> bool {
        let begun = Instant::now();
        while !self.is_over() {
            if begun.elapsed() >= PATIENCE {
                return false;
            }
            std::thread::sleep(RUSH_POLL);
        }
        true
    }
}

/// Things that wait to be done later, one after the other.
#[derive(Debug)]
pub(crate) struct Later<T> {
    waiting: Arc<Waiting<T>>,
    waiting_max: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    things: Mutex<VecDeque<T>>,
    left: Condvar,
}

impl<T: Send + 'static> Later<T> {
    /// Starts the thread that does them. So many wait at most.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn start(
        name: &str,
        waiting_max: usize,
        rush: Rush,
        act: impl FnMut(T) + Send + 'static,
    ) -> io::Result<Self> {
        let waiting = Arc::new(Waiting { things: Mutex::default(), left: Condvar::new() });
        let later = Self { waiting: waiting.clone(), waiting_max };
        std::thread::Builder::new().name(name.into()).spawn(move || run(&waiting, &rush, act))?;
        Ok(later)
    }

    /// Leaves a thing to be done; false when too many wait.
    pub(crate) fn leave(&self, thing: T) -> bool {
        let mut things = self.waiting.lock();
        let has_room = things.len() < self.waiting_max;
        if has_room {
            things.push_back(thing);
            // Who works off a queue looks by itself whether there is more.
            if things.len() == 1 {
                self.waiting.left.notify_one();
            }
        }
        has_room
    }
}

impl<T> Waiting<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.things.lock().expect("no holder of this panics")
    }

    fn wait(&self) {
        let things = self.lock();
        drop(self.left.wait_while(things, |things| things.is_empty()).expect("no holder of this panics"));
    }

    fn next(&self) -> Option<T> {
        self.lock().pop_front()
    }
}

fn run<T>(waiting: &Waiting<T>, rush: &Rush, mut act: impl FnMut(T)) {
    // On Linux this is the thread's own; it fails only where it is as low already.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        waiting.wait();
        let was_quiet = rush.wait();
        // A rush that begins now comes first again; in one that does not end, those have their turn that wait by now.
        let count = waiting.lock().len();
        for _ in 0..count {
            let Some(thing) = waiting.next() else { break };
            act(thing);
            if was_quiet && !rush.is_over() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_rush_is_over_a_while_after_the_last_who_waited() {
        let rush = Rush::default();
        assert!(rush.is_over(), "nobody was served yet");
        rush.goes_on();
        assert!(!rush.is_over());
        *rush.0.lock().expect("nobody panics") = Instant::now().checked_sub(RUSH_LASTS * 2);
        assert!(rush.is_over());
    }

    #[test]
    fn what_can_wait_is_done_in_order_and_only_after_the_rush() {
        let rush = Rush::default();
        rush.goes_on();
        let (done, results) = sync_channel(4);
        let seen = rush.clone();
        let act = move |thing: u32| done.send((thing, seen.is_over())).expect("the test listens");
        let later = Later::start("later", 2, rush, act).expect("a thread");
        assert!(later.leave(1));
        let mut left = 0;
        while left < 3 && later.leave(2) {
            left += 1;
        }
        assert!(left <= 2, "no more wait than may");
        assert_eq!(results.recv_timeout(PATIENCE * 4), Ok((1, true)));
        assert_eq!(results.recv_timeout(PATIENCE * 4), Ok((2, true)));
    }
}
