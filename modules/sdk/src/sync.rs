//! Sync points: processes of a job wait for each other, round by round, each with a vote.

use std::time::Duration;

use muster_model::milliseconds;
use muster_module_protocol::{ModuleMessage, SyncEnd, Vote, encode_line};

use crate::session::Session;

/// Names of the sync points of [`Autosync`].
const START: &str = "start";
const ITERATION: &str = "iteration";
const END: &str = "end";

/// A round of a sync point, as a process arrives at it.
#[derive(Debug, Clone, Copy)]
pub struct SyncPoint<'a> {
    /// Name of the sync point, up to 64 bytes.
    pub name: &'a str,
    /// Number of the round, from 1. A process that is started again after a reboot says the number that it saved.
    pub round: u64,
    /// Its vote.
    pub vote: Vote,
    /// The others are awaited for so long, 1 s to 24 h; the first to arrive decides.
    pub timeout: Duration,
    /// Who takes part: roles, or numbers of processes; empty for every process of the job.
    pub with: &'a [&'a str],
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// How.
    pub end: SyncEnd,
    /// Votes for it.
    pub yes: u32,
    /// Votes against it.
    pub no: u32,
    /// The first DPIDs of those who voted against it.
    pub no_voters: Vec<String>,
    /// DPID of who will not come; empty where that is nobody.
    pub by: String,
    /// What became of it, or why this process may not take part.
    pub why: String,
}

impl Synced {
    /// All who were awaited have arrived, and nobody voted against it.
    #[must_use]
    pub fn all_agree(&self) -> bool {
        self.end == SyncEnd::Complete && self.no == 0
    }
}

impl Session {
    /// Arrives at a sync point and waits for its end. None when a stop was asked for. By hand, a process is always alone.
    #[must_use]
    pub fn sync(&self, point: &SyncPoint<'_>) -> Option<Synced> {
        let &SyncPoint { name, round, vote, timeout, with } = point;
        if self.is_alone() {
            let (yes, no) = (u32::from(vote == Vote::Yes), u32::from(vote == Vote::No));
            let (no_voters, by, why) = (Vec::new(), String::new(), String::new());
            return Some(Synced { end: SyncEnd::Complete, yes, no, no_voters, by, why });
        }
        let timeout_ms = milliseconds(timeout);
        let with = with.iter().map(|name| (*name).to_owned()).collect();
        let message = ModuleMessage::Sync { name: name.to_owned(), round, vote, timeout_ms, with };
        match encode_line(&message) {
            Ok(line) => self.wait_at((name, round), line),
            Err(error) => Some(refused(&error.to_string())),
        }
    }

    /// No round waits for this process any more, until it arrives at one again.
    pub fn leave(&self) {
        self.say_leave();
    }

    /// Keeps this process in step with all others of its job: at the start, at each iteration and at the end.
    #[must_use]
    pub fn autosync(&self, timeout: Duration) -> Autosync<'_> {
        Autosync { session: self, timeout, iterations: 0 }
    }
}

fn refused(why: &str) -> Synced {
    let (no_voters, by, why) = (Vec::new(), String::new(), why.to_owned());
    Synced { end: SyncEnd::Refused, yes: 0, no: 0, no_voters, by, why }
}

/// Sync points at the start, at each iteration and at the end. Dropped, the process leaves: the others go on without it.
#[derive(Debug)]
pub struct Autosync<'a> {
    session: &'a Session,
    timeout: Duration,
    iterations: u64,
}

impl Autosync<'_> {
    /// Goes on after an iteration that was saved by an earlier attempt.
    #[must_use]
    pub fn after(mut self, iterations: u64) -> Self {
        self.iterations = iterations;
        self
    }

    /// Waits until all are about to begin.
    #[must_use]
    pub fn start(&self) -> Option<Synced> {
        self.at(START, 1, Vote::Yes)
    }

    /// Waits until all are about to begin their next iteration.
    #[must_use]
    pub fn iterate(&mut self, vote: Vote) -> Option<Synced> {
        self.iterations += 1;
        self.at(ITERATION, self.iterations, vote)
    }

    /// Waits until all have come to their end.
    #[must_use]
    pub fn end(self, vote: Vote) -> Option<Synced> {
        self.at(END, 1, vote)
    }

    fn at(&self, name: &str, round: u64, vote: Vote) -> Option<Synced> {
        self.session.sync(&SyncPoint { name, round, vote, timeout: self.timeout, with: &[] })
    }
}

impl Drop for Autosync<'_> {
    fn drop(&mut self) {
        self.session.leave();
    }
}
