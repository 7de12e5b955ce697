//! Whose request is next, and whose has to wait: a line for each identity, served in turn, and a rate for each. Pure: time is passed in.
//!
//! One who floods fills a line of its own and is refused beyond it; the others' lines are as short as ever. Everything is bounded: lines,
//! requests in them, their bytes, and how many refusals are said, for saying them is work too.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// What each identity may ask of one verb of one service. Services themselves have no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests per second, for as long as one likes.
    pub per_second: u32,
    /// Requests at once, after a pause.
    pub burst: u32,
    /// Requests that are worked on at once.
    pub at_once: usize,
}

impl Default for RequestLimits {
    /// More than people and their scripts need, one request after the other.
    fn default() -> Self {
        Self { per_second: 100, burst: 500, at_once: 64 }
    }
}

/// Requests of one identity that wait.
const LINE_MAX: usize = 1_024;
/// Requests that wait of who has no rate, and of everybody together.
const WAITING_MAX: usize = 65_536;
/// Bytes that wait, of one identity and of everybody.
const LINE_BYTES_MAX: usize = 8 << 20;
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Refusals that one identity is told per second; beyond them it hears nothing.
const TOLD_PER_SECOND: u32 = 50;
/// Lines are looked through for idle ones when there are so many, and then at twice of what stays.
const LINES_TIDY: usize = 1_024;

/// A rate with a burst: when the next one would be due if all came evenly.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    due: Duration,
}

impl Rate {
    /// Takes one, or says how long to wait for it.
    fn take(&mut self, per_second: u32, burst: u32, now: Duration) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / per_second.max(1);
        let due = self.due.max(now);
        let early = due - now;
        let most = each * (burst.max(1) - 1);
        if early > most {
            return Err(early - most);
        }
        self.due = due + each;
        Ok(())
    }
}

/// The requests of one identity.
#[derive(Debug)]
struct Line<T> {
    rate: Rate,
    told: Rate,
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    /// Requests that are worked on.
    in_hand: usize,
    /// It has its place in the turn.
    in_turn: bool,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        let (rate, told) = (Rate::default(), Rate::default());
        Self { rate, told, waiting: VecDeque::new(), bytes: 0, in_hand: 0, in_turn: false }
    }
}

/// The lines of one verb.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    limits: RequestLimits,
    lines: HashMap<Arc<str>, Line<T>>,
    turn: VecDeque<Arc<str>>,
    waiting: usize,
    bytes: usize,
    tidy_at: usize,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered<T> {
    /// It waits for its turn.
    Waits,
    /// There are too many of its identity; it may come again after this.
    Refused(T, Duration),
    /// So many of its identity were refused that it is not even told.
    Dropped,
}

impl<T> Lines<T> {
    pub(crate) fn new(limits: RequestLimits) -> Self {
        let (lines, turn) = (HashMap::new(), VecDeque::new());
        Self { limits, lines, turn, waiting: 0, bytes: 0, tidy_at: LINES_TIDY }
    }

    /// A request of `who` comes; `is_limited` where it has a rate.
    pub(crate) fn offer(&mut self, who: &str, is_limited: bool, request: (T, usize), now: Duration) -> Offered<T> {
        let (limits, (waiting, bytes)) = (self.limits, (self.waiting, self.bytes));
        let (who, line) = self.line(who, now);
        let (most, bytes_most) = if is_limited { (LINE_MAX, LINE_BYTES_MAX) } else { (WAITING_MAX, WAITING_BYTES_MAX) };
        let is_full = line.waiting.len() >= most
            || line.bytes.saturating_add(request.1) > bytes_most
            || waiting >= WAITING_MAX
            || bytes.saturating_add(request.1) > WAITING_BYTES_MAX;
        let taken = match is_full {
            true => Err(Duration::from_secs(1)),
            false if is_limited => line.rate.take(limits.per_second, limits.burst, now),
            false => Ok(()),
        };
        if let Err(again) = taken {
            return match line.told.take(TOLD_PER_SECOND, TOLD_PER_SECOND, now) {
                Ok(()) => Offered::Refused(request.0, again),
                Err(_) => Offered::Dropped,
            };
        }
        line.bytes += request.1;
        self.waiting += 1;
        self.bytes += request.1;
        let line = self.lines.get_mut(&who).expect("it was found or made above");
        line.waiting.push_back(request);
        if !line.in_turn {
            line.in_turn = true;
            self.turn.push_back(who);
        }
        Offered::Waits
    }

    /// The next request, in turn; it is worked on until [`Lines::done`].
    pub(crate) fn next(&mut self) -> Option<(Arc<str>, T)> {
        while let Some(who) = self.turn.pop_front() {
            let Some(line) = self.lines.get_mut(&who) else { continue };
            line.in_turn = false;
            // It comes back into the turn when one of its requests is done.
            if line.in_hand >= self.limits.at_once {
                continue;
            }
            let Some((request, size)) = line.waiting.pop_front() else { continue };
            line.bytes -= size;
            line.in_hand += 1;
            (self.waiting, self.bytes) = (self.waiting - 1, self.bytes - size);
            if !line.waiting.is_empty() {
                line.in_turn = true;
                self.turn.push_back(who.clone());
            }
            return Some((who, request));
        }
        None
    }

    /// A request of `who` is answered, or will not be. True where another of them can be taken now.
    pub(crate) fn done(&mut self, who: &Arc<str>) -> bool {
        let Some(line) = self.lines.get_mut(who) else { return false };
        line.in_hand = line.in_hand.saturating_sub(1);
        if line.waiting.is_empty() || line.in_turn {
            return false;
        }
        line.in_turn = true;
        self.turn.push_back(who.clone());
        true
    }

    fn line(&mut self, who: &str, now: Duration) -> (Arc<str>, &mut Line<T>) {
        let known = self.lines.get_key_value(who).map(|(who, _)| who.clone());
        let who = known.unwrap_or_else(|| {
            self.tidy(now);
            who.into()
        });
        let line = self.lines.entry(who.clone()).or_default();
        (who, line)
    }

    /// Forgets who asks nothing any more and has the whole of its rate.
    fn tidy(&mut self, now: Duration) {
        if self.lines.len() < self.tidy_at {
            return;
        }
        self.lines.retain(|_, line| !line.waiting.is_empty() || line.in_hand > 0 || line.rate.due > now);
        self.tidy_at = LINES_TIDY.max(self.lines.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { per_second: 10, burst: 5, at_once: 2 };

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn lines() -> Lines<u32> {
        Lines::new(LIMITS)
    }

    fn offer(lines: &mut Lines<u32>, who: &str, number: u32, now: Duration) -> Offered<u32> {
        lines.offer(who, true, (number, 100), now)
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate_and_who_is_refused_is_told_when() {
        let mut lines = lines();
        for number in 0..5 {
            assert_eq!(offer(&mut lines, "user.anna", number, at(0)), Offered::Waits);
        }
        assert_eq!(offer(&mut lines, "user.anna", 5, at(0)), Offered::Refused(5, at(100)));
        assert_eq!(offer(&mut lines, "user.anna", 5, at(60)), Offered::Refused(5, at(40)));
        assert_eq!(offer(&mut lines, "user.anna", 5, at(100)), Offered::Waits, "when it was told to");
        assert_eq!(offer(&mut lines, "user.bert", 0, at(0)), Offered::Waits, "others have their own");
        let mut taken = 0;
        for now in 0..10_000 {
            taken += u32::from(offer(&mut lines, "user.cleo", now, at(1_000 + u64::from(now))) == Offered::Waits);
        }
        assert_eq!(taken, 5 + 99, "ten seconds of ten a second, after a burst");
    }

    #[test]
    fn who_floods_waits_behind_nobody_but_itself() {
        let mut lines = Lines::new(RequestLimits { per_second: 1_000_000, burst: 1_000_000, at_once: 1_000 });
        for number in 0..500 {
            assert_eq!(offer(&mut lines, "user.flood", number, at(0)), Offered::Waits);
        }
        for who in ["user.anna", "user.bert"] {
            assert_eq!(offer(&mut lines, who, 1_000, at(0)), Offered::Waits);
        }
        let order: Vec<_> = (0..5).filter_map(|_| lines.next()).map(|(who, _)| who.to_string()).collect();
        assert_eq!(order, ["user.flood", "user.anna", "user.bert", "user.flood", "user.flood"]);
    }

    #[test]
    fn a_line_has_an_end_and_so_has_the_telling_of_it() {
        let mut lines = Lines::new(RequestLimits { per_second: 1_000_000, burst: 1_000_000, at_once: 1 });
        let mut counts = (0, 0, 0);
        for number in 0..10_000 {
            match offer(&mut lines, "user.flood", number, at(0)) {
                Offered::Waits => counts.0 += 1,
                Offered::Refused(..) => counts.1 += 1,
                Offered::Dropped => counts.2 += 1,
            }
        }
        assert_eq!(counts, (LINE_MAX, TOLD_PER_SECOND as usize, 10_000 - LINE_MAX - TOLD_PER_SECOND as usize));
        let big = lines.offer("user.anna", true, (0, LINE_BYTES_MAX + 1), at(0));
        assert!(matches!(big, Offered::Refused(..)), "bytes are bounded too: {big:?}");
    }

    #[test]
    fn no_more_of_one_are_worked_on_at_once_than_the_limit() {
        let mut lines = lines();
        for number in 0..3 {
            offer(&mut lines, "user.anna", number, at(0));
        }
        let (who, _) = lines.next().expect("the first");
        assert_eq!(lines.next().map(|(_, number)| number), Some(1));
        assert_eq!(lines.next(), None, "two are in hand");
        offer(&mut lines, "user.bert", 9, at(0));
        assert_eq!(lines.next().map(|(_, number)| number), Some(9), "others are not held up");
        assert!(lines.done(&who));
        assert_eq!(lines.next().map(|(_, number)| number), Some(2));
        assert!(!lines.done(&who), "nothing waits any more");
        assert_eq!((lines.waiting, lines.bytes), (0, 0));
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let mut lines = lines();
        for number in 0..100_000_u32 {
            let now = at(u64::from(number));
            assert_eq!(offer(&mut lines, &format!("user.u{number}"), number, now), Offered::Waits);
            let (who, _) = lines.next().expect("it is next");
            lines.done(&who);
        }
        assert!(lines.lines.len() <= LINES_TIDY && lines.turn.is_empty(), "{}", lines.lines.len());
    }

    #[test]
    fn services_have_no_rate() {
        let mut lines = lines();
        for number in 0..5_000 {
            assert_eq!(lines.offer("service.scheduler", false, (number, 1), at(0)), Offered::Waits);
        }
    }
}
