//! Events of tests: from people, who are told when there are too many, and from processes, of which the surplus is counted.

use std::collections::BTreeMap;

use muster_ledger::Decision;
use muster_model::{JobNumber, PoolTime, Refusal, RefusalCode, check_test_event};

use super::super::JobCore;
use super::super::event::Event;
use super::super::input::{Emit, Reply, TestEventSaid};
use super::super::limits::{TEST_EVENTS_OF_BATCH_MAX, TEST_EVENTS_OF_ONE_MAX, TEST_EVENTS_WINDOW};
use super::super::machine::Machine;
use super::super::state::State;
use super::super::test_event::{EventSource, TestEvent};
use super::answered;

/// A person says an event.
///
/// # Errors
/// When it is no event, or too many were said just before.
pub(super) fn emit(state: &State, emit: &Emit, now: PoolTime) -> Result<Decision<JobCore>, Refusal> {
    let what = format!("emit {}", emit.name);
    check_test_event(&emit.name, &emit.data).map_err(|why| {
        let next = "write a short name, and keep what is longer in a file";
        Refusal::new(RefusalCode::Invalid, what.clone(), why, next)
    })?;
    let (own, all) = state.test_events.room(None, now);
    if own == 0 || all == 0 {
        let why = format!("{TEST_EVENTS_OF_ONE_MAX} events of one source in {TEST_EVENTS_WINDOW:?} are the limit");
        return Err(Refusal::new(RefusalCode::Limit, what, why, "say it again in a moment"));
    }
    let event = TestEvent {
        number: state.test_events.newest + 1,
        name: emit.name.clone(),
        data: emit.data.clone(),
        source: EventSource::Person(emit.actor.clone()),
    };
    Ok(answered(vec![Event::TestEvent(Box::new(event.clone()))], Reply::Emitted(Box::new(event), now)))
}

/// Events of one batch of reports.
#[derive(Debug, Default)]
pub(super) struct Said {
    taken: Vec<TestEvent>,
    dropped: BTreeMap<JobNumber, u32>,
}

impl Said {
    /// Takes what a process says. What is no event was refused by its agent already.
    pub(super) fn take(&mut self, state: &State, machine: &Machine, said: &TestEventSaid, now: PoolTime) {
        let Some(process) = state.current(&said.id) else { return };
        let id = &machine.seen.machine;
        if process.machine != *id || process.epoch != said.epoch || check_test_event(&said.name, &said.data).is_err() {
            return;
        }
        let job = said.id.dpid.job;
        let own = self.taken.iter().filter(|event| event.source.job() == Some(job)).count();
        let (own_room, room) = state.test_events.room(Some(job), now);
        if own >= own_room || self.taken.len() >= room.min(TEST_EVENTS_OF_BATCH_MAX) {
            *self.dropped.entry(job).or_default() += 1;
            return;
        }
        self.taken.push(TestEvent {
            number: state.test_events.newest + self.taken.len() as u64 + 1,
            name: said.name.clone(),
            data: said.data.clone(),
            source: EventSource::Process(said.id, id.clone()),
        });
    }

    /// Those that are kept, and how many are not.
    pub(super) fn into_events(self) -> impl Iterator<Item = Event> {
        let dropped = self.dropped.into_iter().map(|(job, count)| Event::TestEventsDropped { job, count });
        self.taken.into_iter().map(|event| Event::TestEvent(Box::new(event))).chain(dropped)
    }
}
