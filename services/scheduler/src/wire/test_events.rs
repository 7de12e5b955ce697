//! Events of tests on the wire.

use muster_model::{Epoch, PoolTime};
use muster_proto::{WireError, v1};

use super::machine_id;
use crate::core::input::{Emit, TestEventSaid};
use crate::core::test_event::{EventSource, TestEvent, TestEvents};

/// What an agent says of a process.
pub(super) fn report(said: v1::TestEventSaid) -> Option<TestEventSaid> {
    Some(TestEventSaid { id: said.id?.into(), epoch: Epoch(said.epoch), name: said.name, data: said.data })
}

pub(super) fn emit(actor: &str, emit: v1::EmitTestEvent) -> Emit {
    Emit { actor: actor.to_owned(), name: emit.name, data: emit.data }
}

/// An event, and when it was taken.
pub(super) fn to_wire(event: &TestEvent, time: PoolTime) -> v1::TestEvent {
    let (id, machine, actor) = match &event.source {
        EventSource::Process(id, machine) => (Some((*id).into()), machine.to_string(), String::new()),
        EventSource::Person(actor) => (None, String::new(), actor.clone()),
    };
    let (number, name, data) = (event.number, event.name.clone(), event.data.clone());
    v1::TestEvent { number, name, data, id, machine, actor, time_ns: time.0 }
}

pub(super) fn from_wire(event: v1::TestEvent) -> Result<TestEvent, WireError> {
    let source = match event.id {
        Some(id) => EventSource::Process(id.into(), machine_id("TestEvent", &event.machine)?),
        None => EventSource::Person(event.actor),
    };
    Ok(TestEvent { number: event.number, name: event.name, data: event.data, source })
}

pub(super) fn remembered_to_wire(events: &TestEvents) -> Vec<v1::TestEvent> {
    events.kept.iter().map(|(time, event)| to_wire(event, *time)).collect()
}

pub(super) fn remembered_from_wire(events: Vec<v1::TestEvent>, newest: u64) -> Result<TestEvents, WireError> {
    let kept = events.into_iter().map(|event| Ok((PoolTime(event.time_ns), from_wire(event)?)));
    Ok(TestEvents { kept: kept.collect::<Result<_, WireError>>()?, newest })
}

/// Events that a list asks for.
#[must_use]
pub fn list(events: &TestEvents, asked: &v1::ListTestEvents) -> Vec<v1::TestEvent> {
    let is_asked = |(time, event): &&(PoolTime, TestEvent)| {
        let named = asked.name.is_empty() || asked.name == event.name;
        let of_job = asked.job == 0 || event.source.job().is_some_and(|job| job.0 == asked.job);
        named && of_job && event.number > asked.after && time.0 >= asked.since_ns
    };
    events.kept.iter().filter(is_asked).map(|(time, event)| to_wire(event, *time)).collect()
}
