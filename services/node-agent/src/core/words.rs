//! Words between the members of a gang, on their way: what is to be sent again and for how long, and what waits for a process that
//! is not connected yet. The newest words from one process to another are the only ones that are kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use muster_model::ProcessId;

/// Words that were refused are sent again after this.
pub(crate) const SEND_AGAIN: Duration = Duration::from_millis(250);
/// Words that were not taken for so long are dropped: who says them says them again.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(30);
/// Pairs of processes with words on their way at most.
pub(crate) const PAIRS_MAX: usize = 4_096;
/// Words that are being asked of other agents at once at most.
pub(crate) const IN_FLIGHT_MAX: usize = 64;
/// Words that wait for one process to connect at most, each of another sender; the oldest leave first.
pub(crate) const WAITING_MAX: usize = 16;

/// From whom to whom. The receiver's attempt does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// Who speaks.
    pub from: ProcessId,
    /// Who is spoken to.
    pub to: ProcessId,
}

/// What became of words that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The other agent has them.
    Taken,
    /// Not yet: nobody answered, or the process is not known there.
    NotYet,
    /// They will never be taken.
    Never,
}

#[derive(Debug)]
struct Sending {
    data: String,
    said: Duration,
    /// When they are to be sent; none while they are in flight.
    due: Option<Duration>,
    /// Newer words came while older ones were in flight: these follow at once.
    newer: bool,
}

/// Words on their way to other agents.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pairs: BTreeMap<Pair, Sending>,
    in_flight: usize,
}

impl Outgoing {
    /// Takes words; false when too many pairs have some on their way.
    pub(crate) fn say(&mut self, pair: Pair, data: String, now: Duration) -> bool {
        if let Some(sending) = self.pairs.get_mut(&pair) {
            (sending.data, sending.said) = (data, now);
            match &mut sending.due {
                Some(due) => *due = now,
                None => sending.newer = true,
            }
            return true;
        }
        let room = self.pairs.len() < PAIRS_MAX;
        if room {
            self.pairs.insert(pair, Sending { data, said: now, due: Some(now), newer: false });
        }
        room
    }

    /// Words that are to be sent now, as far as there is room; they are in flight until [`Outgoing::answered`].
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<(Pair, String)> {
        let room = IN_FLIGHT_MAX.saturating_sub(self.in_flight);
        let due = self.pairs.iter_mut().filter(|(_, sending)| sending.due.is_some_and(|due| due <= now));
        let mut taken = Vec::new();
        for (pair, sending) in due.take(room) {
            sending.due = None;
            taken.push((*pair, sending.data.clone()));
        }
        self.in_flight += taken.len();
        taken
    }

    /// What became of words in flight. Gives how long they were tried, where they are given up.
    pub(crate) fn answered(&mut self, pair: Pair, fate: Fate, now: Duration) -> Option<Duration> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let sending = self.pairs.get_mut(&pair)?;
        let tried = now.saturating_sub(sending.said);
        if std::mem::take(&mut sending.newer) {
            sending.due = Some(now);
            return None;
        }
        match fate {
            Fate::NotYet if tried < KEPT_FOR => sending.due = Some(now + SEND_AGAIN),
            Fate::NotYet | Fate::Never => {
                self.pairs.remove(&pair);
                return Some(tried);
            }
            Fate::Taken => drop(self.pairs.remove(&pair)),
        }
        None
    }
}

/// Words that a process is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Who speaks.
    pub from: ProcessId,
    /// Its role.
    pub role: String,
    /// What it says.
    pub data: String,
}

/// Words that wait for one process to connect.
#[derive(Debug, Default)]
pub(crate) struct Waiting(VecDeque<Heard>);

impl Waiting {
    /// Keeps words; newer ones of the same sender replace older ones.
    pub(crate) fn keep(&mut self, heard: Heard) {
        self.0.retain(|kept| kept.from.dpid != heard.from.dpid);
        if self.0.len() >= WAITING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(heard);
    }

    /// Everything that waits, oldest first.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Heard> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Attempt, Dpid, JobNumber, ProcessNumber, RunId};

    use super::*;

    fn id(process: u32) -> ProcessId {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(process) };
        ProcessId { run: RunId(1), dpid, attempt: Attempt(1) }
    }

    fn pair(from: u32, to: u32) -> Pair {
        Pair { from: id(from), to: id(to) }
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn refused_words_are_sent_again_until_they_are_too_old() {
        let mut outgoing = Outgoing::default();
        assert!(outgoing.say(pair(1, 2), "a".into(), at(0)));
        let (mut sent, mut now, mut given_up) = (0, at(0), None);
        while given_up.is_none() {
            for (pair, data) in outgoing.take_due(now) {
                assert_eq!(data, "a");
                sent += 1;
                given_up = outgoing.answered(pair, Fate::NotYet, now);
            }
            now += at(50);
        }
        assert_eq!((sent, given_up), (121, Some(KEPT_FOR)), "every 250 ms for 30 s");
        assert!(outgoing.take_due(now + KEPT_FOR).is_empty());
    }

    #[test]
    fn newer_words_replace_older_ones_and_never_overtake_those_in_flight() {
        let mut outgoing = Outgoing::default();
        outgoing.say(pair(1, 2), "a".into(), at(0));
        outgoing.say(pair(1, 2), "b".into(), at(1));
        assert_eq!(outgoing.take_due(at(1)), [(pair(1, 2), "b".to_owned())]);
        outgoing.say(pair(1, 2), "c".into(), at(2));
        assert!(outgoing.take_due(at(2)).is_empty(), "b is in flight");
        assert_eq!(outgoing.answered(pair(1, 2), Fate::Taken, at(3)), None);
        assert_eq!(outgoing.take_due(at(3)), [(pair(1, 2), "c".to_owned())]);
        outgoing.answered(pair(1, 2), Fate::Taken, at(4));
        assert!(outgoing.take_due(at(99_000)).is_empty(), "taken once is enough");
    }

    #[test]
    fn words_that_will_never_be_taken_are_not_said_again() {
        let mut outgoing = Outgoing::default();
        outgoing.say(pair(1, 2), "a".into(), at(0));
        outgoing.take_due(at(0));
        assert_eq!(outgoing.answered(pair(1, 2), Fate::Never, at(5)), Some(at(5)));
        assert!(outgoing.take_due(at(9_000)).is_empty());
    }

    #[test]
    fn pairs_and_words_in_flight_are_bounded() {
        let mut outgoing = Outgoing::default();
        let most = u32::try_from(PAIRS_MAX).unwrap();
        assert!((0..most).all(|to| outgoing.say(pair(0, to + 1), "a".into(), at(0))));
        assert!(!outgoing.say(pair(0, most + 1), "a".into(), at(0)));
        assert!(outgoing.say(pair(0, 1), "b".into(), at(0)), "a pair that has words may renew them");
        let taken = outgoing.take_due(at(0));
        assert_eq!((taken.len(), outgoing.take_due(at(0)).len()), (IN_FLIGHT_MAX, 0));
        outgoing.answered(taken[0].0, Fate::Taken, at(0));
        assert_eq!(outgoing.take_due(at(0)).len(), 1);
    }

    #[test]
    fn the_newest_words_of_each_sender_wait() {
        let mut waiting = Waiting::default();
        let heard = |from: u32, data: &str| Heard { from: id(from), role: "client".into(), data: data.into() };
        for from in 1..=u32::try_from(WAITING_MAX).unwrap() + 1 {
            waiting.keep(heard(from, "old"));
        }
        waiting.keep(heard(3, "new"));
        let kept: Vec<Heard> = waiting.take().collect();
        assert_eq!((kept.len(), kept[0].from), (WAITING_MAX, id(2)));
        assert_eq!(kept.last(), Some(&heard(3, "new")));
        assert_eq!(waiting.take().count(), 0);
    }
}
