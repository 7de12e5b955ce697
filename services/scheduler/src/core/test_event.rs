//! Events of tests: what tests and people say has happened, numbered in the order in which it was taken.
//!
//! Responsible for what is remembered and for how much may be said in a short time. What was said a moment ago can still be waited for, and no
//! restart loses it; what is older is in the log alone.

use std::collections::VecDeque;

use muster_ledger::At;
use muster_model::{JobNumber, MachineId, PoolTime, ProcessId};

use super::limits::{TEST_EVENTS_MAX, TEST_EVENTS_OF_ONE_MAX, TEST_EVENTS_TOGETHER_MAX, TEST_EVENTS_WINDOW};

/// An event of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestEvent {
    /// Its number in the run, from 1.
    pub number: u64,
    /// Name.
    pub name: String,
    /// What it says.
    pub data: String,
    /// Who says it.
    pub source: EventSource,
}

/// Who says an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSource {
    /// A process.
    Process(ProcessId, MachineId),
    /// A person.
    Person(String),
}

impl EventSource {
    /// The job of the process that says it.
    #[must_use]
    pub fn job(&self) -> Option<JobNumber> {
        match self {
            Self::Process(id, _) => Some(id.dpid.job),
            Self::Person(_) => None,
        }
    }
}

/// Events of the run that are remembered, oldest first, and the number of the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestEvents {
    /// When each was taken, and what it says.
    pub kept: VecDeque<(PoolTime, TestEvent)>,
    /// Number of the newest; 0 before the first.
    pub newest: u64,
}

impl TestEvents {
    /// Takes an event.
    pub(super) fn take(&mut self, event: &TestEvent, at: &At<'_>) {
        self.newest = event.number;
        self.kept.push_back((at.time, event.clone()));
        while self.kept.len() > TEST_EVENTS_MAX {
            self.kept.pop_front();
        }
    }

    /// How many more may be said now, of a job or of people, and of all.
    #[must_use]
    pub fn room(&self, job: Option<JobNumber>, now: PoolTime) -> (usize, usize) {
        let recent = || self.kept.iter().rev().take_while(|(time, _)| !(*time + TEST_EVENTS_WINDOW).is_due(now));
        let own = recent().filter(|(_, event)| event.source.job() == job).count();
        (TEST_EVENTS_OF_ONE_MAX.saturating_sub(own), TEST_EVENTS_TOGETHER_MAX.saturating_sub(recent().count()))
    }
}
